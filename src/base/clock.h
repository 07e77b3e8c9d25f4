// Two clocks, always passed in. Wall time is int64 microseconds since 1970 UTC; monotonic time is for durations and
// deadlines only. Thread: implementations are safe to read from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t wall_us() const = 0;
  virtual int64_t mono_us() const = 0;
};

const Clock& system_clock();

// A clock that stands still until told: for tests and the simulator.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t wall_us = 1'700'000'000'000'000) : wall_us_(wall_us) {}
  int64_t wall_us() const override { return wall_us_; }
  int64_t mono_us() const override { return mono_us_; }
  void advance_us(int64_t delta) { wall_us_ += delta, mono_us_ += delta; }
  void jump_wall_us(int64_t delta) { wall_us_ += delta; }  // a clock step: monotonic time stays

 private:
  std::atomic<int64_t> wall_us_;
  std::atomic<int64_t> mono_us_{0};
};

std::string format_iso8601(int64_t wall_us);           // 2026-11-24T23:19:57.123456Z
Result<int64_t> parse_iso8601(std::string_view text);  // also without fraction, with +hh:mm

}  // namespace base
