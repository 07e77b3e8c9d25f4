#include "traces/purge.h"

#include "blob/blob.h"
#include "traces/traces.h"
#include "track/artifact_root.h"
#include "track/experiments.h"
#include "track/search_sql.h"

namespace traces {

using base::Result;
using track::SqlText;
using track::Value;

namespace {

struct Doomed {
  int64_t id = 0;
  std::string artifact_location;
};

// Deleted experiments of which some table still has rows.
std::vector<Doomed> doomed(store::Tx& tx, int64_t before_ms, const std::vector<std::string>& ids,
                           std::initializer_list<std::string_view> tables, int64_t limit) {
  SqlText text;
  text.add("SELECT e.id, e.artifact_location FROM track_experiments e WHERE e.project = ");
  text.bind(Value::of(tx.project())).add(" AND e.deleted = 1 AND e.updated_ms <= ").bind(Value::of(before_ms));
  if (!ids.empty()) {
    std::vector<int64_t> rows;
    for (const std::string& id : ids) rows.push_back(track::experiment_row(tx, id).value_or(-1));
    text.add(" AND e.id IN ").bind_list(rows);
  }
  std::string_view word = " AND (";
  for (const std::string_view table : tables) {
    text.add(word).add("EXISTS (SELECT 1 FROM ").add(table).add(" x WHERE x.project = e.project AND x.exp = e.id)");
    word = " OR ";
  }
  text.add(") ORDER BY e.id LIMIT ").bind(Value::of(limit));
  std::vector<Doomed> out;
  auto rows = track::open(tx, text);
  while (rows.next()) out.push_back({rows.i64(0), rows.str(1)});
  return out;
}

void drop_files(store::Tx& tx, const Doomed& experiment, const std::string& trace_id, PurgeStep& out) {
  std::string root = experiment.artifact_location;
  while (root.ends_with('/')) root.pop_back();
  const auto path = track::proxied_path(root + "/traces/" + trace_id + "/artifacts");
  if (!path || path->empty()) return;  // elsewhere: not ours to remove
  const track::ArtifactPlace place = track::artifact_place(*path);
  if (blob::delete_artifacts(tx, place.root, place.path) > 0) out.folders.push_back(*path);
}

Result<void> drop_traces(store::Tx& tx, const Doomed& experiment, PurgeStep& out) {
  TraceDeletion deletion{
      .experiment_id = std::to_string(experiment.id), .max_start_ms = {}, .max_traces = {}, .trace_ids = {}};
  {
    auto rows =
        tx.query("SELECT trace_id FROM traces WHERE project = ? AND exp = ? ORDER BY start_ms, trace_id LIMIT ?",
                 tx.project(), experiment.id, kPurgedTraces);
    while (rows.next()) deletion.trace_ids.push_back(rows.str(0));
  }
  if (deletion.trace_ids.empty()) return tx.status();
  TRY_SET(const DeletionStep step, delete_traces_step(tx, deletion));
  for (int64_t i = 0; i < step.deleted; ++i)
    drop_files(tx, experiment, deletion.trace_ids[static_cast<size_t>(i)], out);
  out.traces += step.deleted;
  return {};
}

void drop_rest(store::Tx& tx, int64_t exp) {
  const auto drop_below = [&](std::string_view table, std::string_view column, std::string_view of) {
    tx.exec(std::string("DELETE FROM ").append(table).append(" WHERE project = ? AND ").append(column) +
                " IN (SELECT id FROM " + std::string(of) + " WHERE project = ? AND exp = ?)",
            tx.project(), tx.project(), exp);
  };
  drop_below("scorer_versions", "scorer", "scorers");
  for (const std::string_view table : {"review_queue_users", "review_queue_schemas", "review_queue_items"})
    drop_below(table, "queue", "review_queues");
  for (const std::string_view table :
       {"scorers", "issues", "label_schemas", "review_queues", "eval_dataset_experiments"})
    tx.exec(std::string("DELETE FROM ").append(table) + " WHERE project = ? AND exp = ?", tx.project(), exp);
}

}  // namespace

Result<PurgeStep> purge_step(store::Tx& tx, int64_t deleted_before_ms, const std::vector<std::string>& experiment_ids) {
  PurgeStep out;
  const auto with_traces = doomed(tx, deleted_before_ms, experiment_ids, {"traces"}, 1);
  TRY(tx.status());
  if (!with_traces.empty()) {
    TRY(drop_traces(tx, with_traces.front(), out));
    out.more = true;
    return out;
  }
  const auto rest =
      doomed(tx, deleted_before_ms, experiment_ids,
             {"scorers", "issues", "label_schemas", "review_queues", "eval_dataset_experiments"}, kPurgedExperiments);
  for (const Doomed& experiment : rest) drop_rest(tx, experiment.id);
  out.more = static_cast<int64_t>(rest.size()) == kPurgedExperiments;
  TRY(tx.status());
  return out;
}

}  // namespace traces
