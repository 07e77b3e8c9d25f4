// Runs: their life, params, tags, inputs and outputs. See metrics.h for metrics, search.h for finding them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/metrics.h"
#include "track/types.h"

namespace track {

enum class RunStatus : uint8_t { kRunning = 1, kScheduled, kFinished, kFailed, kKilled };
std::string_view name(RunStatus status);  // "RUNNING", …
std::optional<RunStatus> run_status(std::string_view name);
std::optional<RunStatus> run_status(int64_t number);

struct RunInfo {
  int64_t row = 0;
  std::string run_id;  // 32 hex
  int64_t experiment = 0;
  std::string name;
  std::string user_id;
  RunStatus status = RunStatus::kRunning;
  int64_t start_ms = 0;
  std::optional<int64_t> end_ms;
  bool deleted = false;
  std::string artifact_uri;
  std::string attempt;   // whose token created it, if a stage did
  bool name_tag = true;  // tag mlflow.runName is the name column, until somebody deletes the tag
};

struct Dataset {
  std::string name, digest, source_type, source;
  std::optional<std::string> schema, profile;
};
struct DatasetInput {
  Dataset dataset;
  Tags tags;  // mlflow.data.context names what it was used for
};
struct ModelOutput {
  std::string model_id;
  int64_t step = 0;
};

struct Run {
  RunInfo info;
  std::vector<Metric> metrics;  // latest of each key
  Tags params;
  Tags tags;
  std::vector<DatasetInput> datasets;
  std::vector<std::string> model_inputs;
  std::vector<ModelOutput> model_outputs;
};

struct NewRun {
  std::string experiment_id;  // "": the default experiment
  std::string user_id;
  std::string name;  // "": tag mlflow.runName, else a random one
  int64_t start_ms = 0;
  Tags tags;
};
base::Result<Run> create_run(store::Tx& tx, const NewRun& run);
base::Result<Run> get_run(store::Tx& tx, std::string_view run_id);
base::Result<RunInfo> get_run_info(store::Tx& tx, std::string_view run_id);

struct RunUpdate {
  std::string run_id;
  std::optional<RunStatus> status;
  std::optional<int64_t> end_ms;
  std::optional<std::string> name;
};
base::Result<RunInfo> update_run(store::Tx& tx, const RunUpdate& update);
base::Result<void> delete_run(store::Tx& tx, std::string_view run_id);
base::Result<void> restore_run(store::Tx& tx, std::string_view run_id);

// One request's worth of logging; the single calls are batches of one with their own wording of errors.
struct Batch {
  std::string run_id;
  std::vector<Metric> metrics;
  Tags params;
  Tags tags;
  bool single = false;  // errors name "key" and not "params[0].key"
};
base::Result<void> log_batch(store::Tx& tx, const Batch& batch);
base::Result<void> delete_run_tag(store::Tx& tx, std::string_view run_id, std::string_view key);

struct RunInputs {
  std::string run_id;
  std::vector<DatasetInput> datasets;
  std::vector<std::string> models;
};
base::Result<void> log_inputs(store::Tx& tx, const RunInputs& inputs);
struct RunOutputs {
  std::string run_id;
  std::vector<ModelOutput> models;
};
base::Result<void> log_outputs(store::Tx& tx, const RunOutputs& outputs);

struct DatasetSummary {
  int64_t experiment = 0;
  std::string name, digest, context;
};
base::Result<std::vector<DatasetSummary>> search_datasets(store::Tx& tx,
                                                          const std::vector<std::string>& experiment_ids);

// Used by the other files of this room.
base::Result<RunInfo> active_run(store::Tx& tx, std::string_view run_id);  // kInvalid if deleted
RunInfo read_run_info(store::Rows& rows);                                  // from kRunColumns
inline constexpr std::string_view kRunColumns =
    "r.id, r.run_id, r.exp, r.name, r.user_id, r.status, r.start_ms, r.end_ms, r.deleted, r.artifact_uri, r.attempt, "
    "r.name_tag";
inline constexpr int kRunColumnCount = 12;
Run load_run(store::Tx& tx, RunInfo info);
inline constexpr std::string_view kRunNameTag = "mlflow.runName";

}  // namespace track
