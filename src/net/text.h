// The small text tools of the wire: case, trimming, UTF-8, escapes. Thread: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/utf8.h"

namespace net {

constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (ascii_lower(a[i]) != ascii_lower(b[i])) return false;
  }
  return true;
}

constexpr std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Whether a comma-separated list, as in Connection, has this token.
constexpr bool lists_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (equals_ignoring_case(trim(list.substr(0, comma)), token)) return true;
    list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
  }
  return false;
}

using base::is_utf8;

// Decodes %XX into `out` (replaced). False on a bad escape or NUL.
bool percent_decode_into(std::string_view text, bool plus_is_space, std::string& out);

// For text between tags and in quoted attributes of XML and HTML.
std::string escape_markup(std::string_view text);

}  // namespace net
