#include "cli/export_yaml.h"

#include <charconv>
#include <cmath>

#include "base/json.h"

namespace cli {
namespace {

namespace json = base::json;

void append_escape(std::string& out, uint32_t code) {
  char text[8];
  std::snprintf(text, sizeof text, "\\u%04X", code);
  out += text;
}

// A number in YAML 1.1 needs its point, and a sign in its exponent: 1e-05 alone would be text.
std::string yaml_double(double number) {
  if (std::isnan(number)) return ".nan";
  if (std::isinf(number)) return number > 0 ? ".inf" : "-.inf";
  std::string text = double_text(number);
  const size_t e = std::min(text.find('e'), text.size());
  if (text.find('.') == text.npos) text.insert(e, ".0");
  return text;
}

void append(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; break;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; break;
    case json::kind::int64: out += std::to_string(value.get_int64()); break;
    case json::kind::uint64: out += std::to_string(value.get_uint64()); break;
    case json::kind::double_: out += yaml_double(value.get_double()); break;
    case json::kind::string: out += yaml_text(std::string_view(value.get_string())); break;
    case json::kind::array: {
      out += '[';
      for (bool first = true; const json::value& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ", ";
        append(out, item);
      }
      out += ']';
      break;
    }
    case json::kind::object: {
      out += '{';
      for (bool first = true; const auto& [key, item] : value.get_object()) {
        if (!std::exchange(first, false)) out += ", ";
        out.append("? ").append(yaml_text(std::string_view(key))).append(" : ");  // "?": a key of any length
        append(out, item);
      }
      out += '}';
      break;
    }
  }
}

}  // namespace

std::string yaml_text(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = [&](size_t n) { return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0U; };
    if (c == '"' || c == '\\') {
      out.append("\\").append(1, static_cast<char>(c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      append_escape(out, c);
    } else if (c == 0xC2 && next(1) >= 0x80 && next(1) < 0xA0) {  // C1 controls
      append_escape(out, next(1));
      i += 1;
    } else if ((c == 0xE2 && next(1) == 0x80 && (next(2) == 0xA8 || next(2) == 0xA9)) ||  // separators of lines
               (c == 0xEF && next(1) == 0xBB && next(2) == 0xBF) ||                       // a byte order mark
               (c == 0xEF && next(1) == 0xBF && next(2) >= 0xBE)) {                       // no characters
      append_escape(out, (c & 0x0FU) << 12 | (next(1) & 0x3FU) << 6 | (next(2) & 0x3FU));
      i += 2;
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

std::string yaml_value(std::string_view text) {
  const auto value = base::parse_json(text);
  if (!value) return yaml_text(text);
  std::string out;
  append(out, *value);
  return out;
}

std::string double_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number);
  return {text, end};
}

YamlMap& YamlMap::tags(std::string_view key, const track::Tags& tags) {
  std::string value = "{";
  for (bool first = true; const track::Tag& tag : tags) {
    if (!std::exchange(first, false)) value += ", ";
    value.append("? ").append(yaml_text(tag.key)).append(" : ").append(yaml_text(tag.value));
  }
  return raw(key, value + "}");
}

}  // namespace cli
