// A memory limit for one attempt: a cgroup v2 of its own where the group this process lives in was delegated to us;
// else the minder samples the PSS of the processes (never RLIMIT_AS: address space is not memory, and runtimes reserve
// much). Thread: the minder's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fs.h"

namespace flow {

class MemoryLimit {
 public:
  void prepare(std::string_view attempt, int64_t bytes);  // makes the cgroup, if it can
  bool sampled() const { return bytes_ > 0 && group_.empty(); }
  void enter();           // in the child, before exec: only calls that are safe after fork
  bool exceeded() const;  // the kernel killed for it
  void kill_all();        // every process of the cgroup
  void remove();

 private:
  int64_t bytes_ = 0;
  base::Path group_;   // empty: none
  std::string procs_;  // group_/cgroup.procs, made before the fork
};

}  // namespace flow
