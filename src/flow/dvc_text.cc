#include "flow/dvc_text.h"

#include <cstdint>
#include <cstdio>

#include "base/json_writer.h"
#include "base/yaml.h"

namespace flow {
namespace {

bool is_plain(std::string_view text) {
  constexpr std::string_view kIndicators = "-?:,[]{}#&*!|>'\"%@`";
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (kIndicators.find(text.front()) != std::string_view::npos) {
    // "-x", "?x" and ":x" are plain where no space follows
    if (std::string_view("-?:").find(text.front()) == std::string_view::npos || text.size() == 1 || text[1] == ' ')
      return false;
  }
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos || text == "---" ||
      text == "...")
    return false;
  base::yaml::Node node;
  node.kind = base::yaml::Kind::kScalar;
  node.scalar = text;
  return !node.as_bool() && !node.as_int() && !node.as_double() && text != "null" && text != "Null" && text != "NULL" &&
         text != "~";
}

bool has_control(std::string_view text) {
  for (const unsigned char c : text)
    if (c < 0x20 || c == 0x7f) return true;
  return false;
}

}  // namespace

std::string yaml_scalar(std::string_view text) {
  std::string out;
  if (has_control(text)) {
    base::append_json_string(out, text);  // JSON's escapes are YAML's too
  } else if (is_plain(text)) {
    out = text;
  } else {
    out = "'";
    for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
    out += "'";
  }
  return out;
}

void append_ascii_json(std::string& out, std::string_view text) {
  std::string quoted;
  base::append_json_string(quoted, text);
  for (size_t i = 0; i < quoted.size();) {
    const auto lead = static_cast<unsigned char>(quoted[i]);
    if (lead < 0x80) {
      out.push_back(quoted[i++]);
      continue;
    }
    const int extra = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t point = lead & (0x3f >> extra);
    for (int k = 1; k <= extra && i + static_cast<size_t>(k) < quoted.size(); ++k)
      point = point << 6 | (static_cast<unsigned char>(quoted[i + static_cast<size_t>(k)]) & 0x3f);
    i += static_cast<size_t>(extra) + 1;
    char escape[16];
    if (point >= 0x10000) {
      point -= 0x10000;
      std::snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + (point >> 10), 0xdc00 + (point & 0x3ff));
    } else {
      std::snprintf(escape, sizeof escape, "\\u%04x", point);
    }
    out += escape;
  }
}

}  // namespace flow
