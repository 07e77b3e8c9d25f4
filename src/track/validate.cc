#include "track/validate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/json_writer.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

// Decodes one code point; text was validated as UTF-8 at the door.
uint32_t next_char(std::string_view& text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint32_t c = length == 1 ? lead : lead & (0x7F >> length);
  for (size_t i = 1; i < length && i < text.size(); ++i) c = (c << 6) | (static_cast<uint8_t>(text[i]) & 0x3F);
  text.remove_prefix(std::min(length, text.size()));
  return c;
}

// A letter, digit or underscore of any script. Outside ASCII everything counts but the blocks of punctuation,
// symbols, emoji and private use.
bool is_word_char(uint32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  struct Range {
    uint32_t first, last;
  };
  static constexpr std::array kNotWords = {Range{0x80, 0xA9},     Range{0xAB, 0xB1},       Range{0xB4, 0xB4},
                                           Range{0xB6, 0xB8},     Range{0xBB, 0xBB},       Range{0xBF, 0xBF},
                                           Range{0xD7, 0xD7},     Range{0xF7, 0xF7},       Range{0x2000, 0x206F},
                                           Range{0x20A0, 0x20CF}, Range{0x2190, 0x245F},   Range{0x2500, 0x2BFF},
                                           Range{0x3000, 0x3004}, Range{0x3008, 0x3020},   Range{0xD800, 0xF8FF},
                                           Range{0xFE00, 0xFE6F}, Range{0x1F000, 0x1FAFF}, Range{0xE0000, 0x10FFFF}};
  return std::ranges::none_of(kNotWords, [c](Range r) { return c >= r.first && c <= r.last; });
}

// Where a path leads once "." and ".." and doubled slashes are resolved; "." when nothing is left.
std::string normal_path(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    if (part != ".." || (!rooted && parts.empty()) || (!parts.empty() && parts.back() == "..")) {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string out = rooted ? (path.starts_with("//") && !path.starts_with("///") ? "//" : "/") : "";
  for (size_t i = 0; i < parts.size(); ++i) (i ? out.append("/") : out).append(parts[i]);
  return out.empty() ? "." : out;
}

bool is_normal_path(std::string_view name, const std::string& normal) {
  return normal == name && normal != "." && !normal.starts_with("..") && !normal.starts_with('/');
}

std::string bad_path_hint(const std::string& normal) {
  return "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
         "This name would resolve to " +
         python_repr(normal);
}

Result<void> check_normal_path(std::string_view name, std::string_view path) {
  // Fast way out for the usual name: no part of it can change.
  if (name.find('/') == std::string_view::npos && name.find("..") == std::string_view::npos && name != "." &&
      !name.empty()) {
    return {};
  }
  const std::string normal = normal_path(name);
  if (!is_normal_path(name, normal)) return invalid_value(path, name, bad_path_hint(normal));
  return {};
}

}  // namespace

size_t count_chars(std::string_view utf8) {
  return static_cast<size_t>(
      std::ranges::count_if(utf8, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

std::string_view first_chars(std::string_view utf8, size_t chars) {
  if (utf8.size() <= chars) return utf8;
  size_t at = 0;
  for (size_t seen = 0; at < utf8.size(); ++at) {
    if ((static_cast<uint8_t>(utf8[at]) & 0xC0) != 0x80 && seen++ == chars) break;
  }
  return utf8.substr(0, at);
}

std::string python_repr(std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out += quote;
}

std::unexpected<base::Error> invalid_value(std::string_view path, std::string_view value, std::string_view hint) {
  std::string message = "Invalid value ";
  base::append_json_string(message, value);
  message.append(" for parameter '").append(path).append("' supplied");
  if (hint.empty()) return invalid(std::move(message.append(".")));
  return invalid(std::move(message.append(": ").append(hint)));
}

std::unexpected<base::Error> missing_value(std::string_view path) {
  return invalid("Missing value for required parameter '" + std::string(path) + "'.");
}

Result<void> check_key(std::string_view key, std::string_view path) {
  for (std::string_view rest = key; !rest.empty();) {
    const uint32_t c = next_char(rest);
    if (!is_word_char(c) && c != '/' && c != '.' && c != '-' && c != ' ' && c != ':') {
      return invalid_value(
          path, key,
          "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
          "colon(:) and slashes (/).");
    }
  }
  return check_normal_path(key, path);
}

Result<void> check_length(std::string_view what, size_t limit, std::string_view value) {
  if (value.size() <= limit || count_chars(value) <= limit) return {};
  return invalid("'" + std::string(what) + "' exceeds the maximum length of " + std::to_string(limit) + " characters");
}

Result<void> check_run_id(std::string_view run_id) {
  const bool fits = !run_id.empty() && run_id.size() <= 256 && run_id[0] != '_' && run_id[0] != '-' &&
                    std::ranges::all_of(run_id, [](char c) {
                      return c == '-' || (static_cast<uint8_t>(c) < 0x80 && is_word_char(static_cast<uint8_t>(c)));
                    });
  if (!fits) return invalid_value("run_id", run_id, "");
  return {};
}

Result<void> check_experiment_name(std::string_view name) {
  if (name.empty()) return invalid("Invalid experiment name: ''");
  return check_length("name", kMaxExperimentName, name);
}

Result<void> check_experiment_tag(const Tag& tag) {
  TRY(check_key(tag.key, "key"));
  TRY(check_length("key", kMaxKey, tag.key));
  return check_length("value", kMaxExperimentTagValue, tag.value);
}

Result<void> check_model_name(std::string_view name) {
  if (std::ranges::all_of(name, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); })) {
    return missing_value("name");
  }
  if (name.find_first_of("/:") != name.npos) {
    return invalid("Invalid model name '" + std::string(name) + "'. Names cannot contain '/' or ':'.");
  }
  return check_normal_path(name, "name");
}

Result<void> check_logged_model_name(std::string_view name) {
  if (!name.empty() && name.find_first_of("/:.%\"'") == name.npos) return {};
  return invalid("Invalid model name (" + python_repr(name) +
                 ") provided. Model name must be a non-empty string and cannot contain the following characters: "
                 "('/', ':', '.', '%', '\"', \"'\")");
}

Result<void> check_registered_tag(const Tag& tag) {
  TRY(check_key(tag.key, "key"));
  TRY(check_length("key", kMaxKey, tag.key));
  return check_length("value", kMaxRegistryTagValue, tag.value);
}

Result<void> check_alias(std::string_view alias) {
  if (alias.empty()) return invalid("Registered model alias name cannot be empty.");
  for (std::string_view rest = alias; !rest.empty();) {
    const uint32_t c = next_char(rest);
    if (!is_word_char(c) && c != '-') {
      return invalid("Invalid alias name: '" + std::string(alias) +
                     "'. Names may only contain alphanumerics, underscores (_), and dashes (-).");
    }
  }
  return check_length("Registered model alias name", kMaxAlias, alias);
}

Result<void> check_alias_not_reserved(std::string_view alias) {
  std::string lower(alias);
  std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (lower == "latest") return invalid("'latest' alias name (case insensitive) is reserved.");
  if (lower.size() > 1 && lower[0] == 'v' && lower.find_first_not_of("0123456789", 1) == lower.npos) {
    return invalid("Version alias name '" + std::string(alias) + "' is reserved.");
  }
  return {};
}

Result<void> check_artifact_location(std::string_view location, std::string_view field) {
  if (location.find('#') != location.npos || location.find(';') != location.npos) {
    return invalid("'" + std::string(field) + "' URL can't include fragments or params.");
  }
  if (const size_t query = location.find('?');
      query != location.npos && location.substr(query).find("..") != location.npos) {
    return invalid("Invalid query string: " + std::string(location.substr(query + 1)));
  }
  if (location.starts_with("runs:")) {
    return invalid("Artifact location cannot be a runs:/ URI. Given: '" + std::string(location) + "'");
  }
  if (count_chars(location) > kMaxArtifactLocation) {
    return invalid("Invalid artifact path length. The length of the artifact path cannot be greater than " +
                   std::to_string(kMaxArtifactLocation) + " characters.");
  }
  return {};
}

namespace {
bool parse_int(std::string_view text, int64_t& out) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == text.npos) return false;
  text = text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}
}  // namespace

Result<int64_t> parse_experiment_id(std::string_view text) {
  int64_t id = 0;
  if (!parse_int(text, id)) {
    return invalid("Invalid experiment ID '" + std::string(text) + "'. Experiment ID must be a valid integer.");
  }
  return id;
}

Result<int64_t> parse_version(std::string_view text) {
  int64_t version = 0;
  if (!parse_int(text, version)) {
    return invalid("Parameter 'version' must be an integer, got '" + std::string(text) + "'.");
  }
  return version;
}

}  // namespace track
