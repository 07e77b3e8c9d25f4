// How many workers a Python model should have: pure, so that its rules are tested without processes.
//
// Up at once from none; otherwise only when requests have waited for kPatienceUs, or as many wait as there are seats: a
// burst that the workers there are take in their stride starts nothing. Growth at most doubles. Down one worker at a
// time, each after it has rested for the model's idle time: what traffic comes and goes within that time changes
// nothing. (A lower maximum is obeyed at once, see let_go() in python_workers.cc.) Thread: pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace serve::python {

inline constexpr int64_t kPatienceUs = 20'000;

struct Load {
  size_t live = 0;              // workers that run or start, and are not on their way out
  size_t starting = 0;          // those of them that are not ready
  size_t seats = 1;             // requests that one worker runs at once
  size_t waiting = 0;           // requests without a seat
  int64_t longest_wait_us = 0;  // of those
};

// Never more than `most` (at least 1), nor fewer than `least`.
inline size_t wanted_workers(const Load& load, size_t least, size_t most) {
  most = std::max<size_t>(most, 1);
  size_t wanted = std::max(load.live, least);
  const size_t coming = load.starting * load.seats;
  if (load.waiting > coming) {
    const bool urgent = load.live == 0 || load.longest_wait_us >= kPatienceUs || load.waiting >= load.live * load.seats;
    const size_t missing = (load.waiting - coming + load.seats - 1) / load.seats;
    if (urgent) wanted = std::max(wanted, load.live + std::min(missing, std::max<size_t>(load.live, 1)));
  }
  return std::min(wanted, most);
}

}  // namespace serve::python
