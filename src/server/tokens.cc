#include "server/tokens.h"

#include "core/identity.h"

namespace server {
namespace {
constexpr int64_t kRememberUs = 900'000;
constexpr size_t kMaxRemembered = 1024;
}  // namespace

base::Task<base::Result<std::optional<net::Caller>>> Tokens::find(std::string secret) {
  const uint64_t generation = generation_.load(std::memory_order_acquire);
  {
    std::lock_guard guard(mutex_);
    if (auto it = cache_.find(secret); it != cache_.end()) {
      if (it->second.generation == generation && clock_.mono_us() < it->second.until_us) co_return it->second.caller;
      cache_.erase(it);
    }
  }
  auto lookup = [&secret](store::Tx& tx) { return core::find_token(tx, secret); };
  auto found = co_await store_.read_point(base::Context::system(clock_), lookup);
  if (!found) co_return std::unexpected(std::move(found).error());
  if (!*found) co_return std::nullopt;
  net::Caller caller{(*found)->actor, (*found)->project};
  std::lock_guard guard(mutex_);
  if (cache_.size() >= kMaxRemembered) cache_.clear();
  cache_[std::move(secret)] = {caller, generation, clock_.mono_us() + kRememberUs};
  co_return caller;
}

}  // namespace server
