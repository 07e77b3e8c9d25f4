#include "net/asio_loop.h"

#include "net/asio_internal.h"

namespace net {

AsioLoop::AsioLoop() : impl_(std::make_unique<Impl>()) {}
AsioLoop::~AsioLoop() = default;

void AsioLoop::run() {
  set_current(this);
  impl_->context.run();
  set_current(nullptr);
}

void AsioLoop::stop() { impl_->context.stop(); }

void AsioLoop::resume(std::vector<std::coroutine_handle<>> handles) {
  if (handles.size() == 1) {
    asio::post(impl_->context, [handle = handles.front()] { handle.resume(); });
    return;
  }
  asio::post(impl_->context, [hs = std::move(handles)] {
    for (auto handle : hs) handle.resume();
  });
}

void AsioLoop::post(std::move_only_function<void()> work) {
  asio::post(impl_->context, [w = std::move(work)]() mutable { w(); });
}

base::Loop::TimerId AsioLoop::after(int64_t delay_us, std::move_only_function<void()> work) {
  const TimerId id = ++impl_->last_timer;
  auto timer = std::make_unique<Timer>(impl_->context.get_executor(), std::chrono::microseconds(delay_us));
  timer->async_wait([impl = impl_.get(), id, w = std::move(work)](const boost::system::error_code&) mutable {
    // A cancelled timer is no longer in the table, even if its expiry was already queued.
    if (impl->timers.erase(id) != 0) w();
  });
  impl_->timers.emplace(id, std::move(timer));
  return id;
}

void AsioLoop::cancel(TimerId timer) { impl_->timers.erase(timer); }

}  // namespace net
