#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace base {
namespace {

// Length of the sequence that begins at p (2 to 4), or 0 if it is not a valid one.
size_t multibyte_length(const unsigned char* p, size_t left) {
  auto continuation = [&](size_t i, unsigned char low = 0x80, unsigned char high = 0xBF) {
    return i < left && p[i] >= low && p[i] <= high;
  };
  const unsigned char lead = p[0];
  if (lead >= 0xC2 && lead <= 0xDF) return continuation(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;   // overlong below
    const unsigned char high = lead == 0xED ? 0x9F : 0xBF;  // surrogates above
    return continuation(1, low, high) && continuation(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;
    return continuation(1, low, high) && continuation(2) && continuation(3) ? 4 : 0;
  }
  return 0;
}

// Whether all bytes are below 0x80: eight at a time, the last eight once more.
bool is_ascii(std::string_view text) {
  uint64_t all = 0, word = 0;
  if (text.size() < sizeof word) {
    for (char c : text) all |= static_cast<unsigned char>(c);
  } else {
    for (size_t i = 0; i + sizeof word <= text.size(); i += sizeof word) {
      std::memcpy(&word, text.data() + i, sizeof word);
      all |= word;
    }
    std::memcpy(&word, text.data() + text.size() - sizeof word, sizeof word);
    all |= word;
  }
  return (all & 0x8080808080808080ULL) == 0;
}

}  // namespace

size_t utf8_valid_prefix(std::string_view text) {
  if (is_ascii(text)) return text.size();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  size_t i = 0;
  while (i < text.size()) {
    uint64_t eight;
    if (text.size() - i >= sizeof eight) {  // most text is ASCII: eight bytes at a time
      std::memcpy(&eight, p + i, sizeof eight);
      if ((eight & 0x8080808080808080ULL) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    if (p[i] < 0x80) {
      ++i;
      continue;
    }
    const size_t length = multibyte_length(p + i, text.size() - i);
    if (length == 0) return i;
    i += length;
  }
  return i;
}

}  // namespace base
