// Work that waits for another process (a model's worker) off the loops: a bounded pool of threads, started as they are
// needed and shared by lanes, one per thing that may hang. A lane has no more than its share of the threads and of the
// queue, and lanes take turns: one that hangs leaves the others theirs.
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
  Lanes() : Lanes(Limits()) {}
  explicit Lanes(const Limits& limits);
  ~Lanes();  // runs what is queued, then joins

  template <class F>
  auto run(uint64_t lane, F f) {
    return Awaitable<F>(*this, lane, std::move(f));
  }

 private:
  struct Work {
    virtual ~Work() = default;
    virtual void execute() = 0;
    base::Loop* loop = nullptr;
    std::coroutine_handle<> handle;
  };
  bool submit(uint64_t lane, Work* work);

  template <class F>
  struct [[nodiscard]] Awaitable final : Work {
    using R = std::invoke_result_t<F&>;
    Awaitable(Lanes& pool, uint64_t key, F fn) : lanes(pool), lane(key), f(std::move(fn)) {}
    void execute() override { result = f(); }
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      this->handle = h;
      this->loop = base::Loop::current();
      return lanes.submit(lane, this);
    }
    R await_resume() { return std::move(result); }
    Lanes& lanes;
    uint64_t lane;
    F f;
    R result = base::fail(base::Code::kUnavailable, "too many requests wait already; try again");
  };

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
