#include "track/runs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "track/experiments.h"
#include "track/inputs.h"
#include "track/keys.h"
#include "track/names.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr std::array<std::string_view, 6> kStatusNames = {"", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};

void put_tag(store::Tx& tx, const RunKey& run, const Tag& tag) {
  tx.exec(
      "INSERT INTO track_tags (project, run, key_id, exp, value) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (project, run, key_id) DO UPDATE SET value = excluded.value",
      tx.project(), run.row, key_id(tx, tag.key), run.exp, first_chars(tag.value, kMaxTagValue));
}

void rename(store::Tx& tx, int64_t row, std::string_view name) {
  tx.exec("UPDATE track_runs SET name = ?, name_tag = 1 WHERE project = ? AND id = ?", name, tx.project(), row);
}

// Tag mlflow.runName is the run's name; upstream ignores an empty one.
void set_tag(store::Tx& tx, const RunKey& run, const Tag& tag) {
  if (tag.key != kRunNameTag) return put_tag(tx, run, tag);
  if (!tag.value.empty()) rename(tx, run.row, first_chars(tag.value, kMaxTagValue));
}

std::string changed_param(const std::string& run_id, const Tag& param, const std::string& old_value, bool single) {
  if (single) {
    return "Changing param values is not allowed. Param with key='" + param.key + "' was already logged with value='" +
           old_value + "' for run ID='" + run_id + "'. Attempted logging new value '" + param.value + "'.";
  }
  return "Changing param values is not allowed. Params were already logged='[{'key': " + python_repr(param.key) +
         ", 'old_value': " + python_repr(old_value) + ", 'new_value': " + python_repr(param.value) +
         "}]' for run ID='" + run_id + "'.";
}

Result<void> add_params(store::Tx& tx, const RunInfo& run, const Tags& params, bool single) {
  for (const Tag& given : params) {
    const Tag param{given.key, std::string(first_chars(given.value, kMaxParamValue))};  // cut, as the client was told
    const int64_t key = key_id(tx, param.key);
    const int64_t added = tx.exec(
        "INSERT INTO track_params (project, run, key_id, exp, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        tx.project(), run.row, key, run.experiment, param.value);
    if (added == 1 || tx.failed()) continue;
    auto rows = tx.query("SELECT value FROM track_params WHERE project = ? AND run = ? AND key_id = ?", tx.project(),
                         run.row, key);
    if (rows.next() && rows.text(0) != param.value) {
      return invalid(changed_param(run.run_id, param, rows.str(0), single));
    }
  }
  return {};
}

std::unexpected<base::Error> too_many(size_t limit, std::string_view what, size_t count) {
  return invalid("A batch logging request can contain at most " + std::to_string(limit) + " " + std::string(what) +
                 ". Got " + std::to_string(count) + " " + std::string(what) + ". Please split up " + std::string(what) +
                 " across multiple requests and try again.");
}

Result<void> check_batch_limits(const Batch& batch) {
  if (batch.metrics.size() > kMaxBatchMetrics) return too_many(kMaxBatchMetrics, "metrics", batch.metrics.size());
  if (batch.params.size() > kMaxBatchParams) return too_many(kMaxBatchParams, "params", batch.params.size());
  if (batch.tags.size() > kMaxBatchTags) return too_many(kMaxBatchTags, "tags", batch.tags.size());
  const size_t total = batch.metrics.size() + batch.params.size() + batch.tags.size();
  if (total > kMaxBatchTotal) return too_many(kMaxBatchTotal, "metrics, params, and tags", total);
  return {};
}

Result<void> check_params_unique(const Tags& params) {
  std::vector<std::string_view> keys, twice;
  for (const Tag& param : params)
    (std::ranges::find(keys, param.key) != keys.end() ? twice : keys).push_back(param.key);
  if (twice.empty()) return {};
  std::string list;
  for (const std::string_view key : twice) list.append(list.empty() ? "" : ", ").append(python_repr(key));
  return invalid("Duplicate parameter keys have been submitted: [" + list +
                 "]. Please ensure the request contains only one param value per param key.");
}

Result<void> check_batch(const Batch& batch) {
  const auto path = [&](std::string_view list, size_t i) {
    return batch.single ? std::string() : std::string(list) + "[" + std::to_string(i) + "]";
  };
  const auto field = [&](std::string_view list, size_t i, std::string_view name) {
    return batch.single ? std::string(name) : path(list, i).append(".").append(name);
  };
  for (size_t i = 0; i < batch.metrics.size(); ++i) TRY(check_metric(batch.metrics[i], path("metrics", i)));
  for (size_t i = 0; i < batch.params.size(); ++i) {
    TRY(check_key(batch.params[i].key, field("params", i, "key")));
    TRY(check_length("Param key", kMaxKey, batch.params[i].key));
  }
  for (size_t i = 0; i < batch.tags.size(); ++i) {
    TRY(check_key(batch.tags[i].key, field("tags", i, "key")));
    TRY(check_length(field("tags", i, "key"), kMaxKey, batch.tags[i].key));
  }
  TRY(check_batch_limits(batch));
  return check_params_unique(batch.params);
}

// 32 hex digits as upstream's, but in the order of time (a UUIDv7): so the pages of an index fill one after the other,
// and a commit of many runs writes few of them.
std::string new_run_id(const base::Context& ctx) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string id;
  id.reserve(32);
  for (const uint8_t byte : base::make_uuid7(*ctx.random, ctx.now_us)) id += {kHex[byte >> 4], kHex[byte & 15]};
  return id;
}

Result<std::string> name_of_new_run(store::Tx& tx, const NewRun& run) {
  const auto tag = std::ranges::find(run.tags, kRunNameTag, [](const Tag& t) -> std::string_view { return t.key; });
  const std::string tagged = tag == run.tags.end() ? "" : tag->value;
  if (!run.name.empty() && !tagged.empty() && run.name != tagged) {
    return invalid(
        "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
        "(run_name='" +
        run.name + "', mlflow.runName='" + tagged + "').");
  }
  const std::string& given = run.name.empty() ? tagged : run.name;
  if (given.empty()) return random_name(*tx.ctx().random);
  return std::string(first_chars(given, kMaxTagValue));
}

}  // namespace

std::string_view name(RunStatus status) { return kStatusNames[static_cast<size_t>(status)]; }

std::optional<RunStatus> run_status(std::string_view name) {
  for (size_t i = 1; i < kStatusNames.size(); ++i) {
    if (kStatusNames[i] == name) return static_cast<RunStatus>(i);
  }
  return std::nullopt;
}

std::optional<RunStatus> run_status(int64_t number) {
  if (number < 1 || number >= static_cast<int64_t>(kStatusNames.size())) return std::nullopt;
  return static_cast<RunStatus>(number);
}

RunInfo read_run_info(store::Rows& rows) {
  RunInfo info;
  info.row = rows.i64(0);
  info.run_id = rows.str(1);
  info.experiment = rows.i64(2);
  info.name = rows.str(3);
  info.user_id = rows.str(4);
  info.status = static_cast<RunStatus>(rows.i64(5));
  info.start_ms = rows.i64(6);
  info.end_ms = rows.opt_i64(7);
  info.deleted = rows.boolean(8);
  info.artifact_uri = rows.str(9);
  info.attempt = rows.str(10);
  info.name_tag = rows.boolean(11);
  return info;
}

Result<RunInfo> get_run_info(store::Tx& tx, std::string_view run_id) {
  auto rows = tx.query(
      "SELECT r.id, r.run_id, r.exp, r.name, r.user_id, r.status, r.start_ms, r.end_ms, r.deleted, r.artifact_uri, "
      "r.attempt, r.name_tag FROM track_runs r WHERE r.project = ? AND r.run_id = ?",
      tx.project(), run_id);
  if (!rows.next()) return not_found("Run with id=" + std::string(run_id) + " not found");
  return read_run_info(rows);
}

Result<RunInfo> active_run(store::Tx& tx, std::string_view run_id) {
  TRY_SET(RunInfo info, get_run_info(tx, run_id));
  if (info.deleted) {
    return invalid("The run " + info.run_id + " must be in the 'active' state. Current state is deleted.");
  }
  return info;
}

Result<Run> create_run(store::Tx& tx, const NewRun& new_run) {
  TRY_SET(const Experiment experiment, active_experiment(tx, new_run.experiment_id));
  Run run;
  run.info.run_id = new_run_id(tx.ctx());
  TRY_SET(run.info.name, name_of_new_run(tx, new_run));
  run.info.experiment = experiment.id;
  run.info.user_id = new_run.user_id;
  run.info.start_ms = new_run.start_ms;
  run.info.artifact_uri = experiment.artifact_location + "/" + run.info.run_id + "/artifacts";
  run.info.attempt = tx.ctx().actor.attempt;
  for (const Tag& tag : new_run.tags) TRY(check_length("key", kMaxKey, tag.key));
  const auto row = tx.query_i64(
      "INSERT INTO track_runs (project, run_id, exp, name, name_tag, user_id, status, start_ms, deleted, artifact_uri, "
      "attempt) VALUES (?, ?, ?, ?, 1, ?, ?, ?, 0, ?, ?) RETURNING id",
      tx.project(), run.info.run_id, experiment.id, run.info.name, run.info.user_id,
      static_cast<int64_t>(RunStatus::kRunning), run.info.start_ms, run.info.artifact_uri, run.info.attempt);
  if (!row)
    return std::unexpected(tx.failed() ? tx.status().error() : base::internal("the run was not stored").error());
  run.info.row = *row;
  const RunKey key{*row, experiment.id, run.info.run_id};
  run.tags.push_back({std::string(kRunNameTag), run.info.name});
  for (const Tag& tag : new_run.tags) {
    if (tag.key == kRunNameTag) continue;
    Tag kept{tag.key, std::string(first_chars(tag.value, kMaxTagValue))};
    put_tag(tx, key, kept);
    const auto same = std::ranges::find(run.tags, kept.key, &Tag::key);
    same == run.tags.end() ? run.tags.push_back(std::move(kept)) : static_cast<void>(*same = std::move(kept));
  }
  if (!run.info.attempt.empty()) {
    core::add_edge(tx, {"attempt", run.info.attempt}, {"run", run.info.run_id}, "produced");
  }
  core::emit(tx, "run.created", "run", run.info.run_id);
  return run;
}

std::vector<Run> load_runs(store::Tx& tx, std::vector<RunInfo> infos) {
  std::vector<Run> out;
  out.reserve(infos.size());
  RunsByRow by_row;
  for (RunInfo& info : infos) {
    Run& run = out.emplace_back();
    run.info = std::move(info);
    if (run.info.name_tag) run.tags.push_back({std::string(kRunNameTag), run.info.name});
    by_row.add(run);
  }
  by_row.each(tx,
              "SELECT m.run, k.name, m.value, m.at_ms, m.step, m.is_nan FROM track_latest_metrics m "
              "JOIN track_keys k ON k.id = m.key_id WHERE m.project = ? AND m.run IN ",
              " ORDER BY m.run, m.key_id", [](Run& run, store::Rows& rows) {
                Metric& metric = run.metrics.emplace_back();
                metric.key = rows.str(1);
                metric.value = rows.boolean(5) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(2);
                metric.at_ms = rows.i64(3);
                metric.step = rows.i64(4);
              });
  by_row.each(tx,
              "SELECT p.run, k.name, p.value FROM track_params p JOIN track_keys k ON k.id = p.key_id "
              "WHERE p.project = ? AND p.run IN ",
              " ORDER BY p.run, p.key_id",
              [](Run& run, store::Rows& rows) { run.params.push_back({rows.str(1), rows.str(2)}); });
  by_row.each(tx,
              "SELECT t.run, k.name, t.value FROM track_tags t JOIN track_keys k ON k.id = t.key_id "
              "WHERE t.project = ? AND t.run IN ",
              " ORDER BY t.run, t.key_id",
              [](Run& run, store::Rows& rows) { run.tags.push_back({rows.str(1), rows.str(2)}); });
  load_run_inputs(tx, by_row);
  return out;
}

Run load_run(store::Tx& tx, RunInfo info) {
  std::vector<RunInfo> one;
  one.push_back(std::move(info));
  return std::move(load_runs(tx, std::move(one))[0]);
}

Result<Run> get_run(store::Tx& tx, std::string_view run_id) {
  TRY_SET(RunInfo info, get_run_info(tx, run_id));
  return load_run(tx, std::move(info));
}

Result<RunInfo> update_run(store::Tx& tx, const RunUpdate& update) {
  TRY_SET(RunInfo info, active_run(tx, update.run_id));
  if (update.status) info.status = *update.status;
  if (update.end_ms) info.end_ms = update.end_ms;
  if (update.name && !update.name->empty()) {
    info.name = first_chars(*update.name, kMaxTagValue);
    info.name_tag = true;
  }
  tx.exec("UPDATE track_runs SET status = ?, end_ms = ?, name = ?, name_tag = ? WHERE project = ? AND id = ?",
          static_cast<int64_t>(info.status), info.end_ms, info.name, info.name_tag, tx.project(), info.row);
  core::emit(tx, "run.updated", "run", info.run_id,
             std::string("{\"status\":\"").append(name(info.status)).append("\"}"));
  return info;
}

Result<void> delete_run(store::Tx& tx, std::string_view run_id) {
  TRY_SET(const RunInfo info, get_run_info(tx, run_id));
  tx.exec("UPDATE track_runs SET deleted = 1, deleted_ms = ? WHERE project = ? AND id = ?", now_ms(tx), tx.project(),
          info.row);
  core::emit(tx, "run.deleted", "run", info.run_id);
  core::audit(tx, "run.deleted", "run", info.run_id);
  return {};
}

Result<void> restore_run(store::Tx& tx, std::string_view run_id) {
  TRY_SET(const RunInfo info, get_run_info(tx, run_id));
  tx.exec("UPDATE track_runs SET deleted = 0, deleted_ms = NULL WHERE project = ? AND id = ?", tx.project(), info.row);
  core::emit(tx, "run.restored", "run", info.run_id);
  core::audit(tx, "run.restored", "run", info.run_id);
  return {};
}

Result<void> log_batch(store::Tx& tx, const Batch& batch) {
  if (!batch.single) TRY(check_run_id(batch.run_id));
  // Of a point that is a logged model's too, upstream asks for the run first: that is the error that clients see.
  if (batch.single && !batch.metrics.empty() && !batch.metrics[0].model_id.empty()) TRY(active_run(tx, batch.run_id));
  TRY(check_batch(batch));
  TRY_SET(const RunInfo info, active_run(tx, batch.run_id));
  const RunKey run{info.row, info.experiment, info.run_id};
  TRY(add_params(tx, info, batch.params, batch.single));
  TRY(add_metrics(tx, run, batch.metrics));
  for (const Tag& tag : batch.tags) set_tag(tx, run, tag);
  if (batch.metrics.empty() && batch.params.empty() && batch.tags.empty()) return {};
  core::emit(tx, "run.logged", "run", info.run_id,
             "{\"metrics\":" + std::to_string(batch.metrics.size()) + ",\"params\":" +
                 std::to_string(batch.params.size()) + ",\"tags\":" + std::to_string(batch.tags.size()) + "}");
  return {};
}

Result<void> delete_run_tag(store::Tx& tx, std::string_view run_id, std::string_view key) {
  TRY_SET(const RunInfo info, active_run(tx, run_id));
  int64_t gone = 0;
  if (key == kRunNameTag) {
    gone = tx.exec("UPDATE track_runs SET name_tag = 0 WHERE project = ? AND id = ? AND name_tag = 1", tx.project(),
                   info.row);
  } else if (const auto id = find_key(tx, key)) {
    gone = tx.exec("DELETE FROM track_tags WHERE project = ? AND run = ? AND key_id = ?", tx.project(), info.row, *id);
  }
  if (gone == 0 && !tx.failed()) {
    return not_found("No tag with name: " + std::string(key) + " in run with id " + std::string(run_id));
  }
  core::emit(tx, "run.untagged", "run", info.run_id);
  return {};
}

}  // namespace track
