// A tracking store of MLflow's own as `lathe import` reads it: the same rows whether they lie in a database or in a
// folder. Nothing of it is ever written. Errors are thrown as Failure. Thread: the command's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "store/store.h"
#include "takeover/takeover.h"

namespace cli {

// Points of a run that is read at once; the histories of a longer one come in slices.
inline constexpr int64_t kPointsAtOnce = 50'000;

struct SourceTrace {
  int64_t experiment = 0;  // the source's
  traces::ImportedTrace trace;
  std::string artifact_uri;  // where its files lie; "": unknown
};

struct SourceDataset {
  traces::EvalDataset dataset;  // experiment_ids are the source's
  int64_t records = 0;
};

class MlflowSource {
 public:
  virtual ~MlflowSource() = default;

  virtual std::vector<track::Experiment> experiments() = 0;
  // In the order of their ids, those after `after`.
  virtual std::vector<std::string> run_ids(const std::string& after, size_t limit) = 0;
  virtual std::vector<track::RunCounts> counts(const std::vector<std::string>& run_ids) = 0;
  // With everything but points, which `with_points` (a part of run_ids) get too. Experiments are the source's.
  virtual std::vector<track::Run> runs(const std::vector<std::string>& run_ids,
                                       const std::vector<std::string>& with_points) = 0;
  virtual std::vector<track::Metric> points(const std::string& run_id, const std::optional<track::Metric>& after,
                                            size_t limit) = 0;
  virtual std::vector<std::string> model_ids(const std::string& after, size_t limit) = 0;
  virtual std::vector<track::Model> models(const std::vector<std::string>& model_ids) = 0;
  virtual std::vector<std::string> registered_names() = 0;
  virtual track::ImportedRegistered registered(const std::string& name) = 0;

  virtual std::vector<std::string> trace_ids(const std::string& after, size_t limit) = 0;
  // With spans where the source keeps them as rows; else they are the file traces.json.
  virtual std::vector<SourceTrace> traces(const std::vector<std::string>& trace_ids) = 0;

  // What only a database has. Experiments are the source's.
  virtual std::vector<SourceDataset> datasets() { return {}; }
  virtual std::vector<traces::EvalRecord> records(const std::string& /*dataset*/, const std::string& /*after*/,
                                                  size_t /*limit*/) {
    return {};
  }
  virtual std::vector<std::vector<traces::Scorer>> scorers() { return {}; }  // each with its versions, oldest first
  virtual std::vector<traces::ImportedLabelSchema> label_schemas() { return {}; }
  virtual std::vector<traces::ImportedReviewQueue> review_queues() { return {}; }
  virtual std::vector<traces::Issue> issues() { return {}; }
  virtual std::vector<hooks::Hook> webhooks() { return {}; }

  virtual base::Path folder() const = 0;  // what relative paths in it are relative to; "": none
  // A folder of the source itself that holds the artifacts of a run or logged model; "": none
  virtual base::Path own_artifacts(const std::string& /*id*/) { return {}; }
  // What it holds that is not taken over, with how many of it.
  virtual std::vector<std::pair<std::string, int64_t>> left_out() = 0;
};

// Users of MLflow's auth app and what they may do. Resources are the source's.
struct SourceUser {
  takeover::NewUser user;
  std::vector<takeover::Grant> grants;
};
class AuthSource {
 public:
  virtual ~AuthSource() = default;
  virtual std::vector<SourceUser> users() = 0;  // administrators first
  virtual std::vector<takeover::NewRole> roles() = 0;
  virtual std::vector<std::pair<std::string, int64_t>> left_out() = 0;  // valid after the other two
};
std::unique_ptr<AuthSource> open_auth_source(const std::string& where, const std::string& workspace);

// A path or sqlite:/// of a database file, or postgresql://.
std::unique_ptr<MlflowSource> open_sql_source(const std::string& where, const std::string& workspace);
std::unique_ptr<MlflowSource> open_folder_source(const base::Path& dir);

// A database of another server, opened for reading; `folder`: of its file.
std::unique_ptr<store::Store> open_source_store(const std::string& where, base::Path& folder);

// Tag mlflow.runName is the name of a run.
void take_name_tag(track::Run& run);

}  // namespace cli
