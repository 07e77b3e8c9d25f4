// Passwords: argon2id as libsodium does it (OpenSSL 3.0 has none; libsodium wipes and gives back its memory), in the
// standard text form, so that the cost can be raised later: what needs it is hashed again at the next login.
//
// Each call takes tens of milliseconds and kMemoryBytes: callers bound how many run at once (gate/passwords.h).
// Thread: safe anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace core {

inline constexpr size_t kMinPassword = 8;
inline constexpr size_t kMaxPassword = 1024;
inline constexpr size_t kPasswordMemoryBytes = 32 << 20;
inline constexpr unsigned kPasswordPasses = 2;

base::Result<void> check_new_password(std::string_view password);  // length; UTF-8
base::Result<std::string> hash_password(std::string_view password);
// An empty hash takes as long as any other and never matches.
bool verify_password(std::string_view hash, std::string_view password);
bool needs_rehash(std::string_view hash);

// Hashes that were taken over from an MLflow server (Werkzeug's text forms scrypt:N:r:p$salt$hex and
// pbkdf2:sha256:rounds$salt$hex) are verified as well, within these costs, and hashed anew at the first login.
inline constexpr uint64_t kMaxScryptBytes = size_t{64} << 20;  // 128 N r
inline constexpr uint64_t kMaxPbkdf2Rounds = 2'000'000;
bool is_foreign_hash(std::string_view hash);

}  // namespace core
