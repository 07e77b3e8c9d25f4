#include "base/loop.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>

#include "base/assert.h"

namespace base {
namespace {

thread_local Loop* current_loop = nullptr;

// The loop of run_blocking: a mutex-guarded queue drained by the calling thread.
class QueueLoop final : public Loop {
 public:
  QueueLoop() { set_current(this); }
  ~QueueLoop() override { set_current(nullptr); }

  void resume(std::vector<std::coroutine_handle<>> handles) override {
    post([hs = std::move(handles)] {
      for (auto h : hs) h.resume();
    });
  }
  void post(std::move_only_function<void()> work) override {
    {
      std::lock_guard guard(mutex_);
      queue_.push_back(std::move(work));
    }
    changed_.notify_one();
  }
  TimerId after(int64_t delay_us, std::move_only_function<void()> work) override {
    const auto due = std::chrono::steady_clock::now() + std::chrono::microseconds(delay_us);
    const TimerId id = ++last_timer_;
    timers_.emplace(std::pair(due, id), std::move(work));
    return id;
  }
  void cancel(TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
  }

  void run_until(const bool& done) {
    while (!done) {
      run_due_timers();
      std::vector<std::move_only_function<void()>> batch;
      {
        std::unique_lock lock(mutex_);
        const auto ready = [&] { return !queue_.empty(); };
        if (done) return;
        if (timers_.empty()) {
          changed_.wait(lock, ready);
        } else {
          changed_.wait_until(lock, timers_.begin()->first.first, ready);
        }
        batch.swap(queue_);
      }
      for (auto& work : batch) work();
    }
  }

 private:
  void run_due_timers() {
    const auto now = std::chrono::steady_clock::now();
    while (!timers_.empty() && timers_.begin()->first.first <= now) {
      auto node = timers_.extract(timers_.begin());
      node.mapped()();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::move_only_function<void()>> queue_;
  std::map<std::pair<std::chrono::steady_clock::time_point, TimerId>, std::move_only_function<void()>> timers_;
  TimerId last_timer_ = 0;
};

detail::Detached run_and_mark(Task<void> task, bool& done, std::exception_ptr& exception) {
  try {
    co_await task;
  } catch (...) {
    exception = std::current_exception();
  }
  done = true;
}

}  // namespace

Loop* Loop::current() { return current_loop; }
void Loop::set_current(Loop* loop) { current_loop = loop; }

void sleep_us::await_suspend(std::coroutine_handle<> handle) const {
  Loop* loop = Loop::current();
  ASSERT_ALWAYS(loop != nullptr);
  loop->after(delay_us, [handle] { handle.resume(); });
}

struct TaskScope::JoinAwaiter {
  TaskScope& scope;
  bool await_ready() const noexcept { return scope.running_ == 0; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { scope.joiner_ = handle; }
  void await_resume() const noexcept {}
};

TaskScope::~TaskScope() { ASSERT_ALWAYS(running_ == 0); }

detail::Detached TaskScope::run(Task<void> child) {
  co_await child;
  if (--running_ == 0 && joiner_) std::exchange(joiner_, {}).resume();
}

void TaskScope::spawn(Task<void> child) {
  ++running_;
  run(std::move(child));
}

Task<void> TaskScope::join() { co_await JoinAwaiter{*this}; }

void detail::run_until(std::move_only_function<Task<void>()> make_task) {
  ASSERT_ALWAYS(Loop::current() == nullptr);
  QueueLoop loop;
  bool done = false;
  std::exception_ptr exception;
  run_and_mark(make_task(), done, exception);
  loop.run_until(done);
  if (exception) std::rethrow_exception(exception);
}

}  // namespace base
