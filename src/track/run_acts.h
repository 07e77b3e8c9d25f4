// Acts on many runs at once: moving them to another experiment, and copying them with all they hold.
// A run's files stay where they are when it moves: its artifact URI says where. A copy has files of its own (the same
// blobs), but shares those of a root outside this server's store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr size_t kMaxMovedRuns = 1000;        // of one request
inline constexpr size_t kMaxCopiedRuns = 100;        // of one request
inline constexpr size_t kMaxCopiedPoints = 200'000;  // metric points of one request: they are one transaction
inline constexpr size_t kMaxCopiedFiles = 10'000;    // of one request

struct RunsInto {
  std::vector<std::string> run_ids;
  std::string experiment_id;
};

// How many were elsewhere before. kConflict for a run that is RUNNING: its client writes while it would move.
base::Result<int64_t> move_runs(store::Tx& tx, const RunsInto& into);

struct RunCopy {
  std::string from, to;
};
// In the order asked. A copied child whose parent is copied too becomes the child of the copy.
base::Result<std::vector<RunCopy>> copy_runs(store::Tx& tx, const RunsInto& into);

}  // namespace track
