#include "traces/python_json.h"

#include <algorithm>
#include <vector>

#include "traces/span.h"

namespace traces {

namespace json = base::json;

namespace {

void append_hex4(std::string& out, uint32_t unit) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(unit >> shift) & 15];
}

// What is already a JSON string, with every character beyond ASCII as \uXXXX.
void append_ascii(std::string& out, std::string_view text) {
  const std::string escaped = python_string(text);
  for (size_t i = 0; i < escaped.size();) {
    const auto lead = static_cast<unsigned char>(escaped[i]);
    if (lead < 0x80) {
      out += escaped[i++];
      if (lead == 0x7F) out.pop_back(), append_hex4(out, lead);
      continue;
    }
    const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t code = lead & (0xFFu >> (length + 1));
    for (size_t k = 1; k < length && i + k < escaped.size(); ++k) {
      code = code << 6 | (static_cast<unsigned char>(escaped[i + k]) & 0x3Fu);
    }
    i += length;
    if (code < 0x10000) {
      append_hex4(out, code);
    } else {
      append_hex4(out, 0xD800 + ((code - 0x10000) >> 10));
      append_hex4(out, 0xDC00 + ((code - 0x10000) & 0x3FF));
    }
  }
}

void append_text(std::string& out, std::string_view text, PythonText how) {
  how.ascii ? append_ascii(out, text) : append_python_string(out, text);
}

void append_object(std::string& out, const json::object& object, PythonText how) {
  std::vector<const json::key_value_pair*> entries;
  entries.reserve(object.size());
  for (const auto& entry : object) entries.push_back(&entry);
  if (how.sort_keys) std::ranges::sort(entries, {}, [](const auto* entry) { return std::string_view(entry->key()); });
  out += '{';
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i != 0) out += ", ";
    append_text(out, entries[i]->key(), how);
    out += ": ";
    append_python(out, entries[i]->value(), how);
  }
  out += '}';
}

}  // namespace

void append_python(std::string& out, const json::value& value, PythonText how) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; return;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; return;
    case json::kind::int64: out += std::to_string(value.get_int64()); return;
    case json::kind::uint64: out += std::to_string(value.get_uint64()); return;
    case json::kind::double_: append_python_double(out, value.get_double()); return;
    case json::kind::string: append_text(out, value.get_string(), how); return;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const json::value& item : value.get_array()) {
        if (!first) out += ", ";
        first = false;
        append_python(out, item, how);
      }
      out += ']';
      return;
    }
    case json::kind::object: append_object(out, value.get_object(), how); return;
  }
}

std::string to_python(const json::value& value, PythonText how) {
  std::string out;
  append_python(out, value, how);
  return out;
}

std::optional<json::value> try_parse(std::string_view text) {
  auto value = base::parse_json(text);
  if (!value) return std::nullopt;
  return std::move(*value);
}

std::string text_or_json(std::string_view text) {
  if (text.starts_with('"')) {
    if (const auto value = try_parse(text); value && value->is_string()) return std::string(value->get_string());
  }
  return std::string(text);
}

}  // namespace traces
