// Work that blocks (disk, libraries, child processes) off the loops: a bounded pool of threads.
//     auto info = co_await offload.run([&] { return blobs.put_file(path); });   // resumes on the awaiting loop
// Past the queue's limit run() answers kTooMany (so f must return a Result). Thread: safe anywhere.
#pragma once

#include <atomic>
#include <coroutine>
#include <memory>
#include <thread>
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
    virtual void finished() { loop->resume({handle}); }  // on the pool's thread; the work may be gone after it
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

 public:
  // Work that begins at once, while its coroutine goes on, and that is awaited later, once.
  //     net::Offload::Begun write(offload, [&] { return file.write(piece); });  …  auto done = co_await write;
  // A coroutine that is destroyed meanwhile waits for the work, which may use what lies in its frame.
  template <class F>
  class [[nodiscard]] Begun final : Work {
   public:
    using R = std::invoke_result_t<F&>;
    Begun(Offload& pool, F f) : f_(std::move(f)) {
      this->loop = base::Loop::current();
      if (!pool.submit(this)) done_ = executed_ = true;
    }
    ~Begun() override {
      while (!executed_) std::this_thread::yield();
      *self_ = nullptr;
    }
    bool await_ready() const { return done_; }
    void await_suspend(std::coroutine_handle<> h) { this->handle = h; }
    R await_resume() { return std::move(result_); }

   private:
    void execute() override { result_ = f_(); }
    void finished() override {
      this->loop->post([self = self_] {
        if (*self != nullptr) (*self)->resume();
      });
      executed_ = true;  // last: the destructor waits for it, so that loop and frame outlive the lines above
    }
    void resume() {
      done_ = true;
      if (this->handle) this->handle.resume();
    }
    F f_;
    R result_ = base::fail(base::Code::kTooMany, "too much work is waiting; try again");
    std::shared_ptr<Begun*> self_ = std::make_shared<Begun*>(this);  // read and written on the loop
    std::atomic<bool> executed_ = false;
    bool done_ = false;
  };
};

}  // namespace net
