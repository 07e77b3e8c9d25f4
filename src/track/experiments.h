// Experiments: names unique within the project (deleted ones keep theirs), ids numeric text, "0" is the default one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace track {

struct Experiment {
  int64_t id = 0;
  std::string name;
  std::string artifact_location;  // "mlflow-artifacts:/<id>" unless the client named one
  bool deleted = false;
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
  Tags tags;
};

struct NewExperiment {
  std::string name;
  std::string artifact_location;  // "": ours
  Tags tags;
};

// Gives experiment 0, which the first migration makes without a clock, its birth time. Called when a server starts.
base::Result<void> stamp_default_experiment(store::Tx& tx);

base::Result<int64_t> create_experiment(store::Tx& tx, const NewExperiment& experiment);
base::Result<Experiment> get_experiment(store::Tx& tx, std::string_view id);  // "" is the default one
base::Result<Experiment> get_experiment_by_name(store::Tx& tx, std::string_view name);
base::Result<void> rename_experiment(store::Tx& tx, std::string_view id, std::string_view name);
base::Result<void> delete_experiment(store::Tx& tx, std::string_view id);   // and its runs
base::Result<void> restore_experiment(store::Tx& tx, std::string_view id);  // and its runs
base::Result<void> set_experiment_tag(store::Tx& tx, std::string_view id, const Tag& tag);
base::Result<void> delete_experiment_tag(store::Tx& tx, std::string_view id, std::string_view key);

// For callers that only need an experiment of that name to exist (pipelines): its id.
base::Result<int64_t> ensure_experiment(store::Tx& tx, std::string_view name);

// Used by the other files of this room.
base::Result<Experiment> active_experiment(store::Tx& tx, std::string_view id);  // kInvalid if deleted
void load_experiment_tags(store::Tx& tx, Experiment& experiment);

}  // namespace track
