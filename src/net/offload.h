// Work that blocks (disk, libraries, child processes) off the loops: a bounded pool of threads.
//     auto info = co_await offload.run([&] { return blobs.put_file(path); });   // resumes on the awaiting loop
// Past the queue's limit run() answers kTooMany (so f must return a Result). Thread: safe anywhere.
#pragma once

#include <coroutine>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/loop.h"
#include "base/result.h"

namespace net {

class Offload {
 public:
  explicit Offload(size_t threads = 2, size_t queue_limit = 256);
  ~Offload();  // runs what is queued, then joins

  template <class F>
  auto run(F f) {
    return Awaitable<F>(*this, std::move(f));
  }

 private:
  struct Work {
    virtual ~Work() = default;
    virtual void execute() = 0;
    base::Loop* loop = nullptr;
    std::coroutine_handle<> handle;
  };
  bool submit(Work* work);

  template <class F>
  struct [[nodiscard]] Awaitable final : Work {
    using R = std::invoke_result_t<F&>;
    Awaitable(Offload& pool, F fn) : offload(pool), f(std::move(fn)) {}
    void execute() override { result = f(); }
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      this->handle = h;
      this->loop = base::Loop::current();
      return offload.submit(this);
    }
    R await_resume() { return std::move(result); }
    Offload& offload;
    F f;
    R result = base::fail(base::Code::kTooMany, "too much work is waiting; try again");
  };

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
