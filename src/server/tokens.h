// Tokens: who a bearer secret belongs to, cached in memory. What is remembered counts only until the next commit that
// left an event (a revocation is one) and for less than a second, so that a revoked token is refused at once here, and
// within a second when another process revoked it.
//
// Thread: find() on any loop; forget() from anywhere.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "net/access.h"
#include "store/store.h"

namespace server {

class Tokens {
 public:
  Tokens(store::Store& store, const base::Clock& clock) : store_(store), clock_(clock) {}
  base::Task<base::Result<std::optional<net::Caller>>> find(std::string secret);
  void forget() { generation_.fetch_add(1, std::memory_order_release); }

 private:
  struct Entry {
    net::Caller caller;
    uint64_t generation = 0;
    int64_t until_us = 0;  // monotonic
  };

  store::Store& store_;
  const base::Clock& clock_;
  std::atomic<uint64_t> generation_{1};
  std::mutex mutex_;  // never held over a wait
  std::map<std::string, Entry, std::less<>> cache_;
};

}  // namespace server
