// What `lathe export mlflow` does, in one class over several files: export.cc experiments, runs, logged models and
// files; export_traces.cc; export_registry.cc. Reads the store page by page, never writes it. Errors are thrown as
// Failure. Thread: the command's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "blob/blob.h"
#include "cli/command.h"
#include "cli/export_tree.h"
#include "cli/export_yaml.h"
#include "store/store.h"
#include "traces/export.h"
#include "track/artifact_root.h"
#include "track/export.h"
#include "track/registered.h"

namespace cli {

class MlflowExport {
 public:
  MlflowExport(ExportTree& tree, store::Store& store, blob::BlobStore& blobs, int64_t project)
      : tree_(tree), store_(store), blobs_(blobs), project_(project) {}
  struct Choice {
    std::vector<std::string> experiments;  // names; none: all
    bool mlflow2 = false;                  // for readers before 3.0, which trip over logged models and newer traces
  };
  // False: something could not be written; the report names it.
  bool run(const Choice& choice);

 private:
  static constexpr size_t kPage = 200;
  struct Tally {
    int64_t here = 0, there = 0, written = 0;
  };

  base::Context context() const;
  template <class F>
  auto read(F f) {
    return need(store_.read_blocking(context(), std::move(f)));
  }
  template <class Row, class Page, class Visit>
  void each_page(Page page, std::string Row::* id, Visit visit) {
    std::string after;
    while (true) {
      const auto rows = read([&](store::Tx& tx) { return page(tx, after, kPage); });
      for (const Row& row : rows) visit(row);
      if (rows.size() < kPage) return;
      after = rows.back().*id;
    }
  }
  static bool is_one_name(std::string_view text);
  static bool is_key(std::string_view text);
  void leave_out(const std::string& what);
  std::string begin_part();
  void end_part(const std::string& part, const std::string& place);
  void flush();

  void experiments(const std::vector<std::string>& names);
  void one_experiment(const track::Experiment& experiment);
  void one_run(const track::RunInfo& info);
  void history(const std::string& run_id, const std::string& key, const std::string& dir);
  void links(const track::Run& run, const std::string& home, const std::string& part);
  void one_model(const track::ModelInfo& info);
  void model_metrics(const track::Model& model, const std::string& dir);
  void one_trace(const traces::TraceInfo& info);
  void assessment(const traces::Assessment& assessment, const std::string& dir);
  void registry(bool only_chosen);
  void one_registered(const track::ImportedRegistered& from, bool only_chosen);
  void one_version(const track::ImportedVersion& from, const std::string& dir, bool was_there);
  struct Owner {       // the run or logged model that a version was made of
    std::string path;  // of its files: below DIR
    std::string root;  // and in the artifact table
    std::string rest;  // the version's folder below both
    int64_t experiment = 0;
  };
  std::optional<Owner> owner_of(const track::ModelVersion& version);
  bool same_files(const Owner& owner, const std::string& root);
  void values(const std::string& dir, const track::Tags& tags, const std::string& what);
  bool copy_files(const std::string& uri, const std::string& dir);
  void copy_root(const std::string& root, const std::string& below, const std::string& dir, std::string_view but = {});
  base::Result<void> copy_file(const blob::Artifact& file, const std::string& path);
  void copy_bytes(int from, int to, const std::string& path);
  void report();

  ExportTree& tree_;
  store::Store& store_;
  blob::BlobStore& blobs_;
  int64_t project_;
  bool mlflow2_ = false;
  std::map<int64_t, std::string> homes_;                      // the folder of each chosen experiment
  std::vector<std::pair<std::string, std::string>> waiting_;  // parts and their places
  int64_t waiting_bytes_ = 0, part_number_ = 0;
  Tally experiments_, runs_, models_, traces_, registered_, versions_;
  int64_t points_ = 0, values_ = 0, links_ = 0, files_ = 0, bytes_ = 0, assessments_ = 0, left_out_ = 0;
  std::map<std::string, int64_t> elsewhere_;
  std::vector<std::string> named_;
};

}  // namespace cli
