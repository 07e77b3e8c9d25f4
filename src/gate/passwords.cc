#include "gate/passwords.h"

#include <sodium.h>

#include <cstring>

#include "base/assert.h"
#include "base/log.h"
#include "core/password.h"

namespace gate {
namespace {

std::unexpected<base::Error> wrong() {
  return base::fail(base::Code::kUnauthenticated, "the user name or the password is wrong");
}

std::unexpected<base::Error> wait(int64_t wait_us) {
  return base::fail(base::Code::kTooMany,
                    "too many wrong passwords; try again in " + std::to_string((wait_us + 999'999) / 1'000'000) + " s");
}

}  // namespace

KeyedDigest::KeyedDigest() {
  ASSERT_ALWAYS(sodium_init() >= 0);
  randombytes_buf(key_, sizeof key_);
}

KeyedDigest::~KeyedDigest() { sodium_memzero(key_, sizeof key_); }

net::Fingerprint KeyedDigest::of(std::string_view a, std::string_view b, uint8_t kind) const {
  crypto_generichash_state state;
  unsigned char out[16];
  const uint64_t head[2] = {kind, a.size()};  // where one ends and the other begins is part of it
  crypto_generichash_init(&state, key_, sizeof key_, sizeof out);
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(head), sizeof head);
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(a.data()), a.size());
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(b.data()), b.size());
  crypto_generichash_final(&state, out, sizeof out);
  net::Fingerprint print;
  std::memcpy(&print.a, out, 8);
  std::memcpy(&print.b, out + 8, 8);
  return print;
}

Passwords::Passwords(store::Store& store, const base::Clock& clock) : store_(store), clock_(clock) {}

int64_t Passwords::remembered_until(const net::Fingerprint& digest, const core::User& user) const {
  std::lock_guard guard(mutex_);
  const auto found = known_.find({digest.a, digest.b});
  if (found == known_.end() || found->second.user != user.id || found->second.stamp != user.stamp) return 0;
  return found->second.until_us > clock_.mono_us() ? found->second.until_us : 0;
}

void Passwords::remember(const net::Fingerprint& digest, const core::User& user, int64_t until_us) {
  std::lock_guard guard(mutex_);
  if (known_.size() >= kRemembered) known_.clear();
  known_[{digest.a, digest.b}] = {user.id, user.stamp, until_us};
}

// On a thread of the pool. Whether it may be tried is asked here, after the wait in the queue: many guesses that were
// sent at once get no further than one after the other.
base::Result<Passwords::Verified> Passwords::verify(const core::User* user, const std::string& name,
                                                    const std::string& password, const std::string& address) {
  const net::Fingerprint digest = digest_.of(name, password);
  if (user != nullptr) {  // another request with the same password was first
    if (const int64_t until_us = remembered_until(digest, *user); until_us != 0) return Verified{until_us, ""};
  }
  {
    std::lock_guard guard(mutex_);
    if (const int64_t us = back_off_.wait_us(address, name, clock_.mono_us()); us > 0) return wait(us);
  }
  const bool can = user != nullptr && !user->disabled && !user->password.empty();
  const bool right = core::verify_password(can ? user->password : std::string(), password);
  const int64_t now_us = clock_.mono_us();
  if (!right) {
    std::lock_guard guard(mutex_);
    back_off_.wrong(address, name, now_us);
    return wrong();
  }
  {
    std::lock_guard guard(mutex_);
    back_off_.right(address, name);
  }
  Verified verified{now_us + kPasswordTrustUs, ""};
  remember(digest, *user, verified.until_us);
  if (core::needs_rehash(user->password)) {
    if (auto fresh = core::hash_password(password)) verified.rehash = std::move(*fresh);
  }
  return verified;
}

base::Task<base::Result<Passwords::Checked>> Passwords::check(std::string name, std::string password,
                                                              std::string address) {
  if (password.size() > core::kMaxPassword || name.size() > core::kMaxPassword || name.find('\0') != name.npos)
    co_return wrong();
  auto look = [&name](store::Tx& tx) -> base::Result<std::optional<core::User>> {
    auto user = core::find_user(tx, name);
    TRY(tx.status());
    return user;
  };
  auto found = co_await store_.read_point(base::Context::system(clock_), look);
  if (!found) co_return std::unexpected(std::move(found).error());
  const core::User* user = *found ? &**found : nullptr;
  if (user != nullptr && !user->disabled) {
    const int64_t until_us = remembered_until(digest_.of(name, password), *user);
    if (until_us != 0) co_return Checked{std::move(**found), until_us};
  }
  auto verified = co_await pool_.run([&] { return verify(user, name, password, address); });
  if (!verified) {
    base::log::warn("a login was refused",
                    {{"user", name.substr(0, 64)}, {"address", address}, {"why", base::name(verified.error().code)}});
    co_return std::unexpected(std::move(verified).error());
  }
  if (!verified->rehash.empty()) {
    auto store = [&](store::Tx& tx) { return core::store_rehash(tx, user->id, user->password, verified->rehash); };
    std::ignore = co_await store_.write(base::Context::system(clock_), store);
  }
  co_return Checked{std::move(**found), verified->until_us};
}

base::Task<base::Result<std::string>> Passwords::hash(std::string password) {
  co_return co_await pool_.run([&] { return core::hash_password(password); });
}

int64_t Passwords::retry_after_s(std::string_view address, std::string_view user) const {
  std::lock_guard guard(mutex_);
  return (back_off_.wait_us(address, user, clock_.mono_us()) + 999'999) / 1'000'000;
}

}  // namespace gate
