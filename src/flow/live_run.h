// A run as the engine holds it: the fixed part (what was asked for) and the moving part (scheduler state), read from
// and written to rows. Thread: values; the fixed part is shared and immutable.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "flow/flow.h"
#include "flow/scheduler.h"
#include "store/tx.h"

namespace flow {

struct RunFacts {
  int64_t row = 0;
  int64_t project = 0;
  PipelineRun run;  // as created; its state is stale
  PipelineSpec spec;
  bool forced = false;
};

struct LiveRun {
  std::shared_ptr<const RunFacts> facts;
  RunState state;
  int64_t version = 0;
  bool cancel_asked = false;  // by a row that the scheduler has not been told of
};

base::Result<LiveRun> load_run(store::Tx& tx, int64_t row);
base::Result<std::vector<int64_t>> live_run_rows(store::Tx& tx);  // not ended, oldest first

// Writes by compare-and-set on the run's version, and moves it on. kConflict: somebody else moved the run; load it
// again.
base::Result<void> save_run(store::Tx& tx, LiveRun& live);
void save_stage(store::Tx& tx, const RunFacts& facts, uint32_t stage, const StageState& state);

}  // namespace flow
