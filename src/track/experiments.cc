#include "track/experiments.h"

#include "core/audit.h"
#include "core/event.h"
#include "core/project.h"
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

// The row that says which experiment "0" is in a project other than `default`, whatever it is called by now.
constexpr std::string_view kDefaultExperiment = "default_experiment";

std::optional<int64_t> default_experiment(store::Tx& tx, int64_t project) {
  return tx.query_i64("SELECT last FROM track_counters WHERE project = ? AND name = ?", project, kDefaultExperiment);
}

std::string default_location(int64_t id, std::string_view root = {}) {
  std::string out(root.empty() ? "mlflow-artifacts:/" : root);
  if (!out.ends_with('/')) out += '/';
  return out + std::to_string(id);
}

Result<Experiment> find_without_tags(store::Tx& tx, std::string_view id_text) {
  TRY_SET(const int64_t id, experiment_row(tx, id_text));
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

Result<int64_t> next_experiment_id(store::Tx& tx) {
  while (true) {
    const auto id = tx.query_i64(
        "UPDATE track_counters SET last = last + 1 WHERE project = 0 AND name = 'experiment' RETURNING last");
    TRY(tx.status());
    if (!id) return base::internal("the counter of experiments is missing");
    // An imported experiment may have brought that number with it.
    if (!tx.query_i64("SELECT id FROM track_experiments WHERE id = ?", *id)) return *id;
  }
}

Result<int64_t> experiment_row(store::Tx& tx, std::string_view id_text) {
  TRY_SET(const int64_t id, parse_experiment_id(id_text.empty() ? "0" : id_text));
  if (id != 0 || tx.project() == base::kDefaultProject) return id;
  return default_experiment(tx, tx.project()).value_or(0);
}

Result<void> ensure_default_experiment(store::Tx& tx, int64_t project, std::string_view root) {
  if (project == base::kDefaultProject) {  // the first migration makes it, without a clock
    tx.exec(
        "UPDATE track_experiments SET created_ms = ?, updated_ms = ?, artifact_location = ? WHERE project = ? AND "
        "id = 0 AND created_ms = 0",
        now_ms(tx), now_ms(tx), default_location(0, root), project);
    return tx.status();
  }
  if (default_experiment(tx, project)) return {};
  auto id = tx.query_i64("SELECT id FROM track_experiments WHERE project = ? AND name = 'Default'", project);
  if (!id) {
    TRY_SET(id, next_experiment_id(tx));
    tx.exec(
        "INSERT INTO track_experiments (id, project, name, artifact_location, deleted, created_ms, updated_ms) "
        "VALUES (?, ?, 'Default', ?, 0, ?, ?)",
        *id, project, default_location(*id, root), now_ms(tx), now_ms(tx));
  }
  tx.exec("INSERT INTO track_counters (project, name, last) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", project,
          kDefaultExperiment, *id);
  return tx.status();
}

Result<void> ensure_default_experiments(store::Tx& tx, std::string_view root) {
  for (const core::Project& project : core::list_projects(tx)) TRY(ensure_default_experiment(tx, project.id, root));
  return tx.status();
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
  TRY_SET(const int64_t id, next_experiment_id(tx));
  const std::string id_text = std::to_string(id);
  const std::string location = experiment.artifact_location.empty() ? default_location(id, experiment.default_root)
                                                                    : experiment.artifact_location;
  const int64_t made = tx.exec(
      "INSERT INTO track_experiments (id, project, name, artifact_location, deleted, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING",
      id, tx.project(), experiment.name, location, now_ms(tx), now_ms(tx));
  if (made == 0 && !tx.failed()) {
    return base::fail(base::Code::kAlreadyExists, "Experiment(name=" + experiment.name + ") already exists.");
  }
  for (const Tag& tag : experiment.tags) put_tag(tx, id, tag);
  core::emit(tx, "experiment.created", "experiment", id_text);
  return id;
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
  experiment.workspace = core::project_name(tx);
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

Result<std::vector<ExperimentSummary>> experiment_summaries(store::Tx& tx, size_t limit) {
  std::vector<ExperimentSummary> out;
  auto rows = tx.query(
      "SELECT e.id, e.name, (SELECT COUNT(*) FROM track_runs r WHERE r.project = e.project AND r.exp = e.id AND "
      "r.deleted = 0), (SELECT MAX(r.start_ms) FROM track_runs r WHERE r.project = e.project AND r.exp = e.id AND "
      "r.deleted = 0) FROM track_experiments e WHERE e.project = ? AND e.deleted = 0 ORDER BY e.name LIMIT ?",
      tx.project(), static_cast<int64_t>(limit));
  while (rows.next()) out.push_back({rows.i64(0), rows.str(1), rows.i64(2), rows.opt_i64(3)});
  TRY(tx.status());
  return out;
}

Result<FolderContent> experiment_folder(store::Tx& tx, std::string_view path) {
  const std::string below = path.empty() ? "" : std::string(path) + "/";
  const std::string after = path.empty() ? "\xF4\x8F\xBF\xBF" : std::string(path) + "0";  // '0' follows '/'
  FolderContent out;
  auto rows = tx.query(
      "SELECT e.id, e.name FROM track_experiments e WHERE e.project = ? AND e.name >= ? AND e.name < ? AND "
      "e.deleted = 0 ORDER BY e.name LIMIT ?",
      tx.project(), below, after, static_cast<int64_t>(kMaxFolderNames));
  while (rows.next()) {
    const std::string rest = rows.str(1).substr(below.size());
    const size_t slash = rest.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == rest.size()) {  // "/a" and "a/" are names, no folders
      out.experiments.push_back({rows.i64(0), rows.str(1), 0, std::nullopt});
      continue;
    }
    const std::string name = rest.substr(0, slash);
    if (out.folders.empty() || out.folders.back().name != name) out.folders.push_back({name, 0});
    ++out.folders.back().experiments;
  }
  for (ExperimentSummary& experiment : out.experiments) {
    auto counts =
        tx.query("SELECT COUNT(*), MAX(start_ms) FROM track_runs WHERE project = ? AND exp = ? AND deleted = 0",
                 tx.project(), experiment.id);
    if (counts.next()) experiment.runs = counts.i64(0), experiment.newest_ms = counts.opt_i64(1);
  }
  TRY(tx.status());
  return out;
}

Result<std::vector<std::string>> active_experiment_ids(store::Tx& tx, size_t limit) {
  std::vector<std::string> out;
  auto rows = tx.query("SELECT id FROM track_experiments WHERE project = ? AND deleted = 0 ORDER BY id LIMIT ?",
                       tx.project(), static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(std::to_string(rows.i64(0)));
  TRY(tx.status());
  return out;
}

}  // namespace track
