#include "serve/limiter.h"

#include <algorithm>
#include <cmath>

namespace serve {

Limiter::Limiter(uint32_t slots, uint32_t most)
    : slots_(std::clamp<uint32_t>(slots, 1, std::max<uint32_t>(most / kTolerance, 1))), most_(most), limit_(most_) {}

bool Limiter::enter() {
  const uint32_t inside = in_flight_.fetch_add(1, std::memory_order_relaxed) + 1;
  // Two that raise it at once may leave the lower value: the next one that enters mends it.
  if (inside > peak_.load(std::memory_order_relaxed)) peak_.store(inside, std::memory_order_relaxed);
  if (inside <= limit()) return true;
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void Limiter::leave_unanswered() {
  if (in_flight_.fetch_sub(1, std::memory_order_relaxed) <= slots_) idled_.store(true, std::memory_order_relaxed);
}

void Limiter::leave(int64_t now_us) {
  leave_unanswered();
  const uint32_t answers = answers_.fetch_add(1, std::memory_order_relaxed) + 1;
  int64_t began_us = window_us_.load(std::memory_order_relaxed);
  if (answers < kSamples || now_us - began_us < kWindowUs) return;
  // One of those that see the window's end closes it.
  if (window_us_.compare_exchange_strong(began_us, now_us, std::memory_order_relaxed)) adapt(now_us - began_us);
}

void Limiter::adapt(int64_t elapsed_us) {
  const auto answers = static_cast<double>(answers_.exchange(0, std::memory_order_relaxed));
  const uint32_t peak = peak_.exchange(in_flight(), std::memory_order_relaxed);
  double next = limit();
  if (!idled_.exchange(false, std::memory_order_relaxed)) {
    next = (next + answers * kPatienceUs / static_cast<double>(elapsed_us)) / 2;  // half a step: few answers are noisy
  } else if (peak * 2 >= limit()) {
    next += std::sqrt(next);
  }
  limit_.store(static_cast<uint32_t>(std::clamp<double>(std::ceil(next), std::min(least(), most_), most_)),
               std::memory_order_relaxed);
}

}  // namespace serve
