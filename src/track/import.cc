#include "track/import.h"

#include <cmath>
#include <unordered_map>

#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "store/bulk.h"
#include "track/artifact_root.h"
#include "track/keys.h"
#include "track/metrics.h"
#include "track/point_codec.h"

namespace track {

using base::Result;

namespace {

// Ids beyond this (a file store makes 18 digits) do not move the counter: the next experiment keeps a short number.
constexpr int64_t kCountedIds = 1'000'000'000;

// Names to their numbers, asked once for each name of a transaction.
class Keys {
 public:
  explicit Keys(store::Tx& tx) : tx_(tx) {}
  int64_t of(const std::string& name) {
    const auto [place, fresh] = known_.try_emplace(name, 0);
    if (fresh) place->second = key_id(tx_, name);
    return place->second;
  }

 private:
  store::Tx& tx_;
  std::unordered_map<std::string, int64_t> known_;
};

std::string mark_of(std::string_view run_id) { return "import " + std::string(run_id); }

bool is_marked(store::Tx& tx, std::string_view run_id) {
  return tx.query_i64("SELECT last FROM track_counters WHERE project = ? AND name = ?", tx.project(), mark_of(run_id))
      .has_value();
}

Result<int64_t> make_experiment(store::Tx& tx, const Experiment& from) {
  int64_t id = from.id;
  if (id < 0 || tx.query_i64("SELECT 1 FROM track_experiments WHERE id = ?", id)) {
    TRY_SET(id, next_experiment_id(tx));
  } else if (id < kCountedIds) {
    tx.exec("UPDATE track_counters SET last = ? WHERE project = 0 AND name = 'experiment' AND last < ?", id, id);
  }
  std::string location = from.artifact_location;
  if (const size_t at = location.find("{id}"); at != location.npos) location.replace(at, 4, std::to_string(id));
  tx.exec(
      "INSERT INTO track_experiments (id, project, name, artifact_location, deleted, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?)",
      id, tx.project(), from.name, location, from.deleted, from.created_ms, from.updated_ms);
  core::emit(tx, "experiment.imported", "experiment", std::to_string(id));
  TRY(tx.status());
  return id;
}

// The experiment that every project has from its beginning takes the other's dates while it is untouched.
void adopt_default(store::Tx& tx, int64_t id, const Experiment& from) {
  if (from.name != "Default") return;
  if (tx.query_i64("SELECT 1 FROM track_runs WHERE project = ? AND exp = ? LIMIT 1", tx.project(), id)) return;
  tx.exec(
      "UPDATE track_experiments SET created_ms = ?, updated_ms = ?, deleted = ? WHERE project = ? AND id = ? AND "
      "created_ms = updated_ms AND created_ms > ?",
      from.created_ms, from.updated_ms, from.deleted, tx.project(), id, from.created_ms);
}

}  // namespace

Result<ImportedExperiment> import_experiment(store::Tx& tx, const Experiment& from) {
  tx.lock("track.experiment", from.name);
  ImportedExperiment out;
  const auto found =
      tx.query_i64("SELECT id FROM track_experiments WHERE project = ? AND name = ?", tx.project(), from.name);
  if (found) {
    out.id = *found;
    adopt_default(tx, out.id, from);
  } else {
    TRY_SET(out.id, make_experiment(tx, from));
    out.made = true;
  }
  for (const Tag& tag : from.tags) {
    tx.exec("INSERT INTO track_experiment_tags (project, exp, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            tx.project(), out.id, tag.key, tag.value);
  }
  TRY(tx.status());
  return out;
}

Result<std::vector<std::string>> runs_to_import(store::Tx& tx, std::span<const std::string> run_ids) {
  std::vector<std::string> out;
  for (const std::string& id : run_ids) {
    const bool here =
        tx.query_i64("SELECT id FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), id).has_value();
    if (!here || is_marked(tx, id)) out.push_back(id);
  }
  TRY(tx.status());
  return out;
}

namespace {

// The row of a run that is to be filled; 0: it is here already.
int64_t run_row(store::Tx& tx, const ImportedRun& from) {
  const RunInfo& info = from.run.info;
  const auto made = tx.query_i64(
      "INSERT INTO track_runs (project, run_id, exp, name, name_tag, user_id, status, start_ms, end_ms, deleted, "
      "deleted_ms, artifact_uri, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '') ON CONFLICT DO NOTHING "
      "RETURNING id",
      tx.project(), info.run_id, info.experiment, info.name, info.name_tag, info.user_id,
      static_cast<int64_t>(info.status), info.start_ms, info.end_ms, info.deleted,
      info.deleted ? std::optional(now_ms(tx)) : std::nullopt, info.artifact_uri);
  if (!made) {
    if (!is_marked(tx, info.run_id)) return 0;
    return tx.query_i64("SELECT id FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), info.run_id)
        .value_or(0);
  }
  if (from.more) {
    tx.exec("INSERT INTO track_counters (project, name, last) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", tx.project(),
            mark_of(info.run_id));
  }
  core::emit(tx, "run.imported", "run", info.run_id);
  return *made;
}

int64_t dataset_row(store::Tx& tx, int64_t exp, const Dataset& from) {
  const auto made = tx.query_i64(
      "INSERT INTO track_datasets (project, exp, name, digest, source_type, source, schema_text, profile) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
      tx.project(), exp, from.name, from.digest, from.source_type, from.source, from.schema, from.profile);
  if (made) return *made;
  return tx
      .query_i64("SELECT id FROM track_datasets WHERE project = ? AND exp = ? AND name = ? AND digest = ?",
                 tx.project(), exp, from.name, from.digest)
      .value_or(0);
}

void import_links(store::Tx& tx, int64_t row, const Run& run) {
  for (const DatasetInput& input : run.datasets) {
    const auto link = tx.query_i64(
        "INSERT INTO track_inputs (project, run, dataset) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        tx.project(), row, dataset_row(tx, run.info.experiment, input.dataset));
    if (!link) continue;
    for (const Tag& tag : input.tags) {
      tx.exec("INSERT INTO track_input_tags (project, input, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
              tx.project(), *link, tag.key, tag.value);
    }
  }
  const auto link = [&](bool output, const std::string& model, int64_t step) {
    tx.exec(
        "INSERT INTO track_run_models (project, run, is_output, model_id, step) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        tx.project(), row, output, model, step);
  };
  for (const std::string& model : run.model_inputs) {
    link(false, model, 0);
    core::add_edge(tx, {"logged_model", model}, {"run", run.info.run_id}, "input");
  }
  for (const ModelOutput& model : run.model_outputs) {
    link(true, model.model_id, model.step);
    core::add_edge(tx, {"run", run.info.run_id}, {"logged_model", model.model_id}, "produced");
  }
}

}  // namespace

Result<void> import_runs(store::Tx& tx, std::span<const ImportedRun> runs) {
  Keys keys(tx);
  store::BulkInsert params(tx, "INSERT INTO track_params (project, run, key_id, exp, value) VALUES ", 5,
                           " ON CONFLICT DO NOTHING");
  store::BulkInsert tags(tx, "INSERT INTO track_tags (project, run, key_id, exp, value) VALUES ", 5,
                         " ON CONFLICT DO NOTHING");
  for (const ImportedRun& from : runs) {
    const RunInfo& info = from.run.info;
    const int64_t row = run_row(tx, from);
    TRY(tx.status());
    if (row == 0) continue;
    for (const Tag& param : from.run.params)
      params.add(tx.project(), row, keys.of(param.key), info.experiment, param.value);
    for (const Tag& tag : from.run.tags) tags.add(tx.project(), row, keys.of(tag.key), info.experiment, tag.value);
    import_links(tx, row, from.run);
    TRY(add_metrics(tx, {row, info.experiment, info.run_id}, from.run.metrics));
  }
  params.finish();
  tags.finish();
  return tx.status();
}

Result<void> import_points(store::Tx& tx, std::string_view run_id, std::span<const Metric> points) {
  TRY_SET(const RunInfo info, get_run_info(tx, run_id));
  TRY(add_metrics(tx, {info.row, info.experiment, info.run_id}, points));
  core::emit(tx, "run.imported", "run", info.run_id);  // more of it: whoever keeps what it read reads it again
  return tx.status();
}

Result<void> finish_run(store::Tx& tx, std::string_view run_id) {
  tx.exec("DELETE FROM track_counters WHERE project = ? AND name = ?", tx.project(), mark_of(run_id));
  return tx.status();
}

Result<bool> import_model(store::Tx& tx, const Model& model) {
  const ModelInfo& info = model.info;
  const auto row = tx.query_i64(
      "INSERT INTO track_models (project, model_id, exp, name, model_type, source_run_id, artifact_uri, status, "
      "deleted, created_ms, updated_ms, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '') ON CONFLICT DO NOTHING "
      "RETURNING id",
      tx.project(), info.model_id, info.experiment, info.name, info.model_type, info.source_run_id, info.artifact_uri,
      static_cast<int64_t>(info.status), info.deleted, info.created_ms, info.updated_ms);
  TRY(tx.status());
  if (!row) return false;
  const auto put = [&](std::string_view sql, const Tags& tags) {
    for (const Tag& tag : tags) tx.exec(sql, tx.project(), *row, tag.key, tag.value);
  };
  put("INSERT INTO track_model_params (project, model, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      model.params);
  put("INSERT INTO track_model_tags (project, model, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      model.tags);
  for (const Metric& metric : model.metrics) {
    tx.exec(
        "INSERT INTO track_model_metrics (project, model, key, at_ms, step, run_id, value, is_nan, dataset_name, "
        "dataset_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        tx.project(), *row, metric.key, metric.at_ms, metric.step, metric.run_id, storable(metric.value),
        std::isnan(metric.value), metric.dataset_name, metric.dataset_digest);
  }
  if (!info.source_run_id.empty()) {
    core::add_edge(tx, {"run", info.source_run_id}, {"logged_model", info.model_id}, "produced");
  }
  core::emit(tx, "logged_model.imported", "logged_model", info.model_id);
  TRY(tx.status());
  return true;
}

namespace {

Result<bool> import_version(store::Tx& tx, int64_t registered, const ImportedVersion& from) {
  const ModelVersion& version = from.version;
  if (tx.query_i64("SELECT id FROM track_versions WHERE project = ? AND registered = ? AND version = ?", tx.project(),
                   registered, version.version)) {
    return false;
  }
  std::string root;
  if (const auto path = proxied_path(version.storage_uri); path && !from.deleted) {
    root = root_of_version(tx, artifact_place(*path), !version.model_id.empty(), registered, version.version);
  }
  const auto row = tx.query_i64(
      "INSERT INTO track_versions (project, registered, version, source, storage_uri, artifact_root, run_id, run_link, "
      "model_id, description, stage, deleted, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
      tx.project(), registered, version.version, version.source, version.storage_uri, root, version.run_id,
      version.run_link, version.model_id, version.description, version.stage, from.deleted, version.created_ms,
      version.updated_ms);
  TRY(tx.status());
  for (const auto& [key, value] : version.tags) {
    tx.exec(
        "INSERT INTO track_version_tags (project, version_row, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        tx.project(), row.value_or(0), key, value);
  }
  const std::string subject = version.name + "/" + std::to_string(version.version);
  if (!version.model_id.empty()) {
    core::add_edge(tx, {"logged_model", version.model_id}, {"model_version", subject}, "registered");
  } else if (!version.run_id.empty()) {
    core::add_edge(tx, {"run", version.run_id}, {"model_version", subject}, "registered");
  }
  core::emit(tx, "model_version.imported", "model_version", subject);
  core::audit(tx, "model_version.imported", "model_version", subject, "{}", version.name);
  return true;
}

}  // namespace

Result<int64_t> import_registered(store::Tx& tx, const ImportedRegistered& from) {
  const RegisteredModel& model = from.model;
  tx.exec(
      "INSERT INTO track_registered (project, name, description, created_ms, updated_ms, last_version) "
      "VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
      tx.project(), model.name, model.description, model.created_ms, model.updated_ms);
  const auto row =
      tx.query_i64("SELECT id FROM track_registered WHERE project = ? AND name = ?", tx.project(), model.name);
  TRY(tx.status());
  if (!row) return base::internal("registered model " + model.name + " was not stored");
  for (const Tag& tag : model.tags) {
    tx.exec(
        "INSERT INTO track_registered_tags (project, registered, key, value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        tx.project(), *row, tag.key, tag.value);
  }
  int64_t made = 0;
  for (const ImportedVersion& version : from.versions) {
    TRY_SET(const bool fresh, import_version(tx, *row, version));
    made += fresh;
    tx.exec("UPDATE track_registered SET last_version = ? WHERE project = ? AND id = ? AND last_version < ?",
            version.version.version, tx.project(), *row, version.version.version);
  }
  for (const auto& [alias, version] : model.aliases) {
    tx.exec(
        "INSERT INTO track_aliases (project, registered, alias, version) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        tx.project(), *row, alias, version);
  }
  TRY(tx.status());
  return made;
}

Result<void> import_files(store::Tx& tx, std::span<const ImportedFile> files) {
  for (const ImportedFile& file : files) {
    TRY(blob::register_upload(tx, file.info));  // its MD5 too
    TRY(blob::put_artifact(tx,
                           {.root = file.root, .path = file.path, .size = file.info.size, .digest = file.info.sha256}));
  }
  return tx.status();
}

namespace {

Result<int64_t> count_points(store::Tx& tx, int64_t run) {
  int64_t count =
      tx.query_i64("SELECT SUM(points) FROM track_metric_chunks WHERE project = ? AND run = ?", tx.project(), run)
          .value_or(0);
  auto rows = tx.query("SELECT tail FROM track_latest_metrics WHERE project = ? AND run = ? AND tail IS NOT NULL",
                       tx.project(), run);
  std::vector<Point> tail;
  while (rows.next()) {
    tail.clear();
    TRY(decode_points(rows.text(0), tail));
    count += static_cast<int64_t>(tail.size());
  }
  return count;
}

}  // namespace

Result<std::vector<RunCounts>> count_runs(store::Tx& tx, std::span<const std::string> run_ids) {
  std::vector<RunCounts> out;
  for (const std::string& id : run_ids) {
    int64_t row = 0, name_tag = 0;
    {
      auto rows = tx.query("SELECT id, name_tag FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), id);
      if (!rows.next()) continue;
      row = rows.i64(0);
      name_tag = rows.i64(1);
    }
    const auto count = [&](std::string_view sql) { return tx.query_i64(sql, tx.project(), row).value_or(0); };
    RunCounts& counts = out.emplace_back();
    counts.run_id = id;
    TRY_SET(counts.points, count_points(tx, row));
    counts.params = count("SELECT COUNT(*) FROM track_params WHERE project = ? AND run = ?");
    counts.tags = name_tag + count("SELECT COUNT(*) FROM track_tags WHERE project = ? AND run = ?");
    counts.datasets = count("SELECT COUNT(*) FROM track_inputs WHERE project = ? AND run = ?");
    counts.models = count("SELECT COUNT(*) FROM track_run_models WHERE project = ? AND run = ?");
  }
  TRY(tx.status());
  return out;
}

}  // namespace track
