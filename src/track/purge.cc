#include "track/purge.h"

#include "base/json_writer.h"
#include "blob/blob.h"
#include "core/audit.h"
#include "core/event.h"
#include "track/artifact_root.h"
#include "track/experiments.h"
#include "track/metric_rules.h"
#include "track/metrics.h"
#include "track/registered.h"
#include "track/runs.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

struct Row {
  int64_t id = 0;
  std::string public_id, artifact_uri;
};

std::vector<Row> read_rows(store::Tx& tx, const SqlText& text) {
  std::vector<Row> out;
  auto rows = open(tx, text);
  while (rows.next()) out.push_back({rows.i64(0), rows.str(1), rows.str(2)});
  return out;
}

std::vector<int64_t> rows_of(store::Tx& tx, const Purge& purge) {
  std::vector<int64_t> out;
  for (const std::string& id : purge.experiment_ids) out.push_back(experiment_row(tx, id).value_or(-1));
  return out;
}

int64_t drop_files(store::Tx& tx, const std::string& uri, std::vector<std::string>& folders) {
  const auto path = proxied_path(uri);
  if (!path || path->empty()) return 0;  // elsewhere: not ours to remove
  const ArtifactPlace place = artifact_place(*path);
  if (!check_root_is_open(tx, place.root)) return 0;
  folders.push_back(*path);
  return blob::delete_artifacts(tx, place.root, place.path);
}

void note(store::Tx& tx, std::string_view kind, std::string_view subject_kind, std::string_view subject) {
  core::emit(tx, kind, subject_kind, subject);
  core::audit(tx, kind, subject_kind, subject);
}

void drop_run(store::Tx& tx, const Row& run, Purged& out) {
  const int64_t project = tx.project();
  drop_metrics(tx, run.id);
  tx.exec("DELETE FROM track_params WHERE project = ? AND run = ?", project, run.id);
  tx.exec("DELETE FROM track_tags WHERE project = ? AND run = ?", project, run.id);
  tx.exec(
      "DELETE FROM track_input_tags WHERE project = ? AND input IN (SELECT id FROM track_inputs WHERE project = ? AND "
      "run = ?)",
      project, project, run.id);
  tx.exec("DELETE FROM track_inputs WHERE project = ? AND run = ?", project, run.id);
  tx.exec("DELETE FROM track_run_models WHERE project = ? AND run = ?", project, run.id);
  drop_alerts(tx, run.public_id);
  tx.exec("DELETE FROM track_runs WHERE project = ? AND id = ?", project, run.id);
  out.files += drop_files(tx, run.artifact_uri, out.folders);
  ++out.runs;
  note(tx, "run.purged", "run", run.public_id);
}

// The newest row stays until there is a newer one: its number could be given again.
void purge_runs(store::Tx& tx, const Purge& purge, Purged& out) {
  SqlText text;
  text.add("SELECT id, run_id, artifact_uri FROM track_runs WHERE project = ").bind(Value::of(tx.project()));
  text.add(" AND deleted = 1 AND deleted_ms <= ").bind(Value::of(purge.deleted_before_ms));
  text.add(" AND id < (SELECT MAX(id) FROM track_runs)");
  if (!purge.run_ids.empty()) text.add(" AND run_id IN ").bind_list(purge.run_ids);
  if (!purge.experiment_ids.empty()) text.add(" AND exp IN ").bind_list(rows_of(tx, purge));
  text.add(" ORDER BY id LIMIT ").bind(Value::of(kPurgeStep));
  const auto rows = read_rows(tx, text);
  for (const Row& row : rows) drop_run(tx, row, out);
  out.more |= static_cast<int64_t>(rows.size()) == kPurgeStep;
}

void purge_models(store::Tx& tx, const Purge& purge, Purged& out) {
  SqlText text;
  text.add("SELECT id, model_id, artifact_uri FROM track_models WHERE project = ").bind(Value::of(tx.project()));
  const Value before = Value::of(purge.deleted_before_ms);
  if (purge.experiment_ids.empty()) {
    text.add(" AND ((deleted = 1 AND updated_ms <= ")
        .bind(before)
        .add(") OR exp IN (SELECT id FROM track_experiments ");
    text.add("WHERE project = ").bind(Value::of(tx.project())).add(" AND deleted = 1 AND updated_ms <= ").bind(before);
    text.add("))");
  } else {
    text.add(" AND exp IN (SELECT id FROM track_experiments WHERE project = ").bind(Value::of(tx.project()));
    text.add(" AND deleted = 1 AND updated_ms <= ")
        .bind(before)
        .add(" AND id IN ")
        .bind_list(rows_of(tx, purge))
        .add(")");
  }
  text.add(" AND id < (SELECT MAX(id) FROM track_models) ORDER BY id LIMIT ").bind(Value::of(kPurgeStep));
  const auto rows = read_rows(tx, text);
  for (const Row& row : rows) {
    for (const std::string_view table : {"track_model_params", "track_model_tags", "track_model_metrics"}) {
      tx.exec(std::string("DELETE FROM ").append(table).append(" WHERE project = ? AND model = ?"), tx.project(),
              row.id);
    }
    tx.exec("DELETE FROM track_models WHERE project = ? AND id = ?", tx.project(), row.id);
    out.files += drop_files(tx, row.artifact_uri, out.folders);
    ++out.models;
    note(tx, "logged_model.purged", "logged_model", row.public_id);
  }
  out.more |= static_cast<int64_t>(rows.size()) == kPurgeStep;
}

// Experiments without a run or a model left; "Default" ones stay.
void purge_experiments(store::Tx& tx, const Purge& purge, Purged& out) {
  SqlText text;
  text.add("SELECT e.id, e.name, e.artifact_location FROM track_experiments e WHERE e.project = ");
  text.bind(Value::of(tx.project())).add(" AND e.deleted = 1 AND e.updated_ms <= ");
  text.bind(Value::of(purge.deleted_before_ms)).add(" AND e.id <> ");
  text.bind(Value::of(experiment_row(tx, "0").value_or(0)));
  text.add(" AND NOT EXISTS (SELECT 1 FROM track_runs r WHERE r.project = e.project AND r.exp = e.id)");
  text.add(" AND NOT EXISTS (SELECT 1 FROM track_models m WHERE m.project = e.project AND m.exp = e.id)");
  if (!purge.experiment_ids.empty()) text.add(" AND e.id IN ").bind_list(rows_of(tx, purge));
  text.add(" ORDER BY e.id LIMIT ").bind(Value::of(kPurgeStep));
  const auto rows = read_rows(tx, text);
  for (const Row& row : rows) {
    tx.exec("DELETE FROM track_experiment_tags WHERE project = ? AND exp = ?", tx.project(), row.id);
    tx.exec("DELETE FROM track_datasets WHERE project = ? AND exp = ?", tx.project(), row.id);
    drop_rules(tx, row.id);
    tx.exec("DELETE FROM track_experiments WHERE project = ? AND id = ?", tx.project(), row.id);
    ++out.experiments;
    std::string body;  // whoever keeps more of it finds its files
    base::JsonWriter(body).begin_object().field("artifact_location", row.artifact_uri).end_object();
    core::emit(tx, "experiment.purged", "experiment", std::to_string(row.id), body);
    core::audit(tx, "experiment.purged", "experiment", std::to_string(row.id));
  }
  out.more |= static_cast<int64_t>(rows.size()) == kPurgeStep;
}

}  // namespace

Result<void> check_purge(store::Tx& tx, const Purge& purge) {
  if (purge.run_ids.size() + purge.experiment_ids.size() > kMaxPurgedNames) {
    return invalid("more than " + std::to_string(kMaxPurgedNames) + " runs and experiments are named");
  }
  for (const std::string& id : purge.run_ids) {
    TRY_SET(const RunInfo run, get_run_info(tx, id));
    if (!run.deleted) return invalid("run " + id + " is active; only deleted runs can be removed for good");
  }
  for (const std::string& id : purge.experiment_ids) {
    TRY_SET(const Experiment experiment, get_experiment(tx, id));
    if (!experiment.deleted) {
      return invalid("experiment " + id + " is active; only deleted experiments can be removed for good");
    }
  }
  return {};
}

Result<Purged> purge_step(store::Tx& tx, const Purge& purge) {
  Purged out;
  purge_runs(tx, purge, out);
  if (purge.run_ids.empty()) purge_models(tx, purge, out);
  if (purge.run_ids.empty() && !out.more) purge_experiments(tx, purge, out);
  TRY(tx.status());
  return out;
}

}  // namespace track
