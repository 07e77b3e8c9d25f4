// UTF-8 checks for text that enters from outside. Thread: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace base {

// Bytes of the longest valid prefix (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). text.size(): all
// valid. NUL bytes are valid UTF-8; whoever cannot store them asks for them separately.
size_t utf8_valid_prefix(std::string_view text);
inline bool is_utf8(std::string_view text) { return utf8_valid_prefix(text) == text.size(); }

}  // namespace base
