// How many requests of one endpoint may be in the house at once, waiting and running together: as many as are answered
// in acceptable time. By Little's law whoever enters waits for in_flight / throughput, so
//
//     limit = throughput · kPatienceUs, but no less than kTolerance · slots
//
// with the throughput of the last window in which the model never idled: only that is its capacity. In other windows
// the limit grows by its root, if it was needed. Netflix' concurrency-limits begin with the same law, and their and
// Envoy's gradients (limit · minRTT / RTT + √limit) estimate by two latencies what a server before its own queue can
// count: how quickly it is emptied. Counting has no dead time either; a latency is known when its request has left, and
// a controller on a second of it swings.
//
// A model that runs on the loops, on the thread that read the request, has its queue in the sockets, where nobody can
// count it; the loops bound it by time (api/inference/core.h). The limiter then only tells which models those are: one
// that takes longer than kInlineUs, most of the time, is run on threads of its own.
//
// Thread: all of it anywhere, without locks.
#pragma once

#include <atomic>
#include <cstdint>

namespace serve {

inline constexpr int64_t kInlineUs = 500;     // of one run on a loop: a hand-over costs a tenth of it
inline constexpr uint32_t kMostInHouse = 288;  // of one endpoint off the loops: a lane's threads and its queue

class Limiter {
 public:
  static constexpr int64_t kPatienceUs = 1'000'000;  // an answer that comes within it is never too late
  static constexpr uint32_t kTolerance = 4;          // times what the model runs at once, where a run takes longer
  static constexpr int64_t kWindowUs = 100'000;      // at least, and
  static constexpr uint32_t kSamples = 10;           //   so many answers

  // `slots`: how many requests the model runs at once.
  Limiter(uint32_t slots, uint32_t most);

  // A request arrives. False: there are too many, and it has not entered.
  bool enter();
  void leave(int64_t now_us);  // the model has run it
  void leave_unanswered();     // it has not: refused later, too late, or gone
  // What one run of a model took that does not wait for anybody. Hot path.
  void ran(int64_t us) {
    const int32_t slow = slow_.load(std::memory_order_relaxed);
    if (us <= kInlineUs) [[likely]] {
      if (slow != 0) [[unlikely]]
        slow_.store(slow - 1, std::memory_order_relaxed);
    } else if (slow < 2 * kSlowRuns) {
      slow_.store(slow + 1, std::memory_order_relaxed);
    }
  }
  // Most of its last runs were too long for a loop.
  bool slow() const { return slow_.load(std::memory_order_relaxed) >= kSlowRuns; }

  uint32_t limit() const { return limit_.load(std::memory_order_relaxed); }
  uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  uint32_t slots() const { return slots_; }
  uint32_t waiting() const { return in_flight() > slots_ ? in_flight() - slots_ : 0; }

 private:
  static constexpr int32_t kSlowRuns = 8;
  void adapt(int64_t elapsed_us);
  uint32_t least() const { return kTolerance * slots_; }

  const uint32_t slots_, most_;
  std::atomic<int32_t> slow_{0};
  std::atomic<uint32_t> limit_;
  std::atomic<uint32_t> in_flight_{0};
  std::atomic<int64_t> window_us_{0};  // when it began
  std::atomic<uint32_t> answers_{0};   // of the window, as are
  std::atomic<uint32_t> peak_{0};      //   the most that were inside
  std::atomic<bool> idled_{true};      //   and whether the model had too little to do
};

}  // namespace serve
