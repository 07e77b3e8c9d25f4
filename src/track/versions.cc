// Model versions: made, read, described, tagged, deleted; and the logged models behind them as other rooms see them.
#include <algorithm>
#include <limits>

#include "base/json_writer.h"
#include "blob/blob.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "track/artifact_root.h"
#include "track/models.h"
#include "track/registered.h"
#include "track/registry_event.h"
#include "track/validate.h"
#include "track/version_source.h"

namespace track {

using base::invalid;
using base::not_found;
using base::Result;

namespace {

void record(store::Tx& tx, std::string_view kind, std::string_view name, int64_t version,
            std::string_view body = "{}") {
  const std::string subject = std::string(name).append("/").append(std::to_string(version));
  core::emit(tx, kind, "model_version", subject, body);
  core::audit(tx, kind, "model_version", subject, body, name);
}

void put_tag(store::Tx& tx, int64_t version_row, std::string_view key, std::string_view value) {
  tx.exec(
      "INSERT INTO track_version_tags (project, version_row, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, version_row, key) DO UPDATE SET value = excluded.value",
      tx.project(), version_row, key, value);
}

LoggedModel short_form(Model model) {
  LoggedModel out;
  out.model_id = std::move(model.info.model_id);
  out.experiment_id = std::to_string(model.info.experiment);
  out.name = std::move(model.info.name);
  out.source_run_id = std::move(model.info.source_run_id);
  if (const auto path = proxied_path(model.info.artifact_uri)) out.artifact_root = artifact_place(*path).root;
  switch (model.info.status) {
    case ModelStatus::kReady: out.status = "READY"; break;
    case ModelStatus::kUploadFailed: out.status = "UPLOAD_FAILED"; break;
    default: out.status = "PENDING";
  }
  if (model.info.deleted) out.status = "DELETED";
  out.attempt = std::move(model.info.attempt);
  out.created_ms = model.info.created_ms;
  for (Tag& tag : model.tags) out.tags[std::move(tag.key)] = std::move(tag.value);
  return out;
}

// The logged model remembers which versions were made of it, as upstream's client and browser expect: a JSON list.
void note_version_on_model(store::Tx& tx, std::string_view model_id, std::string_view name, int64_t version) {
  constexpr std::string_view kTag = "mlflow.modelVersions";
  const auto model = model_row(tx, model_id);
  if (!model) return;
  std::string entry = "{\"name\":";
  base::append_json_string(entry, name);
  entry.append(",\"version\":").append(std::to_string(version)).append("}");
  std::string list;
  {
    auto rows = tx.query("SELECT value FROM track_model_tags WHERE project = ? AND model = ? AND key = ?", tx.project(),
                         *model, kTag);
    if (rows.next()) list = rows.str(0);
  }
  // The tag is the client's to write; what is not a list of ours is started anew.
  if (list.size() > 2 && list.starts_with('[') && list.ends_with(']')) {
    list.pop_back();
    list.append(", ").append(entry).append("]");
  } else {
    list = "[" + entry + "]";
  }
  tx.exec(
      "INSERT INTO track_model_tags (project, model, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, model, key) DO UPDATE SET value = excluded.value",
      tx.project(), *model, kTag, list);
}

}  // namespace

// Files below a run's or model's root get rows under a root of the version's own (the same blobs): a version's files
// then stay what they were, no upload reaches them, and every reader finds them at the top of one root.
// A logged model's own root is taken as it is: from then on check_root_is_open() keeps it.
std::string root_of_version(store::Tx& tx, const ArtifactPlace& place, bool logged_model, int64_t registered,
                            int64_t version) {
  if (place.path.empty() && logged_model) return place.root;
  const std::vector<blob::Artifact> files = blob::list_artifacts(tx, place.root, place.path);
  if (files.empty()) return "";
  const std::string root = "model_version/" + std::to_string(registered) + "/" + std::to_string(version);
  for (blob::Artifact file : files) {
    if (file.path == place.path) continue;  // a file, not a folder: not a model
    file.root = root;
    if (!place.path.empty()) file.path.erase(0, place.path.size() + 1);
    if (!blob::put_artifact(tx, file)) return "";
  }
  return root;
}

namespace {

Result<ModelVersion> insert_version(store::Tx& tx, const NewModelVersion& given, const VersionSource& source,
                                    int64_t registered) {
  // The counter's row lock makes versions 1, 2, 3, …; a deleted version's number is not given again.
  const auto number = tx.query_i64(
      "UPDATE track_registered SET last_version = last_version + 1, updated_ms = ? WHERE project = ? AND id = ? "
      "RETURNING last_version",
      now_ms(tx), tx.project(), registered);
  TRY(tx.status());
  if (!number) return not_found("Registered Model with name=" + given.name + " not found");
  const std::string root =
      source.place ? root_of_version(tx, *source.place, !source.model_id.empty(), registered, *number) : "";
  const auto row = tx.query_i64(
      "INSERT INTO track_versions (project, registered, version, source, storage_uri, artifact_root, run_id, run_link, "
      "model_id, description, stage, deleted, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'None', 0, ?, ?) RETURNING id",
      tx.project(), registered, *number, source.source, source.storage_uri, root, source.run_id, given.run_link,
      source.model_id, given.description, now_ms(tx), now_ms(tx));
  TRY(tx.status());
  for (const auto& [key, value] : given.tags) put_tag(tx, row.value_or(0), key, value);
  const core::Node node{"model_version", given.name + "/" + std::to_string(*number)};
  if (!source.model_id.empty()) {
    core::add_edge(tx, {"logged_model", source.model_id}, node, "registered");
    note_version_on_model(tx, source.model_id, given.name, *number);
  } else if (!source.run_id.empty()) {
    core::add_edge(tx, {"run", source.run_id}, node, "registered");
  }
  record(tx, "model_version.created", given.name, *number,
         registry_event_body(tx, registered, {{"source", source.source}, {"run_id", source.run_id}},
                             {given.tags, given.description}));
  return get_model_version(tx, given.name, *number);
}

Result<void> check_new_version(const NewModelVersion& version) {
  TRY(check_model_name(version.name));
  for (const auto& [key, value] : version.tags) TRY(check_registered_tag({key, value}));
  return {};
}

}  // namespace

ModelVersion read_version(store::Rows& rows) {
  ModelVersion version;
  version.row = rows.i64(0);
  version.name = rows.str(1);
  version.version = rows.i64(2);
  version.source = rows.str(3);
  version.storage_uri = rows.str(4);
  version.artifact_root = rows.str(5);
  version.run_id = rows.str(6);
  version.run_link = rows.str(7);
  version.model_id = rows.str(8);
  version.description = rows.opt_str(9);
  version.stage = rows.str(10);
  version.created_ms = rows.i64(11);
  version.updated_ms = rows.i64(12);
  return version;
}

void load_version(store::Tx& tx, ModelVersion& version, bool with_aliases) {
  {
    auto rows = tx.query("SELECT key, value FROM track_version_tags WHERE project = ? AND version_row = ?",
                         tx.project(), version.row);
    while (rows.next()) version.tags[rows.str(0)] = rows.str(1);
  }
  if (!with_aliases) return;
  auto rows = tx.query(
      "SELECT a.alias FROM track_aliases a JOIN track_versions v ON v.project = a.project AND "
      "v.registered = a.registered AND v.version = a.version WHERE v.project = ? AND v.id = ? ORDER BY a.alias",
      tx.project(), version.row);
  while (rows.next()) version.aliases.push_back(rows.str(0));
}

Result<ModelVersion> get_model_version(store::Tx& tx, std::string_view name, int64_t version) {
  TRY(check_model_name(name));
  std::optional<ModelVersion> found;
  {
    auto rows = tx.query(
        "SELECT v.id, g.name, v.version, v.source, v.storage_uri, v.artifact_root, v.run_id, v.run_link, v.model_id, "
        "v.description, v.stage, v.created_ms, v.updated_ms FROM track_registered g "
        "JOIN track_versions v ON v.project = g.project AND v.registered = g.id "
        "WHERE g.project = ? AND g.name = ? AND v.version = ? AND v.deleted = 0",
        tx.project(), name, version);
    if (rows.next()) found = read_version(rows);
  }
  if (!found) {
    return not_found("Model Version (name=" + std::string(name) + ", version=" + std::to_string(version) +
                     ") not found");
  }
  load_version(tx, *found, true);
  return std::move(*found);
}

Result<void> check_root_is_open(store::Tx& tx, std::string_view root) {
  constexpr std::string_view kModels = "/models/", kArtifacts = "/artifacts";
  const size_t at = root.rfind(kModels);
  if (at == std::string_view::npos || !root.ends_with(kArtifacts)) return {};
  std::string_view id = root.substr(at + kModels.size());
  id.remove_suffix(std::min(id.size(), kArtifacts.size()));
  auto rows = tx.query(
      "SELECT g.name, v.version FROM track_versions v JOIN track_registered g ON g.project = v.project AND "
      "g.id = v.registered WHERE v.project = ? AND v.model_id = ? AND v.artifact_root = ? AND v.deleted = 0 LIMIT 1",
      tx.project(), id, root);
  if (!rows.next()) return tx.status();
  return base::fail(base::Code::kConflict, "the files of logged model " + std::string(id) +
                                               " are final: it is registered as " + rows.str(0) + " version " +
                                               std::to_string(rows.i64(1)) + "; log a new model instead");
}

Result<ModelVersion> create_model_version(store::Tx& tx, const NewModelVersion& version) {
  return register_version(tx, {.version = version,
                               .has_run_id = !version.run_id.empty(),
                               .has_model_id = !version.model_id.empty(),
                               .strict = true});
}

Result<ModelVersion> register_version(store::Tx& tx, const VersionRequest& request) {
  TRY(check_new_version(request.version));
  TRY_SET(const VersionSource source, resolve_source(tx, request));
  TRY_SET(const int64_t registered, registered_row(tx, request.version.name));
  return insert_version(tx, request.version, source, registered);
}

Result<ModelVersion> describe_version(store::Tx& tx, std::string_view name, int64_t version,
                                      const std::optional<std::string>& description) {
  TRY_SET(const ModelVersion found, get_model_version(tx, name, version));
  tx.exec("UPDATE track_versions SET description = ?, updated_ms = ? WHERE project = ? AND id = ?", description,
          now_ms(tx), tx.project(), found.row);
  record(tx, "model_version.updated", name, version);
  return get_model_version(tx, name, version);
}

Result<void> delete_version(store::Tx& tx, std::string_view name, int64_t version) {
  TRY_SET(const ModelVersion found, get_model_version(tx, name, version));
  TRY_SET(const int64_t registered, registered_row(tx, name));
  tx.exec("DELETE FROM track_aliases WHERE project = ? AND registered = ? AND version = ?", tx.project(), registered,
          version);
  // The row stays so that lineage still knows the number; what it pointed to is forgotten, as upstream does.
  tx.exec(
      "UPDATE track_versions SET deleted = 1, updated_ms = ?, description = NULL, source = 'REDACTED-SOURCE-PATH', "
      "storage_uri = '', run_link = '' WHERE project = ? AND id = ?",
      now_ms(tx), tx.project(), found.row);
  tx.exec("UPDATE track_registered SET updated_ms = ? WHERE project = ? AND id = ?", now_ms(tx), tx.project(),
          registered);
  record(tx, "model_version.deleted", name, version);
  return {};
}

Result<void> set_version_tag(store::Tx& tx, std::string_view name, int64_t version, std::string_view key,
                             std::string_view value) {
  TRY(check_model_name(name));
  TRY(check_registered_tag({std::string(key), std::string(value)}));
  TRY_SET(const ModelVersion found, get_model_version(tx, name, version));
  put_tag(tx, found.row, key, value);
  TRY_SET(const int64_t registered, registered_row(tx, name));
  record(tx, "model_version.tagged", name, version,
         registry_event_body(tx, registered, {{"key", key}, {"value", value}}));
  return {};
}

Result<void> delete_version_tag(store::Tx& tx, std::string_view name, int64_t version, std::string_view key) {
  TRY(check_model_name(name));
  TRY(check_key(key, "key"));
  TRY_SET(const ModelVersion found, get_model_version(tx, name, version));
  tx.exec("DELETE FROM track_version_tags WHERE project = ? AND version_row = ? AND key = ?", tx.project(), found.row,
          key);
  TRY_SET(const int64_t registered, registered_row(tx, name));
  record(tx, "model_version.untagged", name, version, registry_event_body(tx, registered, {{"key", key}}));
  return {};
}

Result<std::optional<ModelVersion>> version_of_logged_model(store::Tx& tx, std::string_view name,
                                                            std::string_view model_id) {
  const auto number = tx.query_i64(
      "SELECT MAX(v.version) FROM track_versions v JOIN track_registered g ON g.id = v.registered "
      "WHERE v.project = ? AND v.model_id = ? AND g.name = ? AND v.deleted = 0",
      tx.project(), model_id, name);
  if (!number) return std::optional<ModelVersion>();
  TRY_SET(ModelVersion version, get_model_version(tx, name, *number));
  return std::optional(std::move(version));
}

Result<std::string> artifact_root_of(store::Tx&, const ModelVersion& version) {
  if (!version.artifact_root.empty()) return version.artifact_root;
  return not_found("the files of " + version.name + " version " + std::to_string(version.version) +
                   " are not in this server's store (source: " + version.source + ")");
}

Result<LoggedModel> get_logged_model(store::Tx& tx, std::string_view model_id) {
  TRY_SET(Model model, get_model(tx, model_id));
  return short_form(std::move(model));
}

std::vector<LoggedModel> logged_models_of_attempt(store::Tx& tx, std::string_view attempt) {
  std::vector<ModelInfo> found;
  {
    auto rows = tx.query(
        "SELECT m.id, m.model_id, m.exp, m.name, m.model_type, m.source_run_id, m.artifact_uri, m.status, m.deleted, "
        "m.created_ms, m.updated_ms, m.attempt FROM track_models m "
        "WHERE m.project = ? AND m.attempt = ? AND m.deleted = 0 AND m.status = ? ORDER BY m.id",
        tx.project(), attempt, static_cast<int64_t>(ModelStatus::kReady));
    while (rows.next()) found.push_back(read_model_info(rows));
  }
  std::vector<LoggedModel> out;
  for (ModelInfo& info : found) out.push_back(short_form(load_model(tx, std::move(info))));
  return out;
}

Result<std::vector<ModelVersion>> versions_page(store::Tx& tx, std::string_view name, int64_t below, size_t limit) {
  TRY_SET(const int64_t registered, registered_row(tx, name));
  std::vector<ModelVersion> out;
  {
    auto rows = tx.query(
        "SELECT " + std::string(kVersionColumns) +
            " FROM track_versions v JOIN track_registered g ON g.id = v.registered WHERE v.project = ? "
            "AND v.registered = ? AND v.deleted = 0 AND v.version < ? ORDER BY v.version DESC LIMIT ?",
        tx.project(), registered, below > 0 ? below : std::numeric_limits<int64_t>::max(), static_cast<int64_t>(limit));
    while (rows.next()) out.push_back(read_version(rows));
  }
  for (ModelVersion& version : out) load_version(tx, version, true);
  TRY(tx.status());
  return out;
}

int64_t count_versions(store::Tx& tx, std::string_view name) {
  return tx
      .query_i64(
          "SELECT COUNT(*) FROM track_versions v JOIN track_registered g ON g.id = v.registered WHERE "
          "g.project = ? AND g.name = ? AND v.deleted = 0",
          tx.project(), name)
      .value_or(0);
}

int64_t next_version(store::Tx& tx, std::string_view name) {
  return 1 +
         tx.query_i64("SELECT last_version FROM track_registered WHERE project = ? AND name = ?", tx.project(), name)
             .value_or(0);
}

}  // namespace track
