// Loop: a thread that resumes coroutines, runs posted functions and keeps timers. The store and the domains know
// this interface only; net implements it over epoll, and run_blocking() below over a plain queue.
//
// Thread: resume(), post() may be called from any thread; after() and cancel() only on the loop's own thread.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/task.h"

namespace base {

class Loop {
 public:
  using TimerId = uint64_t;

  virtual ~Loop() = default;

  // Resumes all handles on the loop's thread at one wake-up.
  virtual void resume(std::vector<std::coroutine_handle<>> handles) = 0;
  virtual void post(std::move_only_function<void()> work) = 0;
  virtual TimerId after(int64_t delay_us, std::move_only_function<void()> work) = 0;
  virtual void cancel(TimerId timer) = 0;

  // The loop whose thread this is; null on other threads.
  static Loop* current();

 protected:
  static void set_current(Loop* loop);  // by the implementation, on its own thread
};

// co_await sleep_us(n): resumes on the current loop after n microseconds.
struct [[nodiscard]] sleep_us {
  explicit sleep_us(int64_t delay) : delay_us(delay) {}
  bool await_ready() const noexcept { return delay_us <= 0; }
  void await_suspend(std::coroutine_handle<> handle) const;
  void await_resume() const noexcept {}
  int64_t delay_us;
};

// Owns child tasks: spawn() starts one at once on the current thread, join() waits for all. The destructor asserts
// that everything was joined. Thread: all calls and all children on one loop.
class TaskScope {
 public:
  TaskScope() = default;
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  void spawn(Task<void> child);
  Task<void> join();
  size_t running() const { return running_; }

 private:
  detail::Detached run(Task<void> child);
  struct JoinAwaiter;
  size_t running_ = 0;
  std::coroutine_handle<> joiner_;
};

namespace detail {
// Runs a queue loop on the calling thread until *done; used by run_blocking.
void run_until(std::move_only_function<Task<void>()> make_task);
}  // namespace detail

// Runs a task to its end on the calling thread with a loop of its own. For tools, tests and plain threads; never on a
// server loop (asserted).
template <class T>
T run_blocking(Task<T> task) {
  std::optional<T> result;
  detail::run_until([&]() -> Task<void> { result.emplace(co_await task); });
  return std::move(*result);
}
inline void run_blocking(Task<void> task) {
  detail::run_until([&]() -> Task<void> { co_await task; });
}

}  // namespace base
