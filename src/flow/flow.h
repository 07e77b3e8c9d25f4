// Pipelines, pipeline runs, stages and attempts. A pipeline is a graph of stages in dvc.yaml's grammar; a run is one
// execution of it in workspaces made from a bundle; the scheduler is a pure step function (flow/scheduler.h), the world
// is flow/engine.h. This header is what other rooms see: rows and how to start and stop a run.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace flow {

// Limits of one pipeline; past each, check() says so.
inline constexpr size_t kMaxStages = 2000;  // after expansion
inline constexpr size_t kMaxRunParams = 64;
inline constexpr size_t kMaxParamBytes = 4096;
inline constexpr size_t kMaxCmdBytes = 65'536;
inline constexpr int kMaxRetries = 20;
inline constexpr int64_t kMaxRetryDelayUs = 300'000'000;

struct Resources {
  int64_t memory_bytes = 0;  // 0: no limit
  int64_t cpus = 1;          // slots it takes of the engine's concurrency
};

struct StageSpec {                    // one node, after matrix, foreach and tune are expanded
  std::string name;                   // "train@logreg"
  std::string group;                  // "train": the stage it was expanded from
  std::string cmd;                    // run by /bin/sh -c in the workspace; "lathe …" finds this binary
  std::vector<std::string> cmd_list;  // where dvc.yaml has a list: its items, joined in `cmd`
  std::string wdir;
  std::vector<std::string> after;      // stages that must succeed first
  std::vector<std::string> file_deps;  // files of the bundle, or outs of other stages
  // A data set: linked in as folder <name>/ with these parts (train, valid; never test). `raw`: before the fitted
  // transform, for models that contain their own preparation; else the export after it.
  struct DataDep {
    std::string name;
    std::vector<std::string> parts;
    bool raw = false;
  };
  std::vector<DataDep> data_deps;
  std::vector<std::string> outs;
  std::vector<std::string> metrics;           // metric files (also outs)
  std::vector<std::string> uncached;          // outs and metrics with `cache: false`: not in DVC's cache
  std::map<std::string, std::string> params;  // resolved values that count for skipping
  std::map<std::string, std::string> env;
  int64_t timeout_us = 0;
  int retries = 0;
  int64_t retry_delay_us = 1'000'000;  // doubled per try, capped at 5 minutes
  Resources resources;
  bool always = false;    // never skipped (Lathe's own steps, dvc.yaml's always_changed)
  bool frozen = false;    // a result once made stays, whatever changes
  bool internal = false;  // one of Lathe's own steps: not in dvc.lock
  std::string desc;
};

struct PipelineSpec {
  std::string name;
  std::string bundle;      // the tree its runs are made from, unless a run names another
  std::string experiment;  // MLflow experiment its stages log to
  std::vector<StageSpec> stages;
  int64_t max_parallel = 0;                        // 0: the engine's limit
  std::string cron;                                // "0 3 * * * Europe/Paris", or ""; see flow/cron.h
  std::map<std::string, std::string> cron_params;  // parameters of the runs that cron starts, e.g. retrain=1
};

enum class State : uint8_t { kQueued, kRunning, kSucceeded, kFailed, kSkipped, kCancelled, kUpstreamFailed };
std::string_view name(State state);

struct PipelineRun {
  std::string id;  // "pl_…"
  std::string pipeline;
  int64_t number = 0;  // 1, 2, … within the pipeline
  std::string bundle;  // tree digest
  State state = State::kQueued;
  std::string cause;                          // "apply", "manual", "cron", "alert:<id>"
  std::map<std::string, std::string> params;  // e.g. data version to use; visible to stages as LATHE_PARAM_<NAME>
  int64_t created_us = 0;
  int64_t ended_us = 0;  // 0: not yet
};

struct StageRow {
  std::string name;
  std::string group;
  State state = State::kQueued;
  std::string reason;   // why skipped, why failed
  std::string attempt;  // newest attempt's id "at_…"
  int tries = 0;
  int64_t started_us = 0;
  int64_t ended_us = 0;
};

struct NewRun {
  std::string pipeline;
  std::string bundle;  // "": the pipeline's
  std::string cause = "manual";
  std::map<std::string, std::string> params;
  bool force = false;  // no stage is skipped
};

base::Result<void> check(const PipelineSpec& spec);  // names, limits, edges, cycles, cron
base::Result<void> put_pipeline(store::Tx& tx,
                                const PipelineSpec& spec);  // checks; idempotent; emits "pipeline.changed"
base::Result<PipelineSpec> get_pipeline(store::Tx& tx, std::string_view name);
std::vector<std::string> list_pipelines(store::Tx& tx);
base::Result<PipelineRun> create_run(store::Tx& tx, const NewRun& run);  // emits "pipeline_run.created"
base::Result<PipelineRun> get_run(store::Tx& tx, std::string_view id);
std::vector<PipelineRun> list_runs(store::Tx& tx, std::string_view pipeline, size_t limit = 50);  // newest first
std::vector<PipelineRun> list_running(store::Tx& tx, size_t limit);  // of the project, not over, newest first
std::vector<StageRow> list_stages(store::Tx& tx, std::string_view run);
base::Result<void> request_cancel(store::Tx& tx, std::string_view run);  // emits "pipeline_run.cancel_requested"

// What the attempt behind a token is part of; kNotFound if it is not the live one.
struct AttemptInfo {
  std::string attempt, run, pipeline, stage, group, bundle;
};
base::Result<AttemptInfo> attempt_info(store::Tx& tx, std::string_view attempt);
base::Result<AttemptInfo> past_attempt_info(store::Tx& tx, std::string_view attempt);  // live or ended
bool attempt_exists(store::Tx& tx, std::string_view attempt);                          // live or ended
bool attempt_ended(store::Tx& tx, std::string_view attempt);
// Attempts that succeeded (or whose results were reused by a skip) for a stage group of a run.
std::vector<AttemptInfo> attempts_of_group(store::Tx& tx, std::string_view run, std::string_view group);

}  // namespace flow
