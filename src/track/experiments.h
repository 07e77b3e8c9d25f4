// Experiments: names unique within the project (deleted ones keep theirs), ids numeric text, "0" is the default one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  std::string workspace;  // the project's name; filled in with the tags
};

struct NewExperiment {
  std::string name;
  std::string artifact_location;  // "": below default_root
  std::string default_root;       // "": ours
  Tags tags;
};

// Every project has an experiment "Default", which "0" and no id at all mean in it; in project `default` its id is 0.
// Called when a project is made, and for all of them when a server starts; `root` as NewExperiment::default_root.
base::Result<void> ensure_default_experiment(store::Tx& tx, int64_t project, std::string_view root = {});
base::Result<void> ensure_default_experiments(store::Tx& tx, std::string_view root = {});

base::Result<int64_t> create_experiment(store::Tx& tx, const NewExperiment& experiment);
base::Result<Experiment> get_experiment(store::Tx& tx, std::string_view id);  // "" is the default one
base::Result<Experiment> get_experiment_by_name(store::Tx& tx, std::string_view name);
base::Result<void> rename_experiment(store::Tx& tx, std::string_view id, std::string_view name);
base::Result<void> delete_experiment(store::Tx& tx, std::string_view id);   // and its runs
base::Result<void> restore_experiment(store::Tx& tx, std::string_view id);  // and its runs
base::Result<void> set_experiment_tag(store::Tx& tx, std::string_view id, const Tag& tag);
base::Result<void> delete_experiment_tag(store::Tx& tx, std::string_view id, std::string_view key);

// As a list shows them: active ones, by name.
struct ExperimentSummary {
  int64_t id = 0;
  std::string name;
  int64_t runs = 0;                  // active ones
  std::optional<int64_t> newest_ms;  // start of the newest
};
base::Result<std::vector<ExperimentSummary>> experiment_summaries(store::Tx& tx, size_t limit);
// Experiments as a tree: "/" in a name makes folders. What lies directly in one ("" is the top, "team/vision" another).
inline constexpr size_t kMaxFolderNames = 20'000;  // experiments below one folder that are looked at
struct ExperimentFolder {
  std::string name;         // the last part of its path
  int64_t experiments = 0;  // below it, at any depth
};
struct FolderContent {
  std::vector<ExperimentFolder> folders;
  std::vector<ExperimentSummary> experiments;
};
base::Result<FolderContent> experiment_folder(store::Tx& tx, std::string_view path);
base::Result<std::vector<std::string>> active_experiment_ids(store::Tx& tx, size_t limit);

// Used by the other files of this room.
base::Result<int64_t> experiment_row(store::Tx& tx,
                                     std::string_view id);  // the number that an id means in this project
base::Result<Experiment> active_experiment(store::Tx& tx, std::string_view id);  // kInvalid if deleted
base::Result<int64_t> next_experiment_id(store::Tx& tx);
void load_experiment_tags(store::Tx& tx, Experiment& experiment);

}  // namespace track
