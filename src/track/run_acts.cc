#include "track/run_acts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "base/json_writer.h"
#include "blob/blob.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "track/artifact_root.h"
#include "track/experiments.h"
#include "track/inputs.h"
#include "track/points.h"
#include "track/runs.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr std::string_view kParentTag = "mlflow.parentRunId";
constexpr int64_t kPointsAtOnce = 25'000;

Result<void> check_count(size_t count, size_t most) {
  if (count == 0) return invalid("no run is named");
  if (count <= most) return {};
  return invalid(std::to_string(count) + " runs are named; at most " + std::to_string(most) + " are allowed");
}

std::string body_of(std::string_view from_key, std::string_view from, std::string_view to_key, std::string_view to) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field(from_key, from).field(to_key, to).end_object();
  return body;
}

// A run's data sets belong to its experiment: the new one gets those that it does not know.
void move_inputs(store::Tx& tx, int64_t run, int64_t exp) {
  std::vector<std::pair<int64_t, int64_t>> links;  // input, data set
  {
    auto rows = tx.query("SELECT id, dataset FROM track_inputs WHERE project = ? AND run = ?", tx.project(), run);
    while (rows.next()) links.emplace_back(rows.i64(0), rows.i64(1));
  }
  for (const auto& [input, dataset] : links) {
    tx.exec(
        "INSERT INTO track_datasets (project, exp, name, digest, source_type, source, schema_text, profile) "
        "SELECT project, ?, name, digest, source_type, source, schema_text, profile FROM track_datasets "
        "WHERE project = ? AND id = ? ON CONFLICT (project, exp, name, digest) DO NOTHING",
        exp, tx.project(), dataset);
    tx.exec(
        "UPDATE track_inputs SET dataset = (SELECT b.id FROM track_datasets a JOIN track_datasets b ON "
        "b.project = a.project AND b.exp = ? AND b.name = a.name AND b.digest = a.digest WHERE a.project = ? AND "
        "a.id = ?) WHERE project = ? AND id = ?",
        exp, tx.project(), dataset, tx.project(), input);
  }
}

void move_run(store::Tx& tx, const RunInfo& run, int64_t exp) {
  tx.exec("UPDATE track_runs SET exp = ? WHERE project = ? AND id = ?", exp, tx.project(), run.row);
  tx.exec("UPDATE track_params SET exp = ? WHERE project = ? AND run = ?", exp, tx.project(), run.row);
  tx.exec("UPDATE track_tags SET exp = ? WHERE project = ? AND run = ?", exp, tx.project(), run.row);
  tx.exec("UPDATE track_latest_metrics SET exp = ? WHERE project = ? AND run = ?", exp, tx.project(), run.row);
  tx.exec("UPDATE track_models SET exp = ? WHERE project = ? AND source_run_id = ?", exp, tx.project(), run.run_id);
  move_inputs(tx, run.row, exp);
  const std::string body = body_of("from", std::to_string(run.experiment), "to", std::to_string(exp));
  core::emit(tx, "run.moved", "run", run.run_id, body);
  core::audit(tx, "run.moved", "run", run.run_id, body);
}

class Copier {
 public:
  Copier(store::Tx& tx, std::string experiment_id) : tx_(tx), experiment_id_(std::move(experiment_id)) {}

  Result<std::string> copy(std::string_view run_id) {
    TRY(active_run(tx_, run_id));
    TRY_SET(const Run from, get_run(tx_, run_id));
    TRY_SET(const RunInfo to, make(from));
    TRY(copy_metrics(from, to));
    TRY(log_inputs(tx_, {.run_id = to.run_id, .datasets = from.datasets, .models = from.model_inputs}));
    tx_.exec(
        "INSERT INTO track_run_models (project, run, is_output, model_id, step) SELECT project, ?, is_output, "
        "model_id, step FROM track_run_models WHERE project = ? AND run = ? AND is_output = 1",
        to.row, tx_.project(), from.info.row);
    TRY(copy_files(from.info, to));
    TRY(update_run(tx_, {.run_id = to.run_id, .status = from.info.status, .end_ms = from.info.end_ms, .name = {}}));
    core::add_edge(tx_, {"run", from.info.run_id}, {"run", to.run_id}, "copied");
    core::emit(tx_, "run.copied", "run", to.run_id,
               body_of("from", from.info.run_id, "experiment", std::to_string(to.experiment)));
    return to.run_id;
  }

 private:
  Result<RunInfo> make(const Run& from) {
    NewRun made{.experiment_id = experiment_id_,
                .user_id = from.info.user_id,
                .name = from.info.name,
                .start_ms = from.info.start_ms,
                .tags = from.tags};
    std::erase_if(made.tags, [](const Tag& tag) { return tag.key == kRunNameTag; });
    TRY_SET(const Run to, create_run(tx_, made));
    for (const Tag& param : from.params) {
      TRY(log_batch(tx_, {.run_id = to.info.run_id, .metrics = {}, .params = {param}, .tags = {}, .single = true}));
    }
    return to.info;
  }

  Result<void> copy_metrics(const Run& from, const RunInfo& to) {
    const RunKey key{to.row, to.experiment, to.run_id};
    for (const Metric& latest : from.metrics) {
      HistoryQuery query{.run_id = from.info.run_id, .key = latest.key, .max_results = kPointsAtOnce, .page_token = ""};
      do {
        TRY_SET(const Page<Metric> page, metric_history(tx_, query));
        points_ += page.rows.size();
        if (points_ > kMaxCopiedPoints) {
          return invalid("the runs have more than " + std::to_string(kMaxCopiedPoints) +
                         " metric points together; copy fewer at once");
        }
        TRY(add_metrics(tx_, key, page.rows));
        query.page_token = page.next_token;
      } while (!query.page_token.empty());
    }
    return {};
  }

  Result<void> copy_files(const RunInfo& from, const RunInfo& to) {
    const auto source = proxied_path(from.artifact_uri), target = proxied_path(to.artifact_uri);
    if (!source || !target) {  // files elsewhere are not ours to copy
      tx_.exec("UPDATE track_runs SET artifact_uri = ? WHERE project = ? AND id = ?", from.artifact_uri, tx_.project(),
               to.row);
      return {};
    }
    const ArtifactPlace place = artifact_place(*source);
    for (blob::Artifact& file : blob::list_artifacts(tx_, place.root, place.path)) {
      if (++files_ > kMaxCopiedFiles) {
        return invalid("the runs have more than " + std::to_string(kMaxCopiedFiles) +
                       " files together; copy fewer at once");
      }
      file.root = artifact_place(*target).root;
      TRY(blob::put_artifact(tx_, file));
    }
    return {};
  }

  store::Tx& tx_;
  const std::string experiment_id_;
  size_t points_ = 0, files_ = 0;
};

}  // namespace

Result<int64_t> move_runs(store::Tx& tx, const RunsInto& into) {
  TRY(check_count(into.run_ids.size(), kMaxMovedRuns));
  TRY_SET(const Experiment experiment, active_experiment(tx, into.experiment_id));
  int64_t moved = 0;
  for (const std::string& id : into.run_ids) {
    TRY_SET(const RunInfo run, active_run(tx, id));
    if (run.experiment == experiment.id) continue;
    if (run.status == RunStatus::kRunning) {
      return base::fail(base::Code::kConflict, "run " + id + " is RUNNING; a run can move when it has ended");
    }
    move_run(tx, run, experiment.id);
    ++moved;
  }
  TRY(tx.status());
  return moved;
}

Result<std::vector<RunCopy>> copy_runs(store::Tx& tx, const RunsInto& into) {
  TRY(check_count(into.run_ids.size(), kMaxCopiedRuns));
  // A run that still logs is copied as it is at one moment: whoever adds points to it waits. In one order for all.
  std::vector<std::string> locked = into.run_ids;
  std::ranges::sort(locked);
  for (const std::string& id : locked) lock_series(tx, id);
  Copier copier(tx, into.experiment_id);
  std::vector<RunCopy> copies;
  std::map<std::string, std::string> made;
  for (const std::string& id : into.run_ids) {
    TRY_SET(std::string to, copier.copy(id));
    made[id] = to;
    copies.push_back({id, std::move(to)});
  }
  for (const RunCopy& copy : copies) {
    TRY_SET(const Run run, get_run(tx, copy.to));
    const auto parent = std::ranges::find(run.tags, kParentTag, &Tag::key);
    if (parent == run.tags.end() || !made.contains(parent->value)) continue;
    const Tag tag{std::string(kParentTag), made[parent->value]};
    TRY(log_batch(tx, {.run_id = copy.to, .metrics = {}, .params = {}, .tags = {tag}, .single = true}));
  }
  TRY(tx.status());
  return copies;
}

}  // namespace track
