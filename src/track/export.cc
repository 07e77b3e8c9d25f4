#include "track/export.h"

#include "track/registered.h"

namespace track {

using base::Result;

Result<std::vector<Experiment>> experiments_after(store::Tx& tx, int64_t id, size_t limit) {
  std::vector<Experiment> out;
  {
    auto rows = tx.query(
        "SELECT id, name, artifact_location, deleted, created_ms, updated_ms FROM track_experiments "
        "WHERE project = ? AND id > ? ORDER BY id LIMIT ?",
        tx.project(), id, static_cast<int64_t>(limit));
    while (rows.next()) {
      Experiment& each = out.emplace_back();
      each.id = rows.i64(0);
      each.name = rows.text(1);
      each.artifact_location = rows.text(2);
      each.deleted = rows.i64(3) != 0;
      each.created_ms = rows.i64(4);
      each.updated_ms = rows.i64(5);
    }
  }
  for (Experiment& each : out) load_experiment_tags(tx, each);
  TRY(tx.status());
  return out;
}

Result<std::vector<RunInfo>> runs_after(store::Tx& tx, std::string_view run_id, size_t limit) {
  static const std::string sql = "SELECT " + std::string(kRunColumns) +
                                 " FROM track_runs r WHERE r.project = ? AND r.run_id > ? ORDER BY r.run_id LIMIT ?";
  std::vector<RunInfo> out;
  auto rows = tx.query(sql, tx.project(), run_id, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(read_run_info(rows));
  TRY(tx.status());
  return out;
}

Result<std::vector<ModelInfo>> models_after(store::Tx& tx, std::string_view model_id, size_t limit) {
  static const std::string sql =
      "SELECT " + std::string(kModelColumns) +
      " FROM track_models m WHERE m.project = ? AND m.model_id > ? ORDER BY m.model_id LIMIT ?";
  std::vector<ModelInfo> out;
  auto rows = tx.query(sql, tx.project(), model_id, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(read_model_info(rows));
  TRY(tx.status());
  return out;
}

Result<std::vector<std::string>> registered_names_after(store::Tx& tx, std::string_view name, size_t limit) {
  std::vector<std::string> out;
  auto rows = tx.query("SELECT name FROM track_registered WHERE project = ? AND name > ? ORDER BY name LIMIT ?",
                       tx.project(), name, static_cast<int64_t>(limit));
  while (rows.next()) out.emplace_back(rows.text(0));
  TRY(tx.status());
  return out;
}

Result<ImportedRegistered> whole_registered(store::Tx& tx, std::string_view name) {
  static const std::string sql = "SELECT " + std::string(kVersionColumns) +
                                 ", v.deleted FROM track_versions v JOIN track_registered g ON g.id = v.registered "
                                 "WHERE v.project = ? AND v.registered = ? ORDER BY v.version";
  ImportedRegistered out;
  TRY_SET(out.model, get_registered_model(tx, name));
  {
    auto rows = tx.query(sql, tx.project(), out.model.row);
    while (rows.next()) {
      ImportedVersion& each = out.versions.emplace_back();
      each.version = read_version(rows);
      each.deleted = rows.i64(13) != 0;
    }
  }
  for (ImportedVersion& each : out.versions) load_version(tx, each.version, false);
  TRY(tx.status());
  return out;
}

}  // namespace track
