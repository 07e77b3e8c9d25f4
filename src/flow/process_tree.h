// The processes below this one, from /proc: what a minder watches and ends. A minder is a child subreaper, so whatever
// its stage leaves behind (background jobs, double forks, setsid) becomes its child and is found here.
// Thread: free functions over /proc; pids are checked against their start time through a pidfd before a signal is sent.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace flow {

struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // since boot: with it a pid names one process for ever
};

std::vector<ProcessId> descendants_of(pid_t root);  // without zombies
void signal_all(const std::vector<ProcessId>& processes, int signal);
// Proportional set sizes (shared pages divided among their users) plus swap, summed.
int64_t pss_bytes(const std::vector<ProcessId>& processes);

}  // namespace flow
