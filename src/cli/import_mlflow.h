// What `lathe import mlflow` does, in one class over two files: import.cc experiments, runs, models, traces and the
// report; import_others.cc evaluation data sets, scorers, questions and queues of reviewers, issues, webhooks, users.
// Reads the source page by page; writes through an ImportTarget. Errors are thrown as Failure. Thread: the command's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/import_artifacts.h"
#include "cli/import_source.h"
#include "cli/import_target.h"

namespace cli {

inline constexpr size_t kRunsAtOnce = 200;
inline constexpr int64_t kNamedDifferences = 50;  // the report counts the rest

// One kind of row on both sides.
struct Tally {
  int64_t there = 0, here = 0;
};

class MlflowImport {
 public:
  MlflowImport(MlflowSource& source, ImportTarget& target, ArtifactRoots roots)
      : source_(source), target_(target), roots_(std::move(roots)), artifacts_(target) {}

  // `auth`: users and what they may do, or null. False: something differs.
  bool run(AuthSource* auth) {
    experiments();
    each_page([this](const std::vector<std::string>& ids) { runs(ids); }, &MlflowSource::run_ids);
    each_page([this](const std::vector<std::string>& ids) { models(ids); }, &MlflowSource::model_ids);
    registry();
    each_page([this](const std::vector<std::string>& ids) { traces(ids); }, &MlflowSource::trace_ids);
    others();
    if (auth != nullptr) users(*auth);
    each_page([this](const std::vector<std::string>& ids) { compare_runs(ids); }, &MlflowSource::run_ids);
    each_page([this](const std::vector<std::string>& ids) { compare_models(ids); }, &MlflowSource::model_ids);
    report();
    return differences_ == 0;
  }

 private:
  template <class F>
  void each_page(F visit, std::vector<std::string> (MlflowSource::*page)(const std::string&, size_t)) {
    std::string after;
    for (auto ids = (source_.*page)(after, kRunsAtOnce); !ids.empty(); ids = (source_.*page)(after, kRunsAtOnce)) {
      visit(ids);
      after = ids.back();
    }
  }
  void differs(const std::string& what) {
    if (++differences_ <= kNamedDifferences) named_.push_back(what);
  }

  void experiments();
  void runs(const std::vector<std::string>& ids);
  void long_run(track::Run run);
  void models(const std::vector<std::string>& ids);
  void registry();
  void traces(const std::vector<std::string>& ids);
  void others();  // import_others.cc
  void datasets();
  void scorers();
  void labels_and_queues();
  void issues();
  void webhooks();
  void users(AuthSource& auth);
  std::optional<int64_t> ours(int64_t experiment) const;
  std::string artifact_uri_of(const takeover::Owners& owner);
  void locate(track::ModelVersion& version);
  std::string home(const std::string& id, const std::string& uri, const std::string& ours);
  void files(const std::string& id, const std::string& uri, const std::string& artifact_uri);
  void compare_runs(const std::vector<std::string>& ids);
  void compare_models(const std::vector<std::string>& ids);
  void report();

  MlflowSource& source_;
  ImportTarget& target_;
  ArtifactRoots roots_;
  ArtifactImporter artifacts_;
  std::map<int64_t, int64_t> experiments_;  // theirs to ours
  Tally experiment_count_, runs_count_, points_, params_, tags_, datasets_, links_, models_count_, registered_,
      versions_, aliases_, traces_, spans_, assessments_, eval_datasets_, records_, scorers_, schemas_, queues_,
      issues_, hooks_, users_, grants_, roles_;
  int64_t runs_made_ = 0, models_made_ = 0, traces_made_ = 0, versions_made_ = 0, differences_ = 0;
  std::map<std::string, int64_t> elsewhere_;  // runs and models whose files stay where they are, by URI without its end
  std::vector<std::string> notes_, named_;
};

}  // namespace cli
