#include "net/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"

namespace net {
namespace {

constexpr uint32_t kAll = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

int64_t mono_us() { return base::system_clock().mono_us(); }

thread_local int64_t round_us = 0;

}  // namespace

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};  // never read: each write is an edge
  ASSERT_ALWAYS(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0);
}

void EventLoop::run() {
  set_current(this);
  while (!stopped_.load(std::memory_order_acquire)) {
    wait();
    run_posted();
    run_due_timers();
  }
  set_current(nullptr);
  round_us = 0;
}

int64_t EventLoop::round_began_us() { return round_us; }

void EventLoop::stop() {
  stopped_.store(true, std::memory_order_release);
  post([] {});
}

int EventLoop::watch(int fd, Watcher& watcher) {
  epoll_event event{.events = kAll, .data = {.ptr = &watcher}};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void EventLoop::rearm(int fd, Watcher& watcher) {
  epoll_event event{.events = kAll, .data = {.ptr = &watcher}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::unwatch(int fd, Watcher& watcher) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = 0; i < ready_; ++i) {  // it may be among those not told yet
    epoll_event& event = events_[static_cast<size_t>(i)];
    if (event.data.ptr == &watcher) event.data.ptr = nullptr;
  }
}

void EventLoop::wait() {
  ready_ = epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), wait_ms());
  ASSERT_ALWAYS(ready_ >= 0 || errno == EINTR);
  round_us = mono_us();
  for (int i = 0; i < ready_; ++i) {
    const epoll_event event = events_[static_cast<size_t>(i)];
    if (event.data.ptr != nullptr) static_cast<Watcher*>(event.data.ptr)->on_ready(event.events);
  }
  ready_ = 0;
}

int EventLoop::wait_ms() {
  if (any_posted_.load(std::memory_order_acquire)) return 0;
  if (timers_.empty()) return -1;
  const int64_t left_us = std::max<int64_t>(timers_.begin()->first.first - mono_us(), 0);
  return static_cast<int>(std::min<int64_t>((left_us + 999) / 1000, std::numeric_limits<int>::max()));
}

void EventLoop::run_posted() {
  if (!any_posted_.load(std::memory_order_acquire)) return;
  std::vector<std::move_only_function<void()>> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(posted_);
    any_posted_.store(false, std::memory_order_relaxed);
  }
  for (auto& work : batch) work();
}

void EventLoop::run_due_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= mono_us()) {
    auto timer = timers_.extract(timers_.begin());
    due_.erase(timer.key().second);
    timer.mapped()();
  }
}

void EventLoop::resume(std::vector<std::coroutine_handle<>> handles) {
  post([hs = std::move(handles)] {
    for (auto handle : hs) handle.resume();
  });
}

void EventLoop::post(std::move_only_function<void()> work) {
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
    any_posted_.store(true, std::memory_order_release);
  }
  if (!first || current() == this) return;  // awake, or woken already
  const uint64_t one = 1;
  std::ignore = ::write(wake_.get(), &one, sizeof one);
}

base::Loop::TimerId EventLoop::after(int64_t delay_us, std::move_only_function<void()> work) {
  const TimerId id = ++last_timer_;
  const int64_t due_us = mono_us() + delay_us;
  timers_.emplace(Due{due_us, id}, std::move(work));
  due_.emplace(id, due_us);
  return id;
}

void EventLoop::cancel(TimerId timer) {
  const auto due = due_.find(timer);
  if (due == due_.end()) return;
  timers_.erase({due->second, timer});
  due_.erase(due);
}

LoopFd::LoopFd(EventLoop& loop, base::Fd fd) : loop_(loop), fd_(std::move(fd)) {
  error_ = loop_.watch(fd_.get(), *this);
}

LoopFd::~LoopFd() {
  if (fd_) loop_.unwatch(fd_.get(), *this);
}

base::Fd LoopFd::release() {
  loop_.unwatch(fd_.get(), *this);
  return std::move(fd_);
}

void LoopFd::wait(Then& slot, Then then) {
  if (error_ != 0) return loop_.post([error = error_, t = std::move(then)]() mutable { t(error); });
  slot = std::move(then);
  loop_.rearm(fd_.get(), *this);
}

void LoopFd::on_ready(uint32_t events) {
  constexpr uint32_t kBroken = EPOLLHUP | EPOLLERR;
  Then reader, writer;  // either may end this object
  if ((events & (EPOLLIN | EPOLLRDHUP | kBroken)) != 0) reader = std::exchange(reader_, nullptr);
  if ((events & (EPOLLOUT | kBroken)) != 0) writer = std::exchange(writer_, nullptr);
  if (reader) reader(0);
  if (writer) writer(0);
}

void LoopFd::cancel() {
  for (Then* slot : {&reader_, &writer_}) {
    if (*slot) loop_.post([t = std::exchange(*slot, nullptr)]() mutable { t(ECANCELED); });
  }
}

}  // namespace net
