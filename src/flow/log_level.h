// How grave a line of a stage's log is, told by the words that loggers and Python put at its beginning. Thread: pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace flow {

enum class LogLevel : uint8_t { kOther, kWarning, kError };

// "ERROR …", "ValueError: …", "error: …", "Traceback (most recent call last):" are errors; "WARNING …",
// "UserWarning: …", "warn: …" are warnings. Only the first kLevelHead bytes are looked at.
inline constexpr size_t kLevelHead = 160;
LogLevel level_of(std::string_view line);

}  // namespace flow
