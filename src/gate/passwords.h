// Passwords at the door: checks and makes argon2id hashes on kHashes threads, refuses what waits past kHashQueue, backs
// off from guessers, and remembers a right password as a keyed digest so that a client that sends it with each request
// pays once. The key is random and lives as long as the process.
//
// Thread: safe anywhere; the awaiting loop is never blocked.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/task.h"
#include "core/users.h"
#include "gate/back_off.h"
#include "net/access.h"
#include "net/offload.h"
#include "store/store.h"

namespace gate {

// 128 bits of BLAKE2b under a key that nobody sees: equal for equal text, and says nothing else.
class KeyedDigest {
 public:
  KeyedDigest();
  ~KeyedDigest();  // wiped
  KeyedDigest(const KeyedDigest&) = delete;
  KeyedDigest& operator=(const KeyedDigest&) = delete;
  net::Fingerprint of(std::string_view a, std::string_view b, uint8_t kind = 0) const;

 private:
  unsigned char key_[32];
};

class Passwords {
 public:
  static constexpr size_t kHashes = 2;      // at once: 32 MiB and a core each
  static constexpr size_t kHashQueue = 64;  // waiting; past it 429
  static constexpr int64_t kPasswordTrustUs = 300'000'000;
  static constexpr size_t kRemembered = 4096;

  Passwords(store::Store& store, const base::Clock& clock);

  struct Checked {
    core::User user;       // without its roles
    int64_t until_us = 0;  // monotonic: how long this answer may be remembered
  };
  // kUnauthenticated: no such user, a wrong password, or one who may not log in; nobody learns which. kTooMany: wait.
  base::Task<base::Result<Checked>> check(std::string user, std::string password, std::string address);
  base::Task<base::Result<std::string>> hash(std::string password);
  // Seconds until this address may try this user again; 0: now.
  int64_t retry_after_s(std::string_view address, std::string_view user) const;

 private:
  struct Known {
    int64_t user = 0, stamp = 0, until_us = 0;
  };
  struct Verified {
    int64_t until_us = 0;
    std::string rehash;  // the same password at today's cost, if the stored hash is older
  };
  base::Result<Verified> verify(const core::User* user, const std::string& name, const std::string& password,
                                const std::string& address);
  int64_t remembered_until(const net::Fingerprint& digest, const core::User& user) const;
  void remember(const net::Fingerprint& digest, const core::User& user, int64_t until_us);

  store::Store& store_;
  const base::Clock& clock_;
  KeyedDigest digest_;
  mutable std::mutex mutex_;  // of what follows; never held over a wait or a hash
  BackOff back_off_;
  std::map<std::pair<uint64_t, uint64_t>, Known> known_;
  net::Offload pool_{kHashes, kHashQueue};  // last: its threads use the rest
};

}  // namespace gate
