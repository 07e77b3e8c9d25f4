#include "traces/span.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json_writer.h"

namespace traces {

const std::string* Span::find(std::string_view key) const {
  const auto found = std::ranges::find(attributes, key, &Attribute::key);
  return found == attributes.end() ? nullptr : &found->json;
}

void Span::set(std::string_view key, std::string json) {
  const auto found = std::ranges::find(attributes, key, &Attribute::key);
  if (found != attributes.end()) {
    found->json = std::move(json);
  } else {
    attributes.push_back({std::string(key), std::move(json)});
  }
}

void append_python_string(std::string& out, std::string_view text) { base::append_json_string(out, text); }

std::string python_string(std::string_view text) {
  std::string out;
  append_python_string(out, text);
  return out;
}

void append_python_double(std::string& out, double number) {
  if (!std::isfinite(number)) {  // as Python writes them, which JSON has no words for
    out += std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
    return;
  }
  const double size = std::abs(number);
  char buffer[64];
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, format).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  out += text;
  if (fixed && text.find('.') == text.npos) out += ".0";
}

}  // namespace traces
