#include "core/password.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "base/assert.h"
#include "base/hash.h"
#include "base/utf8.h"

namespace core {
namespace {

// Nobody's password, hashed at today's cost: an unknown user is answered as slowly as a known one.
constexpr char kNobody[] =
    "$argon2id$v=19$m=32768,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<uint64_t> whole(std::string_view text, uint64_t most) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n == 0 || n > most) return std::nullopt;
  return n;
}

// Werkzeug's: method$salt$hex of the key.
struct Foreign {
  enum class Kind : uint8_t { kScrypt, kPbkdf2 } kind;
  uint64_t n = 0, r = 0, p = 0;  // of scrypt; n: the rounds of PBKDF2
  std::string_view salt, key;
};

std::optional<Foreign> parse_foreign(std::string_view hash) {
  const auto parts = split(hash, '$');
  if (parts.size() != 3 || parts[1].empty() || parts[2].empty() || parts[2].size() > 128) return std::nullopt;
  const auto method = split(parts[0], ':');
  Foreign out{.kind = Foreign::Kind::kScrypt, .salt = parts[1], .key = parts[2]};
  if (method.size() == 4 && method[0] == "scrypt") {
    const auto n = whole(method[1], kMaxScryptBytes), r = whole(method[2], 64), p = whole(method[3], 4);
    if (!n || !r || !p || (*n & (*n - 1)) != 0 || 128 * *n * *r > kMaxScryptBytes) return std::nullopt;
    out.n = *n, out.r = *r, out.p = *p;
    return out;
  }
  if (method.size() != 3 || method[0] != "pbkdf2" || method[1] != "sha256") return std::nullopt;
  const auto rounds = whole(method[2], kMaxPbkdf2Rounds);
  if (!rounds) return std::nullopt;
  out.kind = Foreign::Kind::kPbkdf2;
  out.n = *rounds;
  return out;
}

bool verify_foreign(const Foreign& hash, std::string_view password) {
  std::array<uint8_t, 64> key{};
  const size_t length = hash.kind == Foreign::Kind::kScrypt ? 64 : 32;
  const auto* salt = reinterpret_cast<const uint8_t*>(hash.salt.data());
  const bool made =
      hash.kind == Foreign::Kind::kScrypt
          ? crypto_pwhash_scryptsalsa208sha256_ll(reinterpret_cast<const uint8_t*>(password.data()), password.size(),
                                                  salt, hash.salt.size(), hash.n, static_cast<uint32_t>(hash.r),
                                                  static_cast<uint32_t>(hash.p), key.data(), length) == 0
          : PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), salt,
                              static_cast<int>(hash.salt.size()), static_cast<int>(hash.n), EVP_sha256(),
                              static_cast<int>(length), key.data()) == 1;
  const std::string hex = base::to_hex({key.data(), length});
  return made && hex.size() == hash.key.size() && sodium_memcmp(hex.data(), hash.key.data(), hex.size()) == 0;
}

}  // namespace

base::Result<void> check_new_password(std::string_view password) {
  if (password.size() < kMinPassword || password.size() > kMaxPassword) {
    return base::invalid("a password has " + std::to_string(kMinPassword) + " to " + std::to_string(kMaxPassword) +
                         " bytes; this one has " + std::to_string(password.size()));
  }
  if (!base::is_utf8(password)) return base::invalid("the password is not UTF-8");
  if (password.find('\0') != password.npos) return base::invalid("the password has a NUL");
  return {};
}

base::Result<std::string> hash_password(std::string_view password) {
  TRY(check_new_password(password));
  ASSERT_ALWAYS(sodium_init() >= 0);
  char out[crypto_pwhash_STRBYTES];
  if (crypto_pwhash_str_alg(out, password.data(), password.size(), kPasswordPasses, kPasswordMemoryBytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0)
    return base::fail(base::Code::kUnavailable, "there is not enough memory to hash a password");
  return std::string(out);
}

bool verify_password(std::string_view hash, std::string_view password) {
  ASSERT_ALWAYS(sodium_init() >= 0);
  if (password.size() > kMaxPassword) return false;
  if (const auto foreign = parse_foreign(hash)) return verify_foreign(*foreign, password);
  const std::string text(hash.empty() ? std::string_view(kNobody) : hash);
  const bool equal = crypto_pwhash_str_verify(text.c_str(), password.data(), password.size()) == 0;
  return equal && !hash.empty();
}

bool needs_rehash(std::string_view hash) {
  return crypto_pwhash_str_needs_rehash(std::string(hash).c_str(), kPasswordPasses, kPasswordMemoryBytes) != 0;
}

bool is_foreign_hash(std::string_view hash) { return parse_foreign(hash).has_value(); }

}  // namespace core
