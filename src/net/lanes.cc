#include "net/lanes.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/assert.h"

namespace net {

struct Lanes::Impl {
  struct Lane {
    std::deque<Work*> queue;  // by priority, then arrival
    size_t threads = 0;
    size_t running = 0;
    bool in_turn = false;  // is in turns_
  };
  struct Idle {
    std::condition_variable wake;
    bool called = false;
  };

  explicit Impl(const Limits& given) : limits(given) {}

  // The caller holds the mutex. A thread for the next turn: the one that became idle last (its memory is warm), or a
  // new one. With neither, a busy thread takes the turn when it is done. Answers whom to wake, best without the mutex,
  // which is the first that he asks for; he is there until the pool ends.
  Idle* call_thread() {
    if (!idle.empty()) {
      Idle* last = idle.back();
      idle.pop_back();
      last->called = true;
      return last;
    }
    if (threads.size() < limits.threads) threads.emplace_back([this] { serve(); });
    return nullptr;
  }

  // The caller holds the mutex.
  Idle* take_turn_if_able(uint64_t key, Lane& lane) {
    if (lane.in_turn || lane.queue.empty() || lane.running >= lane.threads) return nullptr;
    lane.in_turn = true;
    turns.push_back(key);
    return call_thread();
  }
  static void wake(Idle* idle) {
    if (idle) idle->wake.notify_one();
  }

  void serve() {
    std::unique_lock lock(mutex);
    Idle self;
    for (;;) {
      while (turns.empty()) {
        if (stopping) return;
        self.called = false;
        idle.push_back(&self);
        self.wake.wait(lock, [&] { return self.called; });
      }
      const uint64_t key = turns.front();
      turns.pop_front();
      Lane& lane = lanes[key];  // stays where it is: it is erased only when nothing of it runs
      lane.in_turn = false;
      Work* work = lane.queue.front();
      lane.queue.pop_front();
      ++lane.running;
      Idle* next = take_turn_if_able(key, lane);
      lock.unlock();
      wake(next);
      work->execute();
      work->loop->resume({work->handle});
      lock.lock();
      --lane.running;
      wake(take_turn_if_able(key, lane));
      if (lane.running == 0 && lane.queue.empty()) lanes.erase(key);
    }
  }

  const Limits limits;
  std::mutex mutex;
  std::unordered_map<uint64_t, Lane> lanes;
  std::deque<uint64_t> turns;  // lanes that have work and may run it
  std::vector<Idle*> idle;
  std::vector<std::thread> threads;
  bool stopping = false;
};

Lanes::Lanes(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}

Lanes::~Lanes() {
  {
    std::lock_guard guard(impl_->mutex);
    impl_->stopping = true;
    for (Impl::Idle* idle : impl_->idle) {
      idle->called = true;
      idle->wake.notify_one();
    }
    impl_->idle.clear();
  }
  for (auto& thread : impl_->threads) thread.join();
}

bool Lanes::submit(Work* work) {
  ASSERT_ALWAYS(work->loop != nullptr);
  const Place& place = work->place;
  std::unique_lock lock(impl_->mutex);
  Impl::Lane& lane = impl_->lanes[place.lane];
  lane.threads = std::min(place.threads ? place.threads : impl_->limits.lane_threads, impl_->limits.lane_threads);
  if (lane.queue.size() >= impl_->limits.lane_queue) {
    if (lane.running == 0 && lane.queue.empty()) impl_->lanes.erase(place.lane);
    return false;
  }
  auto at = lane.queue.end();
  while (at != lane.queue.begin() && (*std::prev(at))->place.priority > place.priority) --at;
  lane.queue.insert(at, work);
  Impl::Idle* next = impl_->take_turn_if_able(place.lane, lane);
  lock.unlock();
  Impl::wake(next);
  return true;
}

}  // namespace net
