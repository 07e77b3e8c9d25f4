#include "track/registered.h"

#include <algorithm>
#include <array>

#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "track/registry_event.h"
#include "track/search_lexer.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr std::array<std::string_view, 4> kStages = {"None", "Staging", "Production", "Archived"};

Result<std::string_view> canonical_stage(std::string_view stage) {
  const auto same = [&](std::string_view known) {
    return std::ranges::equal(known, stage, [](char a, char b) {
      const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; };
      return lower(a) == lower(b);
    });
  };
  const auto found = std::ranges::find_if(kStages, same);
  if (found != kStages.end()) return *found;
  return invalid("Invalid Model Version stage: " + std::string(stage) +
                 ". Value must be one of None, Staging, Production, Archived.");
}

// Audit line and event of one change; every change of the registry leaves both. `subject` is the model `name` or a
// version of it.
void record(store::Tx& tx, std::string_view kind, std::string_view subject_kind, std::string_view subject,
            std::string_view name, std::string_view body = "{}") {
  core::emit(tx, kind, subject_kind, subject, body);
  core::audit(tx, kind, subject_kind, subject, body, name);
}

std::string subject_of(std::string_view name, int64_t version) {
  return std::string(name).append("/").append(std::to_string(version));
}

void touch(store::Tx& tx, int64_t registered) {
  tx.exec("UPDATE track_registered SET updated_ms = ? WHERE project = ? AND id = ?", now_ms(tx), tx.project(),
          registered);
}

void put_tag(store::Tx& tx, int64_t registered, const Tag& tag) {
  tx.exec(
      "INSERT INTO track_registered_tags (project, registered, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, registered, key) DO UPDATE SET value = excluded.value",
      tx.project(), registered, tag.key, tag.value);
}

bool is_prompt(const Tags& tags) {
  bool prompt = false;
  for (const Tag& tag : tags) {
    if (tag.key == kPromptTag) prompt = tag.value == "true";
  }
  return prompt;
}

std::unexpected<base::Error> name_taken(store::Tx& tx, std::string_view name, const Tags& tags) {
  const bool wanted_prompt = is_prompt(tags);
  const auto existing = get_registered_model(tx, name);
  const bool is_one = existing && is_prompt(existing->tags);
  if (is_one != wanted_prompt) {
    return base::fail(base::Code::kAlreadyExists,
                      std::string("Tried to create a ") + (wanted_prompt ? "prompt" : "registered model") +
                          " with name " + python_repr(name) + ", but the name is already taken by a " +
                          (is_one ? "prompt" : "registered model") +
                          ". MLflow does not allow creating a model and a prompt with the same name.");
  }
  return base::fail(base::Code::kAlreadyExists, std::string(wanted_prompt ? "Prompt" : "Registered Model") +
                                                    " (name=" + std::string(name) + ") already exists.");
}

}  // namespace

RegisteredModel read_registered(store::Rows& rows) {
  RegisteredModel model;
  model.row = rows.i64(0);
  model.name = rows.str(1);
  model.description = rows.opt_str(2);
  model.created_ms = rows.i64(3);
  model.updated_ms = rows.i64(4);
  return model;
}

void load_registered(store::Tx& tx, RegisteredModel& model) {
  {
    auto rows =
        tx.query("SELECT key, value FROM track_registered_tags WHERE project = ? AND registered = ? ORDER BY key",
                 tx.project(), model.row);
    while (rows.next()) model.tags.push_back({rows.str(0), rows.str(1)});
  }
  {
    auto rows = tx.query("SELECT alias, version FROM track_aliases WHERE project = ? AND registered = ?", tx.project(),
                         model.row);
    while (rows.next()) model.aliases[rows.str(0)] = rows.i64(1);
  }
  {
    auto rows = tx.query(
        "SELECT v.id, g.name, v.version, v.source, v.storage_uri, v.artifact_root, v.run_id, v.run_link, v.model_id, "
        "v.description, v.stage, v.created_ms, v.updated_ms FROM track_registered g "
        "JOIN (SELECT stage, MAX(version) AS newest, MIN(version) AS oldest FROM track_versions "
        "WHERE project = ? AND registered = ? AND deleted = 0 GROUP BY stage) s ON 1 = 1 "
        "JOIN track_versions v ON v.project = g.project AND v.registered = g.id AND v.version = s.newest "
        "WHERE g.project = ? AND g.id = ? ORDER BY s.oldest",
        tx.project(), model.row, tx.project(), model.row);
    while (rows.next()) model.latest_versions.push_back(read_version(rows));
  }
  for (ModelVersion& version : model.latest_versions) load_version(tx, version, false);
}

Result<int64_t> registered_row(store::Tx& tx, std::string_view name) {
  TRY(check_model_name(name));
  const auto row = tx.query_i64("SELECT id FROM track_registered WHERE project = ? AND name = ?", tx.project(), name);
  if (!row) return not_found("Registered Model with name=" + std::string(name) + " not found");
  return *row;
}

Result<RegisteredModel> create_registered_model(store::Tx& tx, std::string_view name,
                                                const std::optional<std::string>& description, const Tags& tags) {
  TRY(check_model_name(name));
  for (const Tag& tag : tags) TRY(check_registered_tag(tag));
  const auto row = tx.query_i64(
      "INSERT INTO track_registered (project, name, description, created_ms, updated_ms, last_version) "
      "VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING RETURNING id",
      tx.project(), name, description, now_ms(tx), now_ms(tx));
  TRY(tx.status());
  if (!row) return name_taken(tx, name, tags);
  Birth birth{{}, description ? std::string_view(*description) : ""};
  for (const Tag& tag : tags) {
    put_tag(tx, *row, tag);
    birth.tags.insert_or_assign(tag.key, tag.value);
  }
  record(tx, "registered_model.created", "registered_model", name, name, registry_event_body(tx, *row, {}, birth));
  return get_registered_model(tx, name);
}

Result<RegisteredModel> get_registered_model(store::Tx& tx, std::string_view name) {
  TRY(check_model_name(name));
  std::optional<RegisteredModel> model;
  {
    auto rows = tx.query(
        "SELECT g.id, g.name, g.description, g.created_ms, g.updated_ms FROM track_registered g "
        "WHERE g.project = ? AND g.name = ?",
        tx.project(), name);
    if (rows.next()) model = read_registered(rows);
  }
  if (!model) return not_found("Registered Model with name=" + std::string(name) + " not found");
  load_registered(tx, *model);
  return std::move(*model);
}

Result<RegisteredModel> rename_registered_model(store::Tx& tx, std::string_view name, std::string_view new_name) {
  TRY(check_model_name(new_name));
  TRY_SET(const int64_t row, registered_row(tx, name));
  tx.lock("track.registered", new_name);
  const auto taken =
      tx.query_i64("SELECT id FROM track_registered WHERE project = ? AND name = ?", tx.project(), new_name);
  if (taken && *taken != row) {
    return base::fail(base::Code::kAlreadyExists,
                      "Registered Model (name=" + std::string(new_name) + ") already exists.");
  }
  tx.exec("UPDATE track_registered SET name = ?, updated_ms = ? WHERE project = ? AND id = ?", new_name, now_ms(tx),
          tx.project(), row);
  tx.exec("UPDATE track_versions SET updated_ms = ? WHERE project = ? AND registered = ?", now_ms(tx), tx.project(),
          row);
  std::string body = "{\"new_name\":";
  base::append_json_string(body, new_name);
  record(tx, "registered_model.renamed", "registered_model", name, name, body + "}");
  core::move_audit(tx, name, new_name);
  return get_registered_model(tx, new_name);
}

Result<RegisteredModel> describe_registered_model(store::Tx& tx, std::string_view name,
                                                  const std::optional<std::string>& description) {
  TRY_SET(const int64_t row, registered_row(tx, name));
  tx.exec("UPDATE track_registered SET description = ?, updated_ms = ? WHERE project = ? AND id = ?", description,
          now_ms(tx), tx.project(), row);
  record(tx, "registered_model.updated", "registered_model", name, name);
  return get_registered_model(tx, name);
}

Result<void> delete_registered_model(store::Tx& tx, std::string_view name) {
  TRY_SET(const int64_t row, registered_row(tx, name));
  tx.exec(
      "DELETE FROM track_version_tags WHERE project = ? AND version_row IN "
      "(SELECT id FROM track_versions WHERE project = ? AND registered = ?)",
      tx.project(), tx.project(), row);
  tx.exec("DELETE FROM track_versions WHERE project = ? AND registered = ?", tx.project(), row);
  tx.exec("DELETE FROM track_aliases WHERE project = ? AND registered = ?", tx.project(), row);
  tx.exec("DELETE FROM track_registered_tags WHERE project = ? AND registered = ?", tx.project(), row);
  tx.exec("DELETE FROM track_registered WHERE project = ? AND id = ?", tx.project(), row);
  record(tx, "registered_model.deleted", "registered_model", name, name);
  return {};
}

Result<void> set_registered_tag(store::Tx& tx, std::string_view name, const Tag& tag) {
  TRY(check_model_name(name));
  TRY(check_registered_tag(tag));
  TRY_SET(const int64_t row, registered_row(tx, name));
  put_tag(tx, row, tag);
  record(tx, "registered_model.tagged", "registered_model", name, name,
         registry_event_body(tx, row, {{"key", tag.key}, {"value", tag.value}}));
  return {};
}

Result<void> delete_registered_tag(store::Tx& tx, std::string_view name, std::string_view key) {
  TRY(check_model_name(name));
  TRY(check_key(key, "key"));
  TRY_SET(const int64_t row, registered_row(tx, name));
  std::string body = registry_event_body(tx, row, {{"key", key}});  // before: the tag may be what makes it a prompt
  tx.exec("DELETE FROM track_registered_tags WHERE project = ? AND registered = ? AND key = ?", tx.project(), row, key);
  record(tx, "registered_model.untagged", "registered_model", name, name, body);
  return {};
}

Result<void> ensure_registered_model(store::Tx& tx, std::string_view name) {
  const auto row = registered_row(tx, name);
  if (row) return {};
  if (row.error().code != base::Code::kNotFound) return std::unexpected(row.error());
  const auto made = create_registered_model(tx, name, std::nullopt, {});
  if (!made && made.error().code != base::Code::kAlreadyExists) return std::unexpected(made.error());
  return {};
}

// --- aliases --------------------------------------------------------------------------------------------------------

Result<void> set_alias(store::Tx& tx, std::string_view name, std::string_view alias, int64_t version) {
  TRY(check_model_name(name));
  TRY(check_alias(alias));
  TRY(check_alias_not_reserved(alias));
  TRY_SET(const ModelVersion found, get_model_version(tx, name, version));
  TRY_SET(const int64_t row, registered_row(tx, name));
  const auto before = tx.query_i64(
      "SELECT version FROM track_aliases WHERE project = ? AND registered = ? AND alias = ?", tx.project(), row, alias);
  tx.exec(
      "INSERT INTO track_aliases (project, registered, alias, version) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, registered, alias) DO UPDATE SET version = excluded.version",
      tx.project(), row, alias, found.version);
  std::string body = registry_event_body(tx, row, {{"alias", alias}});
  if (before) {  // it moved
    body.pop_back();
    body += ",\"previous\":\"" + std::to_string(*before) + "\"}";
  }
  record(tx, "alias.set", "model_version", subject_of(name, version), name, body);
  return {};
}

Result<void> delete_alias(store::Tx& tx, std::string_view name, std::string_view alias) {
  TRY(check_model_name(name));
  TRY(check_alias(alias));
  TRY_SET(const int64_t row, registered_row(tx, name));
  const int64_t gone =
      tx.exec("DELETE FROM track_aliases WHERE project = ? AND registered = ? AND alias = ?", tx.project(), row, alias);
  if (gone == 0) return {};
  record(tx, "alias.deleted", "registered_model", name, name, registry_event_body(tx, row, {{"alias", alias}}));
  return {};
}

Result<std::optional<ModelVersion>> version_by_alias(store::Tx& tx, std::string_view name, std::string_view alias) {
  TRY(check_model_name(name));
  TRY(check_alias(alias));
  TRY_SET(const int64_t row, registered_row(tx, name));
  if (same_word(alias, "LATEST")) {  // nobody can take this name: it is the newest version's
    const auto newest =
        tx.query_i64("SELECT MAX(version) FROM track_versions WHERE project = ? AND registered = ? AND deleted = 0",
                     tx.project(), row);
    TRY(tx.status());
    if (!newest) return not_found("Latest version not found for model " + std::string(name) + ".");
    TRY_SET(ModelVersion found, get_model_version(tx, name, *newest));
    return std::optional(std::move(found));
  }
  const auto version = tx.query_i64(
      "SELECT version FROM track_aliases WHERE project = ? AND registered = ? AND alias = ?", tx.project(), row, alias);
  if (!version) return std::optional<ModelVersion>();
  TRY_SET(ModelVersion found, get_model_version(tx, name, *version));
  return std::optional(std::move(found));
}

// --- stages ---------------------------------------------------------------------------------------------------------

Result<std::vector<ModelVersion>> latest_versions(store::Tx& tx, std::string_view name,
                                                  const std::vector<std::string>& stages) {
  TRY_SET(RegisteredModel model, get_registered_model(tx, name));
  std::vector<std::string_view> wanted;
  for (const std::string& stage : stages) {
    TRY_SET(wanted.emplace_back(), canonical_stage(stage));
  }
  std::vector<ModelVersion> out;
  for (ModelVersion& version : model.latest_versions) {
    if (!wanted.empty() && std::ranges::find(wanted, version.stage) == wanted.end()) continue;
    for (const auto& [alias, number] : model.aliases) {
      if (number == version.version) version.aliases.push_back(alias);
    }
    out.push_back(std::move(version));
  }
  return out;
}

Result<ModelVersion> transition_stage(store::Tx& tx, std::string_view name, int64_t version, std::string_view stage,
                                      bool archive_existing) {
  TRY_SET(const std::string_view to, canonical_stage(stage));
  if (archive_existing && to != "Staging" && to != "Production") {
    return invalid("Model version transition cannot archive existing model versions because '" + std::string(stage) +
                   "' is not an Active stage. Valid stages are ['Staging', 'Production']");
  }
  TRY_SET(const ModelVersion found, get_model_version(tx, name, version));
  TRY_SET(const int64_t row, registered_row(tx, name));
  std::vector<int64_t> archived;
  if (archive_existing) {
    auto rows = tx.query(
        "UPDATE track_versions SET stage = 'Archived', updated_ms = ? "
        "WHERE project = ? AND registered = ? AND stage = ? AND version <> ? AND deleted = 0 RETURNING version",
        now_ms(tx), tx.project(), row, to, version);
    while (rows.next()) archived.push_back(rows.i64(0));
  }
  for (const int64_t other : archived)
    record(tx, "model_version.staged", "model_version", subject_of(name, other), name,
           "{\"stage\":\"Archived\",\"previous\":\"" + std::string(to) + "\"}");
  tx.exec("UPDATE track_versions SET stage = ?, updated_ms = ? WHERE project = ? AND id = ?", to, now_ms(tx),
          tx.project(), found.row);
  touch(tx, row);
  record(tx, "model_version.staged", "model_version", subject_of(name, version), name,
         "{\"stage\":\"" + std::string(to) + "\",\"previous\":\"" + found.stage + "\"}");
  return get_model_version(tx, name, version);
}

}  // namespace track
