// What people look at: pipelines with their newest runs, one run with every attempt and what each stage waits for, and
// the grid of stages × runs. Read only. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "flow/flow.h"
#include "flow/scheduler.h"
#include "store/tx.h"

namespace flow {

inline constexpr size_t kMaxGridCells = 50'000;  // stages × runs of one grid; past it fewer runs are shown

struct PipelineCard {
  PipelineSpec spec;
  int64_t changed_us = 0;
  std::optional<int64_t> cron_next_us;
  std::vector<PipelineRun> runs;  // newest first
  int64_t run_count = 0;
};
base::Result<PipelineCard> pipeline_card(store::Tx& tx, std::string_view pipeline, size_t runs);

// How far a run is; a skipped stage is done.
struct Progress {
  int64_t stages = 0, done = 0, running = 0, failed = 0;
};
Progress progress_of(store::Tx& tx, std::string_view run);

// Runs before `before_number` (0: the newest), newest first.
std::vector<PipelineRun> runs_before(store::Tx& tx, std::string_view pipeline, int64_t before_number, size_t limit);
base::Result<PipelineRun> run_by_number(store::Tx& tx, std::string_view pipeline, int64_t number);

// As it was when the run began: the pipeline may have changed since.
struct RunSpec {
  PipelineSpec spec;
  bool forced = false;
  bool cancel_requested = false;
};
base::Result<RunSpec> run_spec(store::Tx& tx, std::string_view run);

struct AttemptRow {
  std::string id;
  std::string stage;
  std::optional<Outcome> outcome;  // none: it runs
  std::string detail;
  int64_t started_us = 0, ended_us = 0;
};
std::vector<AttemptRow> list_attempts(store::Tx& tx, std::string_view run);  // by stage, oldest first
base::Result<AttemptRow> get_attempt(store::Tx& tx, std::string_view attempt);

// Why a stage that has not ended does not run, in words; "" for one that runs or has ended. By stage name.
std::map<std::string, std::string> waits(store::Tx& tx, std::string_view run);

struct Grid {
  std::vector<PipelineRun> runs;                 // newest first
  std::vector<std::string> stages;               // in the newest run's order, then those that only older ones have
  std::vector<std::vector<StageRow>> stages_of;  // by run; as list_stages
};
base::Result<Grid> grid(store::Tx& tx, std::string_view pipeline, int64_t before_number, size_t runs);

}  // namespace flow
