// Permanent deletion of what belongs to deleted experiments besides runs and models: their traces with spans,
// assessments, links and files, scorers, issues, label schemas, review queues, and the data sets' links to them. It
// goes before the experiments themselves (track/purge.h), so that a crash between two steps forgets nothing. Thread:
// functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace traces {

inline constexpr int64_t kPurgedTraces = 200;      // of one step
inline constexpr int64_t kPurgedExperiments = 20;  // of one step, when their traces are gone

struct PurgeStep {
  int64_t traces = 0;
  bool more = false;                 // there may be more to do
  std::vector<std::string> folders;  // paths of our own store whose files went; plain copies of them are the caller's
};
// Of the experiments that were deleted by `deleted_before_ms`; of these only, if any are named.
base::Result<PurgeStep> purge_step(store::Tx& tx, int64_t deleted_before_ms,
                                   const std::vector<std::string>& experiment_ids);

}  // namespace traces
