// EventLoop: base::Loop over one epoll set. One thread runs it.
//
// Descriptors are watched edge-triggered: a Watcher hears once that its descriptor became readable or writable, and
// again only after a read or a write has come short of what it wanted. So a request costs one read, one write and its
// share of a wait.
//
// Thread: run() on one thread; resume(), post() and stop() from any; the rest on the loop's thread (or before it runs).
// Ownership: whoever owns the loop outlives everything that waits on it; what is still suspended when the loop is
// destroyed is never resumed, so a server drains first.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/fs.h"
#include "base/loop.h"

namespace net {

class EventLoop final : public base::Loop {
 public:
  class Watcher {
   public:
    virtual void on_ready(uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR

   protected:
    ~Watcher() = default;
  };

  EventLoop();

  void run();  // until stop()
  void stop();

  int watch(int fd, Watcher& watcher);     // 0, or errno when the system watches no more descriptors
  void rearm(int fd, Watcher& watcher);    // what it is ready for already is told once more
  void unwatch(int fd, Watcher& watcher);  // the watcher hears nothing afterwards, and may go

  void resume(std::vector<std::coroutine_handle<>> handles) override;
  void post(std::move_only_function<void()> work) override;
  TimerId after(int64_t delay_us, std::move_only_function<void()> work) override;
  void cancel(TimerId timer) override;
  // When this thread's loop last looked for what there is to do, monotonic: what has come since waits until it looks
  // again. 0: this thread runs none.
  static int64_t round_began_us();

 private:
  void wait();  // for events, posted work or the next timer; tells the watchers
  void run_posted();
  void run_due_timers();
  int wait_ms();

  base::Fd epoll_;
  base::Fd wake_;  // an eventfd, written when work comes from another thread
  std::array<epoll_event, 4096> events_;  // as many as there may be connections: a round has all that is ready
  int ready_ = 0;  // of events_; those that have been told are zeroed
  std::atomic<bool> stopped_{false};

  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;
  std::atomic<bool> any_posted_{false};  // so that an iteration without posted work takes no lock

  using Due = std::pair<int64_t, TimerId>;  // monotonic µs
  std::map<Due, std::move_only_function<void()>> timers_;
  std::unordered_map<TimerId, int64_t> due_;
  TimerId last_timer_ = 0;
};

// A descriptor and whoever waits for it, one for each direction. For what is not on the hot path: each wait asks the
// kernel anew, so no edge can be missed. Thread: its loop's.
class LoopFd final : EventLoop::Watcher {
 public:
  using Then = std::move_only_function<void(int error)>;  // called from the loop; ECANCELED after cancel()

  LoopFd(EventLoop& loop, base::Fd fd);
  ~LoopFd();  // nothing may be waiting
  int get() const { return fd_.get(); }
  base::Fd release();
  void when_readable(Then then) { wait(reader_, std::move(then)); }
  void when_writable(Then then) { wait(writer_, std::move(then)); }
  void cancel();

 private:
  void on_ready(uint32_t events) override;
  void wait(Then& slot, Then then);

  EventLoop& loop_;
  base::Fd fd_;
  int error_ = 0;
  Then reader_;
  Then writer_;
};

}  // namespace net
