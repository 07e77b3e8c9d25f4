// Hashes: SHA-256 is a blob's identity; MD5 is computed in the same pass where DVC needs it; CRC-32C guards records
// of our own files; Hash64 places rows (splits, buckets) and never changes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

enum class HashAlgo : uint8_t { kSha256, kMd5 };

struct Digest {
  HashAlgo algo = HashAlgo::kSha256;
  std::array<uint8_t, 32> bytes{};  // MD5 uses the first 16

  size_t size() const { return algo == HashAlgo::kSha256 ? 32 : 16; }
  std::string hex() const;
  auto operator<=>(const Digest&) const = default;
  static Result<Digest> from_hex(HashAlgo algo, std::string_view hex);  // lower or upper case, exact length
};

// Streaming; finish() may be called once. Thread: one at a time.
class Hasher {
 public:
  explicit Hasher(HashAlgo algo);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  void update(std::string_view bytes);
  Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Digest sha256(std::string_view bytes);
Digest md5(std::string_view bytes);
uint32_t crc32c(std::string_view bytes, uint32_t seed = 0);
// 64-bit: the first 8 bytes, big-endian, of SHA-256 over (seed as 8 bytes big-endian, bytes). Slow and for ever the
// same.
uint64_t stable_hash64(uint64_t seed, std::string_view bytes);

std::string to_hex(std::span<const uint8_t> bytes);
std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);  // standard alphabet, padding required

}  // namespace base
