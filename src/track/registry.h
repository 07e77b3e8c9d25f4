// Registered models, versions, aliases; and logged models as other rooms need them. MLflow's words and ids.
// registered.h holds the rest of the registry's surface (tags, stages, renaming, deleting), models.h that of logged
// models.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

struct LoggedModel {
  std::string model_id;  // "m-<32 hex>"
  std::string experiment_id;
  std::string name;
  std::string source_run_id;
  std::string artifact_root;  // of the artifact table: "mlflow/<exp>/models/<id>/artifacts"
  std::string status;         // PENDING, READY, UPLOAD_FAILED, DELETED
  std::string attempt;        // the attempt whose token logged it, if any
  int64_t created_ms = 0;
  std::map<std::string, std::string> tags;
};

struct ModelVersion {
  std::string name;
  int64_t version = 0;
  std::string source;  // as the client gave it: models:/m-…, runs:/…, mlflow-artifacts:/…
  std::string run_id;
  std::string model_id;
  std::string run_link;
  std::optional<std::string> description;  // none once an update left it out
  std::string stage = "None";
  std::string storage_uri;    // where a client downloads it from
  std::string artifact_root;  // root of its files in the artifact table; "" if they are not in our store
  int64_t row = 0;
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
  std::map<std::string, std::string> tags;
  std::vector<std::string> aliases;
};

struct NewModelVersion {
  std::string name;
  std::string source;
  std::string run_id;
  std::string model_id;
  std::string run_link;
  std::string description;
  std::map<std::string, std::string> tags;
};

base::Result<LoggedModel> get_logged_model(store::Tx& tx, std::string_view model_id);
std::vector<LoggedModel> logged_models_of_attempt(store::Tx& tx, std::string_view attempt);  // READY ones, oldest first
base::Result<void> ensure_registered_model(store::Tx& tx, std::string_view name);
base::Result<ModelVersion> create_model_version(store::Tx& tx, const NewModelVersion& version);
base::Result<ModelVersion> get_model_version(store::Tx& tx, std::string_view name, int64_t version);
base::Result<std::optional<ModelVersion>> version_of_logged_model(store::Tx& tx, std::string_view name,
                                                                  std::string_view model_id);
base::Result<void> set_alias(store::Tx& tx, std::string_view name, std::string_view alias, int64_t version);
base::Result<std::optional<ModelVersion>> version_by_alias(store::Tx& tx, std::string_view name,
                                                           std::string_view alias);
base::Result<void> set_version_tag(store::Tx& tx, std::string_view name, int64_t version, std::string_view key,
                                   std::string_view value);
// Root of the files of a version, whatever form its source has.
base::Result<std::string> artifact_root_of(store::Tx& tx, const ModelVersion& version);

}  // namespace track
