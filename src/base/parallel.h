// The same work on many things, on a few threads of its own: for work that waits (network) where a loop would wait for
// one after the other. Thread: f is called from several at once; the caller blocks until all have ended.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace base {

// f(i) for i in [0, n) → Result<void>. After a failure nothing new is begun; answers the first one.
template <class F>
Result<void> for_each_parallel(size_t n, size_t threads, const F& f) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  Result<void> outcome;
  const auto work = [&] {
    for (size_t i = 0; (i = next.fetch_add(1)) < n;) {
      auto done = f(i);
      if (done) continue;
      next = n;
      const std::lock_guard lock(mutex);
      if (outcome) outcome = std::unexpected(std::move(done).error());
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < std::min(n, threads); ++i) helpers.emplace_back(work);
    work();  // the caller's thread is one of them
  }
  return outcome;
}

}  // namespace base
