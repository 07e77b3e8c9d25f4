// Broadcast: one wakes many. A store commit wakes every event stream; each then reads for itself.
//
//   uint64_t seen = wake.version();
//   … read what there is …
//   co_await wake.wait(seen, 15'000'000, request.ctx.cancelled);   // at once if notify() came in between
//
// Thread: notify() and version() from anywhere; wait() on a loop, where it resumes. Ownership: outlives its waiters.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/loop.h"

namespace net {

class Broadcast {
 public:
  void notify();
  uint64_t version() const { return version_.load(); }

  class Wait;
  // Until the version differs from `seen`, `timeout_us` has passed, or `cancelled` is requested.
  Wait wait(uint64_t seen, int64_t timeout_us, std::stop_token cancelled);

 private:
  struct Waiter;  // shared by the list, the timer and the stop callback; whichever comes first resumes
  static void wake(const std::shared_ptr<Waiter>& waiter);

  std::atomic<uint64_t> version_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Waiter>> waiters_;
};

class [[nodiscard]] Broadcast::Wait {
 public:
  Wait(Broadcast& owner, uint64_t seen, int64_t timeout_us, std::stop_token cancelled)
      : owner_(owner), seen_(seen), timeout_us_(timeout_us), cancelled_(std::move(cancelled)) {}
  bool await_ready() const { return owner_.version() != seen_ || cancelled_.stop_requested(); }
  bool await_suspend(std::coroutine_handle<> handle);
  void await_resume();

 private:
  Broadcast& owner_;
  uint64_t seen_;
  int64_t timeout_us_;
  std::stop_token cancelled_;
  std::shared_ptr<Waiter> waiter_;
  struct OnStop {
    std::shared_ptr<Waiter> waiter;
    void operator()() const { wake(waiter); }
  };
  std::optional<std::stop_callback<OnStop>> on_stop_;
};

}  // namespace net
