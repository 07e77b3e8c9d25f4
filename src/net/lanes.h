// Work that waits for another process (a model's worker), or is long, off the loops: a bounded pool of threads, started as they are
// needed and shared by lanes, one per thing that may hang. A lane has no more than its share of the threads and of the
// queue, and lanes take turns: one that hangs leaves the others theirs. Within a lane the urgent go first.
//     auto done = co_await lanes.run(lane, [&] { return handle(request); });   // resumes on the awaiting loop
// Past the lane's queue run() answers kUnavailable (so f must return a Result). Thread: safe anywhere.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/loop.h"
#include "base/result.h"

namespace net {

class Lanes {
 public:
  struct Limits {
    size_t threads = 64;
    size_t lane_threads = 32;  // of one lane
    size_t lane_queue = 256;   // waiting for one lane's turn
  };
  struct Place {
    uint64_t lane = 0;
    size_t threads = 0;     // of the lane, where fewer than it may have make sense; 0: no fewer
    uint32_t priority = 0;  // lower ones first
  };
  Lanes() : Lanes(Limits()) {}
  explicit Lanes(const Limits& limits);
  ~Lanes();  // runs what is queued, then joins

  template <class F>
  auto run(const Place& place, F f) {
    return Awaitable<F>(*this, place, std::move(f));
  }
  template <class F>
  auto run(uint64_t lane, F f) {
    return run(Place{.lane = lane}, std::move(f));
  }

 private:
  struct Work {
    virtual ~Work() = default;
    virtual void execute() = 0;
    Place place;
    base::Loop* loop = nullptr;
    std::coroutine_handle<> handle;
  };
  bool submit(Work* work);

  template <class F>
  struct [[nodiscard]] Awaitable final : Work {
    using R = std::invoke_result_t<F&>;
    Awaitable(Lanes& pool, const Place& where, F fn) : lanes(pool), f(std::move(fn)) { this->place = where; }
    void execute() override { result = f(); }
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      this->handle = h;
      this->loop = base::Loop::current();
      return lanes.submit(this);
    }
    R await_resume() { return std::move(result); }
    Lanes& lanes;
    F f;
    R result = base::fail(base::Code::kUnavailable, "too many requests wait already; try again");
  };

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
