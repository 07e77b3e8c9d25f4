#include "base/hash.h"

#include <openssl/evp.h>

#include <cstring>

#include "base/assert.h"

namespace base {

std::string to_hex(std::span<const uint8_t> bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (uint8_t b : bytes) out += {kHex[b >> 4], kHex[b & 15]};
  return out;
}

std::string Digest::hex() const { return to_hex({bytes.data(), size()}); }

Result<Digest> Digest::from_hex(HashAlgo algo, std::string_view hex) {
  Digest digest{.algo = algo};
  if (hex.size() != 2 * digest.size()) {
    return invalid("'" + std::string(hex.substr(0, 80)) + "' is not a digest of " + std::to_string(2 * digest.size()) +
                   " hex digits");
  }
  const auto nibble = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (size_t i = 0; i < digest.size(); ++i) {
    const int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
    if (high < 0 || low < 0) return invalid("'" + std::string(hex) + "' has a character that is no hex digit");
    digest.bytes[i] = uint8_t(high << 4 | low);
  }
  return digest;
}

struct Hasher::Impl {
  HashAlgo algo;
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(evp); }
};

Hasher::Hasher(HashAlgo algo) : impl_(new Impl{algo}) {
  ASSERT_ALWAYS(EVP_DigestInit_ex(impl_->evp, algo == HashAlgo::kSha256 ? EVP_sha256() : EVP_md5(), nullptr) == 1);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) { EVP_DigestUpdate(impl_->evp, bytes.data(), bytes.size()); }

Digest Hasher::finish() {
  Digest digest{.algo = impl_->algo};
  unsigned size = 0;
  EVP_DigestFinal_ex(impl_->evp, digest.bytes.data(), &size);
  ASSERT_ALWAYS(size == digest.size());
  return digest;
}

Digest sha256(std::string_view bytes) {
  Hasher hasher(HashAlgo::kSha256);
  hasher.update(bytes);
  return hasher.finish();
}

Digest md5(std::string_view bytes) {
  Hasher hasher(HashAlgo::kMd5);
  hasher.update(bytes);
  return hasher.finish();
}

namespace {

// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), eight bytes at a time by table ("slicing by 8").
struct CrcTables {
  uint32_t t[8][256];
  constexpr CrcTables() : t{} {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
      t[0][i] = crc;
    }
    for (int k = 1; k < 8; ++k) {
      for (uint32_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
    }
  }
};
constexpr CrcTables kCrc;

#if defined(__x86_64__)
// The processor's own instruction, which is this very polynomial.
[[gnu::target("sse4.2")]] uint32_t crc32c_by_instruction(std::string_view bytes, uint32_t seed) {
  uint64_t crc = ~seed;
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (uint64_t word; n >= sizeof word; p += sizeof word, n -= sizeof word) {
    std::memcpy(&word, p, sizeof word);
    crc = __builtin_ia32_crc32di(crc, word);
  }
  for (; n > 0; ++p, --n) crc = __builtin_ia32_crc32qi(static_cast<uint32_t>(crc), static_cast<unsigned char>(*p));
  return ~static_cast<uint32_t>(crc);
}
const bool kHasCrcInstruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

// Where the processor has no such instruction. Not in the header: only the tests call it by name.
uint32_t crc32c_by_table(std::string_view bytes, uint32_t seed) {
  uint32_t crc = ~seed;
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    word ^= crc;
    crc = kCrc.t[7][word & 255] ^ kCrc.t[6][word >> 8 & 255] ^ kCrc.t[5][word >> 16 & 255] ^
          kCrc.t[4][word >> 24 & 255] ^ kCrc.t[3][word >> 32 & 255] ^ kCrc.t[2][word >> 40 & 255] ^
          kCrc.t[1][word >> 48 & 255] ^ kCrc.t[0][word >> 56];
  }
  for (; n > 0; ++p, --n) crc = crc >> 8 ^ kCrc.t[0][(crc ^ uint8_t(*p)) & 255];
  return ~crc;
}

uint32_t crc32c(std::string_view bytes, uint32_t seed) {
#if defined(__x86_64__)
  if (kHasCrcInstruction) return crc32c_by_instruction(bytes, seed);
#endif
  return crc32c_by_table(bytes, seed);
}

uint64_t stable_hash64(uint64_t seed, std::string_view bytes) {
  char prefix[8];
  for (int i = 0; i < 8; ++i) prefix[i] = char(seed >> (56 - 8 * i));
  Hasher hasher(HashAlgo::kSha256);
  hasher.update({prefix, 8});
  hasher.update(bytes);
  const Digest digest = hasher.finish();
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | digest.bytes[i];
  return value;
}

std::string base64_encode(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                  int(bytes.size()));
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return invalid("base64 text must have a length divisible by 4");
  std::string out(text.size() / 4 * 3, '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(text.data()), int(text.size()));
  if (n < 0) return invalid("base64 text has a character outside its alphabet");
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  out.resize(size_t(n) - padding);
  return out;
}

}  // namespace base
