// Logged models: what log_model makes. registry.h has the short form that other rooms use; this is the whole of it.
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

enum class ModelStatus : uint8_t { kUnspecified, kPending, kReady, kUploadFailed };
std::string_view name(ModelStatus status);  // "LOGGED_MODEL_READY", …
std::optional<ModelStatus> model_status(std::string_view name);
std::optional<ModelStatus> model_status(int64_t number);

struct ModelInfo {
  int64_t row = 0;
  std::string model_id;  // "m-<32 hex>"
  int64_t experiment = 0;
  std::string name;
  std::string model_type;
  std::string source_run_id;
  std::string artifact_uri;
  ModelStatus status = ModelStatus::kPending;
  bool deleted = false;
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
  std::string attempt;
};

struct Model {
  ModelInfo info;
  Tags tags;
  Tags params;
  std::vector<Metric> metrics;
};

struct NewModel {
  std::string experiment_id;
  std::string name;  // "": a random one
  std::string model_type;
  std::string source_run_id;
  Tags params;
  Tags tags;
};

base::Result<Model> create_model(store::Tx& tx, const NewModel& model);
base::Result<Model> get_model(store::Tx& tx, std::string_view model_id, bool allow_deleted = false);
base::Result<Model> finalize_model(store::Tx& tx, std::string_view model_id, ModelStatus status);
base::Result<void> delete_model(store::Tx& tx, std::string_view model_id);
base::Result<void> set_model_tags(store::Tx& tx, std::string_view model_id, const Tags& tags);
base::Result<void> delete_model_tag(store::Tx& tx, std::string_view model_id, std::string_view key);
base::Result<void> log_model_params(store::Tx& tx, std::string_view model_id, const Tags& params);

// Used by the other files of this room.
inline constexpr std::string_view kModelColumns =
    "m.id, m.model_id, m.exp, m.name, m.model_type, m.source_run_id, m.artifact_uri, m.status, m.deleted, "
    "m.created_ms, m.updated_ms, m.attempt";
ModelInfo read_model_info(store::Rows& rows);  // from kModelColumns
Model load_model(store::Tx& tx, ModelInfo info);
base::Result<int64_t> model_row(store::Tx& tx, std::string_view model_id);

}  // namespace track
