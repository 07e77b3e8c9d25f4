// A seeded world around the real scheduler (flow::step and flow::SlotPool): a store with compare-and-set, engines that
// die between any two acts and sometimes go on as zombies, an executor whose commands and news are delayed, repeated
// and lost, machines that reboot, and a wall clock that jumps. Same seed, same history.
//
// What must hold at every moment: no stage runs twice at once; no attempt starts twice or before its commit; slots are
// kept; nothing starts and nothing succeeds after a cancel; what is over stays as it is; tries are bounded. And when
// the faults stop, every run ends.
#pragma once

#include <cstdint>
#include <string>

namespace sim {

struct Report {
  std::string violation;  // "" if all held
  uint64_t steps = 0;
  uint64_t attempts = 0;
  uint64_t crashes = 0;
  uint64_t conflicts = 0;
};

Report run_world(uint64_t seed);

}  // namespace sim
