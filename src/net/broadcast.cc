#include "net/broadcast.h"

#include <algorithm>

#include "base/assert.h"

namespace net {

struct Broadcast::Waiter {
  base::Loop* loop = nullptr;
  std::coroutine_handle<> handle;
  base::Loop::TimerId timer = 0;
  bool woken = false;  // on the loop only
};

void Broadcast::wake(const std::shared_ptr<Waiter>& waiter) {
  waiter->loop->post([waiter] {
    if (std::exchange(waiter->woken, true)) return;
    waiter->loop->cancel(waiter->timer);
    waiter->handle.resume();
  });
}

void Broadcast::notify() {
  std::vector<std::shared_ptr<Waiter>> waiters;
  {
    std::lock_guard guard(mutex_);
    version_.fetch_add(1);
    waiters.swap(waiters_);
  }
  for (const auto& waiter : waiters) wake(waiter);
}

Broadcast::Wait Broadcast::wait(uint64_t seen, int64_t timeout_us, std::stop_token cancelled) {
  return Wait(*this, seen, timeout_us, std::move(cancelled));
}

bool Broadcast::Wait::await_suspend(std::coroutine_handle<> handle) {
  waiter_ = std::make_shared<Waiter>();
  waiter_->loop = base::Loop::current();
  ASSERT_ALWAYS(waiter_->loop != nullptr);
  waiter_->handle = handle;
  {
    std::lock_guard guard(owner_.mutex_);
    if (owner_.version() != seen_) return false;
    owner_.waiters_.push_back(waiter_);
  }
  waiter_->timer = waiter_->loop->after(timeout_us_, [waiter = waiter_] {
    if (!std::exchange(waiter->woken, true)) waiter->handle.resume();
  });
  on_stop_.emplace(cancelled_, OnStop{waiter_});
  return true;
}

void Broadcast::Wait::await_resume() {
  on_stop_.reset();
  if (!waiter_) return;
  std::lock_guard guard(owner_.mutex_);
  std::erase(owner_.waiters_, waiter_);
}

}  // namespace net
