#include "track/experiments.h"

#include "core/audit.h"
#include "core/event.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr std::string_view kById =
    "SELECT id, name, artifact_location, deleted, created_ms, updated_ms FROM track_experiments "
    "WHERE project = ? AND id = ?";
constexpr std::string_view kByName =
    "SELECT id, name, artifact_location, deleted, created_ms, updated_ms FROM track_experiments "
    "WHERE project = ? AND name = ?";

std::optional<Experiment> read_one(store::Rows rows) {
  if (!rows.next()) return std::nullopt;
  return Experiment{.id = rows.i64(0),
                    .name = rows.str(1),
                    .artifact_location = rows.str(2),
                    .deleted = rows.boolean(3),
                    .created_ms = rows.i64(4),
                    .updated_ms = rows.i64(5),
                    .tags = {}};
}

std::unexpected<base::Error> no_experiment(int64_t id) {
  return not_found("No Experiment with id=" + std::to_string(id) + " exists");
}

Result<Experiment> find_without_tags(store::Tx& tx, std::string_view id_text) {
  TRY_SET(const int64_t id, parse_experiment_id(id_text.empty() ? "0" : id_text));
  auto found = read_one(tx.query(kById, tx.project(), id));
  if (!found) return no_experiment(id);
  return std::move(*found);
}

void put_tag(store::Tx& tx, int64_t id, const Tag& tag) {
  tx.exec(
      "INSERT INTO track_experiment_tags (project, exp, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, exp, key) DO UPDATE SET value = excluded.value",
      tx.project(), id, tag.key, tag.value);
}

// Deleting and restoring take the runs along.
Result<void> set_deleted(store::Tx& tx, std::string_view id_text, bool deleted) {
  TRY_SET(const Experiment experiment, find_without_tags(tx, id_text));
  if (experiment.deleted == deleted) return no_experiment(experiment.id);
  tx.exec("UPDATE track_experiments SET deleted = ?, updated_ms = ? WHERE project = ? AND id = ?", deleted, now_ms(tx),
          tx.project(), experiment.id);
  tx.exec("UPDATE track_runs SET deleted = ?, deleted_ms = ? WHERE project = ? AND exp = ?", deleted,
          deleted ? std::optional(now_ms(tx)) : std::nullopt, tx.project(), experiment.id);
  const std::string id = std::to_string(experiment.id);
  core::emit(tx, deleted ? "experiment.deleted" : "experiment.restored", "experiment", id);
  core::audit(tx, deleted ? "experiment.deleted" : "experiment.restored", "experiment", id);
  return {};
}

}  // namespace

Result<void> stamp_default_experiment(store::Tx& tx) {
  tx.exec("UPDATE track_experiments SET created_ms = ?, updated_ms = ? WHERE project = ? AND id = 0 AND created_ms = 0",
          now_ms(tx), now_ms(tx), base::kDefaultProject);
  return {};
}

Result<int64_t> create_experiment(store::Tx& tx, const NewExperiment& experiment) {
  TRY(check_experiment_name(experiment.name));
  if (!experiment.artifact_location.empty()) {
    TRY(check_artifact_location(experiment.artifact_location, "artifact_location"));
  }
  for (const Tag& tag : experiment.tags) TRY(check_experiment_tag(tag));
  if (tx.query_i64("SELECT id FROM track_experiments WHERE project = ? AND name = ?", tx.project(), experiment.name)) {
    return base::fail(base::Code::kAlreadyExists, "Experiment(name=" + experiment.name + ") already exists.");
  }
  const auto id = tx.query_i64(
      "UPDATE track_counters SET last = last + 1 WHERE project = 0 AND name = 'experiment' RETURNING last");
  if (!id) return base::internal("the counter of experiments is missing");
  const std::string id_text = std::to_string(*id);
  const std::string location =
      experiment.artifact_location.empty() ? "mlflow-artifacts:/" + id_text : experiment.artifact_location;
  const int64_t made = tx.exec(
      "INSERT INTO track_experiments (id, project, name, artifact_location, deleted, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING",
      *id, tx.project(), experiment.name, location, now_ms(tx), now_ms(tx));
  if (made == 0 && !tx.failed()) {
    return base::fail(base::Code::kAlreadyExists, "Experiment(name=" + experiment.name + ") already exists.");
  }
  for (const Tag& tag : experiment.tags) put_tag(tx, *id, tag);
  core::emit(tx, "experiment.created", "experiment", id_text);
  return *id;
}

Result<Experiment> get_experiment(store::Tx& tx, std::string_view id) {
  TRY_SET(Experiment experiment, find_without_tags(tx, id));
  load_experiment_tags(tx, experiment);
  return experiment;
}

Result<Experiment> get_experiment_by_name(store::Tx& tx, std::string_view name) {
  auto found = read_one(tx.query(kByName, tx.project(), name));
  if (!found) return not_found("Could not find experiment with name '" + std::string(name) + "'");
  load_experiment_tags(tx, *found);
  return std::move(*found);
}

Result<Experiment> active_experiment(store::Tx& tx, std::string_view id) {
  TRY_SET(Experiment experiment, find_without_tags(tx, id));
  if (experiment.deleted) {
    return invalid("The experiment " + std::to_string(experiment.id) +
                   " must be in the 'active' state. Current state is deleted.");
  }
  return experiment;
}

void load_experiment_tags(store::Tx& tx, Experiment& experiment) {
  auto rows = tx.query("SELECT key, value FROM track_experiment_tags WHERE project = ? AND exp = ? ORDER BY key",
                       tx.project(), experiment.id);
  while (rows.next()) experiment.tags.push_back({rows.str(0), rows.str(1)});
}

Result<void> rename_experiment(store::Tx& tx, std::string_view id, std::string_view name) {
  TRY(check_experiment_name(name));
  TRY_SET(const Experiment experiment, find_without_tags(tx, id));
  if (experiment.deleted) return invalid("Cannot rename a non-active experiment.");
  tx.lock("track.experiment", name);
  const auto taken =
      tx.query_i64("SELECT id FROM track_experiments WHERE project = ? AND name = ?", tx.project(), name);
  if (taken && *taken != experiment.id) {
    return base::fail(base::Code::kAlreadyExists, "Experiment(name=" + std::string(name) + ") already exists.");
  }
  tx.exec("UPDATE track_experiments SET name = ?, updated_ms = ? WHERE project = ? AND id = ?", name, now_ms(tx),
          tx.project(), experiment.id);
  core::emit(tx, "experiment.renamed", "experiment", std::to_string(experiment.id));
  return {};
}

Result<void> delete_experiment(store::Tx& tx, std::string_view id) { return set_deleted(tx, id, true); }
Result<void> restore_experiment(store::Tx& tx, std::string_view id) { return set_deleted(tx, id, false); }

Result<void> set_experiment_tag(store::Tx& tx, std::string_view id, const Tag& tag) {
  TRY(check_experiment_tag(tag));
  TRY_SET(const Experiment experiment, active_experiment(tx, id));
  put_tag(tx, experiment.id, tag);
  core::emit(tx, "experiment.tagged", "experiment", std::to_string(experiment.id));
  return {};
}

Result<void> delete_experiment_tag(store::Tx& tx, std::string_view id, std::string_view key) {
  TRY_SET(const Experiment experiment, active_experiment(tx, id));
  const int64_t gone = tx.exec("DELETE FROM track_experiment_tags WHERE project = ? AND exp = ? AND key = ?",
                               tx.project(), experiment.id, key);
  if (gone == 0 && !tx.failed()) {
    return not_found("No tag with name: " + std::string(key) + " in experiment with id " + std::string(id));
  }
  core::emit(tx, "experiment.untagged", "experiment", std::to_string(experiment.id));
  return {};
}

Result<int64_t> ensure_experiment(store::Tx& tx, std::string_view name) {
  if (const auto id =
          tx.query_i64("SELECT id FROM track_experiments WHERE project = ? AND name = ?", tx.project(), name)) {
    return *id;
  }
  return create_experiment(tx, {.name = std::string(name), .artifact_location = "", .tags = {}});
}

}  // namespace track
