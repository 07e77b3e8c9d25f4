#include "core/password.h"

#include <sodium.h>

#include "base/assert.h"
#include "base/utf8.h"

namespace core {
namespace {

// Nobody's password, hashed at today's cost: an unknown user is answered as slowly as a known one.
constexpr char kNobody[] =
    "$argon2id$v=19$m=32768,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

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
  const std::string text(hash.empty() ? std::string_view(kNobody) : hash);
  const bool equal = crypto_pwhash_str_verify(text.c_str(), password.data(), password.size()) == 0;
  return equal && !hash.empty() && password.size() <= kMaxPassword;
}

bool needs_rehash(std::string_view hash) {
  return crypto_pwhash_str_needs_rehash(std::string(hash).c_str(), kPasswordPasses, kPasswordMemoryBytes) != 0;
}

}  // namespace core
