#include "flow/log_level.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace flow {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Is `word` one of these as it stands: "ERROR", or lower case with a colon behind it: "error:"?
LogLevel level_of_word(std::string_view word, bool colon) {
  constexpr std::array<std::string_view, 4> kErrors = {"ERROR", "FATAL", "CRITICAL", "Traceback"};
  constexpr std::array<std::string_view, 2> kWarnings = {"WARN", "WARNING"};
  if (std::ranges::find(kErrors, word) != kErrors.end()) return LogLevel::kError;
  if (std::ranges::find(kWarnings, word) != kWarnings.end()) return LogLevel::kWarning;
  if (!colon) return LogLevel::kOther;
  if (word == "error" || word == "fatal" || word.ends_with("Error") || word.ends_with("Exception"))
    return LogLevel::kError;
  if (word == "warn" || word == "warning" || word.ends_with("Warning")) return LogLevel::kWarning;
  return LogLevel::kOther;
}

}  // namespace

LogLevel level_of(std::string_view line) {
  line = line.substr(0, kLevelHead);
  LogLevel worst = LogLevel::kOther;
  for (size_t at = 0; at < line.size();) {
    if (!is_word(line[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    while (at < line.size() && is_word(line[at])) ++at;
    const bool colon = at < line.size() && line[at] == ':';
    worst = std::max(worst, level_of_word(line.substr(begin, at - begin), colon));
  }
  return worst;
}

}  // namespace flow
