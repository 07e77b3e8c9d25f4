// Taking over what another tracking server stored: rows with the ids, times and states that they have. The rules about
// what a client may send now do not hold for them; what is there already is never changed, so that doing it twice
// changes nothing. Called by `lathe import`. Thread: functions on a Tx; each call is bounded by its caller's page.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"
#include "track/experiments.h"
#include "track/models.h"
#include "track/registered.h"
#include "track/runs.h"

namespace track {

struct ImportedExperiment {
  int64_t id = 0;
  bool made = false;  // false: an experiment of that name was there
};
// Found by its name; a new one keeps its id if no experiment of this server has that. An empty artifact_location is
// ours; ids in "{id}" are filled in.
base::Result<ImportedExperiment> import_experiment(store::Tx& tx, const Experiment& experiment);

// Those of the ids that are not here, or only in part (see `more`).
base::Result<std::vector<std::string>> runs_to_import(store::Tx& tx, std::span<const std::string> run_ids);

struct ImportedRun {
  Run run;            // info.experiment is the experiment's id here; metrics is the history
  bool more = false;  // points are still to come by import_points: until finish_run the run is marked
};
base::Result<void> import_runs(store::Tx& tx, std::span<const ImportedRun> runs);
base::Result<void> import_points(store::Tx& tx, std::string_view run_id, std::span<const Metric> points);
base::Result<void> finish_run(store::Tx& tx, std::string_view run_id);

// A logged model; false: it was here.
base::Result<bool> import_model(store::Tx& tx, const Model& model);

struct ImportedVersion {
  ModelVersion version;
  bool deleted = false;
};
struct ImportedRegistered {
  RegisteredModel model;  // with tags and aliases
  std::vector<ImportedVersion> versions;
};
// A registered model or prompt with its versions; the versions and aliases that are here stay as they are. The number
// of versions that were made.
base::Result<int64_t> import_registered(store::Tx& tx, const ImportedRegistered& registered);

struct ImportedFile {
  std::string root, path;  // of the artifact table
  blob::BlobInfo info;
};
base::Result<void> import_files(store::Tx& tx, std::span<const ImportedFile> files);

// What lies here of one run, for the report.
struct RunCounts {
  std::string run_id;
  int64_t points = 0, params = 0, tags = 0, datasets = 0, models = 0;
  bool operator==(const RunCounts&) const = default;
};
base::Result<std::vector<RunCounts>> count_runs(store::Tx& tx, std::span<const std::string> run_ids);  // that exist

}  // namespace track
