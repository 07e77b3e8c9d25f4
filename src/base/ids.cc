#include "base/ids.h"

#include <sys/random.h>

#include <bit>
#include <cstring>

#include "base/assert.h"

namespace base {
namespace {

constexpr std::string_view kBase32 = "0123456789abcdefghjkmnpqrstvwxyz";  // Crockford, lower case
constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

class SystemRandom final : public Random {
 public:
  void fill(std::span<uint8_t> out) override {
    thread_local Buffer buffer;
    while (!out.empty()) {
      if (buffer.left == 0) buffer.refill();
      const size_t n = std::min(out.size(), buffer.left);
      uint8_t* from = buffer.bytes + sizeof buffer.bytes - buffer.left;
      std::memcpy(out.data(), from, n);
      std::memset(from, 0, n);  // what was handed out is not kept
      buffer.left -= n;
      out = out.subspan(n);
    }
  }

 private:
  struct Buffer {
    uint8_t bytes[256];
    size_t left = 0;
    void refill() {
      size_t have = 0;
      while (have < sizeof bytes) {
        const ssize_t n = getrandom(bytes + have, sizeof bytes - have, 0);
        ASSERT_ALWAYS(n > 0 || errno == EINTR);
        if (n > 0) have += size_t(n);
      }
      left = sizeof bytes;
    }
  };
};

// 128 bits as 26 digits of 5 bits, the first one carrying 3 bits: so text order is byte order.
void append_base32(std::string& out, const Uuid& id) {
  char digits[26];
  uint64_t high = 0, low = 0;
  for (size_t i = 0; i < 8; ++i) high = high << 8 | id[i], low = low << 8 | id[i + 8];
  for (size_t i = 25; i > 13; --i, low >>= 5) digits[i] = kBase32[low & 31];  // the low 60 bits
  low |= high << 4;
  digits[13] = kBase32[low & 31];
  high >>= 1;
  for (size_t i = 13; i-- > 0; high >>= 5) digits[i] = kBase32[high & 31];
  out.append(digits, sizeof digits);
}

uint64_t splitmix64(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t Random::next_u64() {
  uint64_t value;
  fill({reinterpret_cast<uint8_t*>(&value), sizeof value});
  return value;
}

double Random::next_unit() { return double(next_u64() >> 11) * 0x1.0p-53; }

Random& system_random() {
  static SystemRandom random;
  return random;
}

SeededRandom::SeededRandom(uint64_t seed) {
  for (auto& word : state_) word = splitmix64(seed);
}

uint64_t SeededRandom::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t SeededRandom::below(uint64_t bound) {
  ASSERT_ALWAYS(bound > 0);
  const uint64_t reject_below = (0 - bound) % bound;  // 2^64 mod bound
  for (;;) {
    const uint64_t x = next();
    if (x >= reject_below) return x % bound;
  }
}

void SeededRandom::fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    uint64_t word = next();
    const size_t n = std::min<size_t>(8, out.size());
    for (size_t i = 0; i < n; ++i, word >>= 8) out[i] = uint8_t(word);  // little-endian on every machine
    out = out.subspan(n);
  }
}

Uuid make_uuid7(Random& random, int64_t wall_us) {
  Uuid id;
  random.fill(id);
  const uint64_t ms = uint64_t(wall_us) / 1000;
  for (int i = 0; i < 6; ++i) id[size_t(i)] = uint8_t(ms >> (40 - 8 * i));
  id[6] = uint8_t(0x70 | (id[6] & 0x0f));
  id[8] = uint8_t(0x80 | (id[8] & 0x3f));
  return id;
}

int64_t uuid7_ms(const Uuid& id) {
  int64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = ms << 8 | id[size_t(i)];
  return ms;
}

std::string to_base32(const Uuid& id) {
  std::string out;
  out.reserve(26);
  append_base32(out, id);
  return out;
}

bool from_base32(std::string_view text, Uuid& out) {
  if (text.size() != 26 || text[0] > '7') return false;
  unsigned __int128 value = 0;
  for (char c : text) {
    const size_t digit = kBase32.find(c);
    if (digit == std::string_view::npos) return false;
    value = value << 5 | digit;
  }
  for (size_t i = 16; i-- > 0; value >>= 8) out[i] = uint8_t(value);
  return true;
}

std::string make_id(std::string_view kind, Random& random, int64_t wall_us) {
  std::string out;
  out.reserve(kind.size() + 27);
  out.append(kind).push_back('_');
  append_base32(out, make_uuid7(random, wall_us));
  return out;
}

std::string_view id_kind(std::string_view id) {
  const size_t at = id.find('_');
  Uuid ignored;
  if (at == std::string_view::npos || at == 0 || !from_base32(id.substr(at + 1), ignored)) return {};
  return id.substr(0, at);
}

std::string random_hex(Random& random, size_t bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string raw(bytes, '\0'), out;
  random.fill({reinterpret_cast<uint8_t*>(raw.data()), bytes});
  out.reserve(2 * bytes);
  for (char c : raw) out += {kHex[uint8_t(c) >> 4], kHex[uint8_t(c) & 15]};
  return out;
}

std::string random_token(Random& random) {
  std::array<uint8_t, 32> raw;
  random.fill(raw);
  std::string out;
  uint32_t bits = 0;
  int have = 0;
  for (uint8_t byte : raw) {
    bits = bits << 8 | byte;
    for (have += 8; have >= 6; have -= 6) out += kBase64Url[bits >> (have - 6) & 63];
  }
  out += kBase64Url[bits << (6 - have) & 63];
  return out;
}

}  // namespace base
