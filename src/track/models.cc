#include "track/models.h"

#include <array>
#include <limits>

#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "track/experiments.h"
#include "track/names.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr std::array<std::string_view, 4> kStatusNames = {"LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING",
                                                          "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"};

std::unexpected<base::Error> no_model(std::string_view model_id) {
  return not_found("Logged model with ID '" + std::string(model_id) + "' not found.");
}

Result<ModelInfo> find_model(store::Tx& tx, std::string_view model_id) {
  auto rows = tx.query(
      "SELECT m.id, m.model_id, m.exp, m.name, m.model_type, m.source_run_id, m.artifact_uri, m.status, m.deleted, "
      "m.created_ms, m.updated_ms, m.attempt FROM track_models m WHERE m.project = ? AND m.model_id = ?",
      tx.project(), model_id);
  if (!rows.next()) return no_model(model_id);
  return read_model_info(rows);
}

void put_tag(store::Tx& tx, int64_t model, const Tag& tag) {
  tx.exec(
      "INSERT INTO track_model_tags (project, model, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, model, key) DO UPDATE SET value = excluded.value",
      tx.project(), model, tag.key, tag.value);
}

// A parameter is logged once; the same value again, from a client that tries again, changes nothing.
Result<void> add_param(store::Tx& tx, int64_t model, std::string_view model_id, const Tag& param) {
  const int64_t added =
      tx.exec("INSERT INTO track_model_params (project, model, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
              tx.project(), model, param.key, param.value);
  if (added == 1 || tx.failed()) return {};
  auto rows = tx.query("SELECT value FROM track_model_params WHERE project = ? AND model = ? AND key = ?", tx.project(),
                       model, param.key);
  if (!rows.next() || rows.text(0) == param.value) return {};
  return base::invalid("Changing param values is not allowed. Param with key='" + param.key +
                       "' was already logged with value='" + rows.str(0) + "' for model ID='" + std::string(model_id) +
                       "'. Attempted logging new value '" + param.value + "'.");
}

}  // namespace

std::string_view name(ModelStatus status) { return kStatusNames[static_cast<size_t>(status)]; }

std::optional<ModelStatus> model_status(std::string_view name) {
  for (size_t i = 0; i < kStatusNames.size(); ++i) {
    if (kStatusNames[i] == name) return static_cast<ModelStatus>(i);
  }
  return std::nullopt;
}

std::optional<ModelStatus> model_status(int64_t number) {
  if (number < 0 || number >= static_cast<int64_t>(kStatusNames.size())) return std::nullopt;
  return static_cast<ModelStatus>(number);
}

ModelInfo read_model_info(store::Rows& rows) {
  ModelInfo info;
  info.row = rows.i64(0);
  info.model_id = rows.str(1);
  info.experiment = rows.i64(2);
  info.name = rows.str(3);
  info.model_type = rows.str(4);
  info.source_run_id = rows.str(5);
  info.artifact_uri = rows.str(6);
  info.status = static_cast<ModelStatus>(rows.i64(7));
  info.deleted = rows.boolean(8);
  info.created_ms = rows.i64(9);
  info.updated_ms = rows.i64(10);
  info.attempt = rows.str(11);
  return info;
}

Result<int64_t> model_row(store::Tx& tx, std::string_view model_id) {
  const auto row =
      tx.query_i64("SELECT id FROM track_models WHERE project = ? AND model_id = ?", tx.project(), model_id);
  if (!row) return no_model(model_id);
  return *row;
}

Model load_model(store::Tx& tx, ModelInfo info) {
  Model model;
  model.info = std::move(info);
  {
    auto rows = tx.query("SELECT key, value FROM track_model_tags WHERE project = ? AND model = ? ORDER BY key",
                         tx.project(), model.info.row);
    while (rows.next()) model.tags.push_back({rows.str(0), rows.str(1)});
  }
  {
    auto rows = tx.query("SELECT key, value FROM track_model_params WHERE project = ? AND model = ? ORDER BY key",
                         tx.project(), model.info.row);
    while (rows.next()) model.params.push_back({rows.str(0), rows.str(1)});
  }
  auto rows = tx.query(
      "SELECT key, value, is_nan, at_ms, step, run_id, dataset_name, dataset_digest FROM track_model_metrics "
      "WHERE project = ? AND model = ? ORDER BY key, at_ms, step",
      tx.project(), model.info.row);
  while (rows.next()) {
    Metric& metric = model.metrics.emplace_back();
    metric.key = rows.str(0);
    metric.value = rows.boolean(2) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(1);
    metric.at_ms = rows.i64(3);
    metric.step = rows.i64(4);
    metric.run_id = rows.str(5);
    metric.dataset_name = rows.str(6);
    metric.dataset_digest = rows.str(7);
    metric.model_id = model.info.model_id;
  }
  return model;
}

Result<Model> create_model(store::Tx& tx, const NewModel& given) {
  if (!given.name.empty()) TRY(check_logged_model_name(given.name));
  TRY_SET(const Experiment experiment, active_experiment(tx, given.experiment_id));
  Model model;
  ModelInfo& info = model.info;
  info.model_id = "m-" + tx.ctx().new_hex32();
  info.experiment = experiment.id;
  info.name = given.name.empty() ? random_name(*tx.ctx().random) : given.name;
  info.model_type = given.model_type;
  info.source_run_id = given.source_run_id;
  info.artifact_uri = experiment.artifact_location + "/models/" + info.model_id + "/artifacts";
  info.created_ms = info.updated_ms = now_ms(tx);
  info.attempt = tx.ctx().actor.attempt;
  const auto row = tx.query_i64(
      "INSERT INTO track_models (project, model_id, exp, name, model_type, source_run_id, artifact_uri, status, "
      "deleted, "
      "created_ms, updated_ms, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?) RETURNING id",
      tx.project(), info.model_id, info.experiment, info.name, info.model_type, info.source_run_id, info.artifact_uri,
      static_cast<int64_t>(info.status), info.created_ms, info.updated_ms, info.attempt);
  info.row = row.value_or(0);
  for (const Tag& param : given.params) TRY(add_param(tx, info.row, info.model_id, param));
  for (const Tag& tag : given.tags) put_tag(tx, info.row, tag);
  if (!info.attempt.empty()) core::add_edge(tx, {"attempt", info.attempt}, {"logged_model", info.model_id}, "produced");
  if (!info.source_run_id.empty()) {
    core::add_edge(tx, {"run", info.source_run_id}, {"logged_model", info.model_id}, "produced");
  }
  core::emit(tx, "logged_model.created", "logged_model", info.model_id);
  return load_model(tx, std::move(model.info));
}

Result<Model> get_model(store::Tx& tx, std::string_view model_id, bool allow_deleted) {
  TRY_SET(ModelInfo info, find_model(tx, model_id));
  if (info.deleted && !allow_deleted) return no_model(model_id);
  return load_model(tx, std::move(info));
}

Result<Model> finalize_model(store::Tx& tx, std::string_view model_id, ModelStatus status) {
  TRY_SET(ModelInfo info, find_model(tx, model_id));
  info.status = status;
  info.updated_ms = now_ms(tx);
  tx.exec("UPDATE track_models SET status = ?, updated_ms = ? WHERE project = ? AND id = ?",
          static_cast<int64_t>(status), info.updated_ms, tx.project(), info.row);
  core::emit(tx, "logged_model.finalized", "logged_model", info.model_id,
             std::string("{\"status\":\"").append(name(status)).append("\"}"));
  return load_model(tx, std::move(info));
}

Result<void> delete_model(store::Tx& tx, std::string_view model_id) {
  TRY_SET(const int64_t row, model_row(tx, model_id));
  tx.exec("UPDATE track_models SET deleted = 1, updated_ms = ? WHERE project = ? AND id = ?", now_ms(tx), tx.project(),
          row);
  core::emit(tx, "logged_model.deleted", "logged_model", model_id);
  core::audit(tx, "logged_model.deleted", "logged_model", model_id);
  return {};
}

Result<void> set_model_tags(store::Tx& tx, std::string_view model_id, const Tags& tags) {
  TRY_SET(const int64_t row, model_row(tx, model_id));
  for (const Tag& tag : tags) put_tag(tx, row, tag);
  core::emit(tx, "logged_model.tagged", "logged_model", model_id);
  return {};
}

Result<void> delete_model_tag(store::Tx& tx, std::string_view model_id, std::string_view key) {
  TRY_SET(const int64_t row, model_row(tx, model_id));
  const int64_t gone =
      tx.exec("DELETE FROM track_model_tags WHERE project = ? AND model = ? AND key = ?", tx.project(), row, key);
  if (gone == 0 && !tx.failed()) {
    return not_found("No tag with key " + python_repr(key) + " found for model with ID " + python_repr(model_id) + ".");
  }
  core::emit(tx, "logged_model.untagged", "logged_model", model_id);
  return {};
}

Result<void> log_model_params(store::Tx& tx, std::string_view model_id, const Tags& params) {
  TRY_SET(const int64_t row, model_row(tx, model_id));
  for (const Tag& param : params) TRY(add_param(tx, row, model_id, param));
  core::emit(tx, "logged_model.params_logged", "logged_model", model_id);
  return {};
}

}  // namespace track
