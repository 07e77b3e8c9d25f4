// The domain functions of flow.h: rows of pipelines, runs, stages and attempts. What moves a run is the engine.
#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_map>

#include "base/fs.h"
#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "flow/cron.h"
#include "flow/flow.h"
#include "flow/scheduler.h"
#include "flow/spec_json.h"

namespace flow {

std::string_view name(State state) {
  switch (state) {
    case State::kQueued: return "queued";
    case State::kRunning: return "running";
    case State::kSucceeded: return "succeeded";
    case State::kFailed: return "failed";
    case State::kSkipped: return "skipped";
    case State::kCancelled: return "cancelled";
    case State::kUpstreamFailed: return "upstream-failed";
  }
  return "?";
}

namespace {

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 128 || !std::isalnum(static_cast<unsigned char>(text[0]))) return false;
  return std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_stage_name(std::string_view text) {
  return !text.empty() && text.size() <= 256 &&
         std::ranges::all_of(text, [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

base::Result<void> check_params(const TextMap& params) {
  if (params.size() > kMaxRunParams)
    return base::invalid("a run takes at most " + std::to_string(kMaxRunParams) + " parameters, found " +
                         std::to_string(params.size()));
  for (const auto& [key, value] : params) {
    if (!is_name(key))
      return base::invalid("parameter name '" + key +
                           "': letters, digits, '_', '.' and '-' are allowed, beginning with a letter or digit");
    if (value.size() > kMaxParamBytes || value.find('\0') != std::string::npos)
      return base::invalid("parameter '" + key + "' is longer than " + std::to_string(kMaxParamBytes) +
                           " bytes or holds a NUL byte");
  }
  return {};
}

base::Result<void> check_stage(const StageSpec& stage) {
  const std::string where = "stage '" + stage.name + "': ";
  if (!is_stage_name(stage.name))
    return base::invalid("a stage's name has 1 to 256 bytes and no control characters, found '" + stage.name + "'");
  if (stage.cmd.empty()) return base::invalid(where + "cmd is empty");
  if (stage.cmd.size() > kMaxCmdBytes || stage.cmd.find('\0') != std::string::npos)
    return base::invalid(where + "cmd is longer than " + std::to_string(kMaxCmdBytes) +
                         " bytes or holds a NUL byte; put it into a script");
  if (!stage.wdir.empty() && !base::is_safe_relative_path(stage.wdir))
    return base::invalid(where + "wdir '" + stage.wdir + "' must be a relative path inside the project");
  for (const auto* paths : {&stage.file_deps, &stage.outs, &stage.metrics})
    for (const std::string& path : *paths)
      if (!base::is_safe_relative_path(path))
        return base::invalid(where + "'" + path + "' must be a relative path inside the project, without '..'");
  if (stage.retries < 0 || stage.retries > kMaxRetries)
    return base::invalid(where + "retries must be 0 to " + std::to_string(kMaxRetries) + ", found " +
                         std::to_string(stage.retries));
  if (stage.timeout_us < 0 || stage.retry_delay_us < 0 || stage.resources.memory_bytes < 0 || stage.resources.cpus < 1)
    return base::invalid(where + "timeout, retry_delay and memory must not be negative, cpus at least 1");
  return {};
}

// Depth-first over `after`; the error names one stage of the cycle.
base::Result<void> check_acyclic(const std::vector<StageSpec>& stages,
                                 const std::unordered_map<std::string_view, size_t>& index) {
  std::vector<uint8_t> mark(stages.size(), 0);  // 0 new, 1 on the stack, 2 done
  for (size_t root = 0; root < stages.size(); ++root) {
    std::vector<std::pair<size_t, size_t>> stack{{root, 0}};
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (mark[node] == 2) {
        stack.pop_back();
        continue;
      }
      mark[node] = 1;
      if (next == stages[node].after.size()) {
        mark[node] = 2;
        stack.pop_back();
        continue;
      }
      const size_t up = index.at(stages[node].after[next++]);
      if (mark[up] == 1)
        return base::invalid("stage '" + stages[up].name + "' depends on itself, through its deps or after");
      if (mark[up] == 0) stack.emplace_back(up, 0);
    }
  }
  return {};
}

PipelineRun read_run(store::Rows& rows) {
  PipelineRun run;
  run.id = rows.str(0);
  run.pipeline = rows.str(1);
  run.number = rows.i64(2);
  run.bundle = rows.str(3);
  run.state = static_cast<State>(rows.i64(4));
  run.cause = rows.str(5);
  run.params = map_from_json(rows.text(6)).value_or(TextMap{});
  run.created_us = rows.i64(7);
  run.ended_us = rows.i64(8);
  return run;
}

// Any attempt's row joined with what it is part of; the caller adds the condition.
AttemptInfo read_attempt(store::Rows& rows) {
  return {.attempt = rows.str(0),
          .run = rows.str(1),
          .pipeline = rows.str(2),
          .stage = rows.str(3),
          .group = rows.str(4),
          .bundle = rows.str(5)};
}

}  // namespace

base::Result<void> check(const PipelineSpec& spec) {
  if (!is_name(spec.name))
    return base::invalid(
        "pipeline name '" + spec.name +
        "': letters, digits, '_', '.' and '-' are allowed, beginning with a letter or digit, at most 128");
  if (spec.stages.size() > kMaxStages)
    return base::invalid("the pipeline has " + std::to_string(spec.stages.size()) +
                         " stages after expansion; at most " + std::to_string(kMaxStages) + " are allowed");
  std::unordered_map<std::string_view, size_t> index;
  std::unordered_map<std::string_view, std::string_view> makers;
  for (size_t i = 0; i < spec.stages.size(); ++i) {
    const StageSpec& stage = spec.stages[i];
    TRY(check_stage(stage));
    if (!index.emplace(stage.name, i).second) return base::invalid("two stages are named '" + stage.name + "'");
    std::set<std::string_view> own(stage.outs.begin(), stage.outs.end());
    own.insert(stage.metrics.begin(), stage.metrics.end());
    for (const std::string_view out : own)
      if (const auto [maker, fresh] = makers.emplace(out, stage.name); !fresh)
        return base::invalid("'" + std::string(out) + "' is an out of both '" + std::string(maker->second) + "' and '" +
                             stage.name + "'; each file is made by one stage");
  }
  for (const StageSpec& stage : spec.stages)
    for (const std::string& up : stage.after)
      if (!index.contains(up))
        return base::invalid("stage '" + stage.name + "' comes after '" + up + "', which is not a stage");
  TRY(check_acyclic(spec.stages, index));
  TRY(check_params(spec.cron_params));
  if (!spec.cron.empty()) TRY(Cron::parse(spec.cron));
  return {};
}

base::Result<void> put_pipeline(store::Tx& tx, const PipelineSpec& spec) {
  TRY(check(spec));
  tx.lock("flow_pipeline", spec.name);
  const std::string text = spec_to_json(spec);
  std::optional<std::string> before;
  {
    store::Rows rows =
        tx.query("SELECT spec FROM flow_pipelines WHERE project = ? AND name = ?", tx.project(), spec.name);
    if (rows.next()) before = rows.str(0);
  }
  if (before == text) return tx.status();
  std::optional<int64_t> cron_next_us;
  if (!spec.cron.empty()) {
    TRY_SET(const Cron cron, Cron::parse(spec.cron));
    cron_next_us = cron.next_after(tx.now_us());
  }
  if (before)
    tx.exec("UPDATE flow_pipelines SET spec = ?, changed_us = ?, cron_next_us = ? WHERE project = ? AND name = ?", text,
            tx.now_us(), cron_next_us, tx.project(), spec.name);
  else
    tx.exec("INSERT INTO flow_pipelines (project, name, spec, changed_us, cron_next_us) VALUES (?, ?, ?, ?, ?)",
            tx.project(), spec.name, text, tx.now_us(), cron_next_us);
  core::emit(tx, "pipeline.changed", "pipeline", spec.name);
  return tx.status();
}

base::Result<PipelineSpec> get_pipeline(store::Tx& tx, std::string_view pipeline) {
  store::Rows rows = tx.query("SELECT spec FROM flow_pipelines WHERE project = ? AND name = ?", tx.project(), pipeline);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("no pipeline is named '" + std::string(pipeline) + "'; `lathe apply` makes one");
  }
  return spec_from_json(rows.text(0));
}

std::vector<std::string> list_pipelines(store::Tx& tx) {
  std::vector<std::string> names;
  store::Rows rows = tx.query("SELECT name FROM flow_pipelines WHERE project = ? ORDER BY name", tx.project());
  while (rows.next()) names.push_back(rows.str(0));
  return names;
}

base::Result<PipelineRun> create_run(store::Tx& tx, const NewRun& wanted) {
  TRY_SET(PipelineSpec spec, get_pipeline(tx, wanted.pipeline));
  TRY(check_params(wanted.params));
  if (spec.stages.empty()) return base::invalid("pipeline '" + wanted.pipeline + "' has no stages");
  PipelineRun run;
  run.id = tx.ctx().new_id("pl");
  run.pipeline = wanted.pipeline;
  run.bundle = wanted.bundle.empty() ? spec.bundle : wanted.bundle;
  run.cause = wanted.cause;
  run.params = wanted.params;
  run.created_us = tx.now_us();
  spec.bundle = run.bundle;
  tx.lock("flow_runs", wanted.pipeline);
  run.number =
      tx.query_i64("SELECT max(number) FROM flow_runs WHERE project = ? AND pipeline = ?", tx.project(), run.pipeline)
          .value_or(0) +
      1;
  const auto row = tx.query_i64(
      "INSERT INTO flow_runs (project, public_id, pipeline, number, bundle, cause, params, spec, forced, state, "
      "cancelled, version, "
      "created_us, ended_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 1, ?, 0) RETURNING id",
      tx.project(), run.id, run.pipeline, run.number, run.bundle, run.cause, map_to_json(run.params),
      spec_to_json(spec), wanted.force, run.created_us);
  TRY(tx.status());
  for (size_t i = 0; i < spec.stages.size(); ++i)
    tx.exec(
        "INSERT INTO flow_stages (project, run, stage, name, grp, phase, result, attempt, reason, tries, losses, "
        "not_before_us, "
        "started_us, ended_us) VALUES (?, ?, ?, ?, ?, 0, 0, '', '', 0, 0, 0, 0, 0)",
        tx.project(), *row, i, spec.stages[i].name, spec.stages[i].group);
  tx.exec("INSERT INTO flow_inbox (project, run) VALUES (?, ?)", tx.project(), *row);

  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("pipeline", run.pipeline)
      .field("number", run.number)
      .field("cause", run.cause)
      .field("bundle", run.bundle)
      .end_object();
  core::emit(tx, "pipeline_run.created", "pipeline_run", run.id, body);
  core::audit(tx, "pipeline_run.created", "pipeline_run", run.id, body);
  if (!run.bundle.empty()) core::add_edge(tx, {"bundle", run.bundle}, {"pipeline_run", run.id}, "code");
  if (constexpr std::string_view kAlert = "alert:"; run.cause.starts_with(kAlert))
    core::add_edge(tx, {"alert", run.cause.substr(kAlert.size())}, {"pipeline_run", run.id}, "caused");
  TRY(tx.status());
  return run;
}

base::Result<PipelineRun> get_run(store::Tx& tx, std::string_view id) {
  store::Rows rows = tx.query(
      "SELECT public_id, pipeline, number, bundle, state, cause, params, created_us, ended_us FROM flow_runs "
      "WHERE project = ? AND public_id = ?",
      tx.project(), id);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("no pipeline run has the id '" + std::string(id) + "'");
  }
  return read_run(rows);
}

std::vector<PipelineRun> list_runs(store::Tx& tx, std::string_view pipeline, size_t limit) {
  std::vector<PipelineRun> runs;
  store::Rows rows = tx.query(
      "SELECT public_id, pipeline, number, bundle, state, cause, params, created_us, ended_us FROM flow_runs "
      "WHERE project = ? AND pipeline = ? ORDER BY number DESC LIMIT ?",
      tx.project(), pipeline, limit);
  while (rows.next()) runs.push_back(read_run(rows));
  return runs;
}

std::vector<PipelineRun> list_running(store::Tx& tx, size_t limit) {
  std::vector<PipelineRun> runs;
  store::Rows rows = tx.query(
      "SELECT public_id, pipeline, number, bundle, state, cause, params, created_us, ended_us FROM flow_runs "
      "WHERE project = ? AND ended_us = 0 ORDER BY id DESC LIMIT ?",
      tx.project(), limit);
  while (rows.next()) runs.push_back(read_run(rows));
  return runs;
}

std::vector<StageRow> list_stages(store::Tx& tx, std::string_view run) {
  std::vector<StageRow> stages;
  store::Rows rows = tx.query(
      "SELECT s.name, s.grp, s.result, s.reason, s.attempt, s.tries, s.started_us, s.ended_us FROM flow_runs r JOIN "
      "flow_stages s "
      "ON s.project = r.project AND s.run = r.id WHERE r.project = ? AND r.public_id = ? ORDER BY s.stage",
      tx.project(), run);
  while (rows.next())
    stages.push_back({.name = rows.str(0),
                      .group = rows.str(1),
                      .state = static_cast<State>(rows.i64(2)),
                      .reason = rows.str(3),
                      .attempt = rows.str(4),
                      .tries = static_cast<int>(rows.i64(5)),
                      .started_us = rows.i64(6),
                      .ended_us = rows.i64(7)});
  return stages;
}

base::Result<void> request_cancel(store::Tx& tx, std::string_view run) {
  store::Rows rows =
      tx.query("SELECT id, ended_us, cancelled FROM flow_runs WHERE project = ? AND public_id = ?", tx.project(), run);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("no pipeline run has the id '" + std::string(run) + "'");
  }
  const int64_t row = rows.i64(0);
  if (rows.i64(1) != 0 || rows.i64(2) != 0) return {};  // over, or asked for already
  tx.exec("UPDATE flow_runs SET cancelled = 1 WHERE id = ? AND cancelled = 0", row);
  tx.exec("INSERT INTO flow_inbox (project, run) VALUES (?, ?)", tx.project(), row);
  core::emit(tx, "pipeline_run.cancel_requested", "pipeline_run", run);
  core::audit(tx, "pipeline_run.cancel_requested", "pipeline_run", run);
  return tx.status();
}

base::Result<AttemptInfo> attempt_info(store::Tx& tx, std::string_view attempt) {
  store::Rows rows = tx.query(
      "SELECT a.public_id, r.public_id, r.pipeline, s.name, s.grp, r.bundle FROM flow_attempts a "
      "JOIN flow_stages s ON s.project = a.project AND s.run = a.run AND s.stage = a.stage AND s.attempt = a.public_id "
      "JOIN flow_runs r ON r.id = a.run WHERE a.project = ? AND a.public_id = ? AND a.ended_us = 0",
      tx.project(), attempt);
  if (rows.next()) return read_attempt(rows);
  TRY(tx.status());
  return base::not_found("attempt '" + std::string(attempt) + "' is not a live one");
}

base::Result<AttemptInfo> past_attempt_info(store::Tx& tx, std::string_view attempt) {
  store::Rows rows = tx.query(
      "SELECT a.public_id, r.public_id, r.pipeline, s.name, s.grp, r.bundle FROM flow_attempts a "
      "JOIN flow_stages s ON s.project = a.project AND s.run = a.run AND s.stage = a.stage "
      "JOIN flow_runs r ON r.id = a.run WHERE a.project = ? AND a.public_id = ?",
      tx.project(), attempt);
  if (rows.next()) return read_attempt(rows);
  TRY(tx.status());
  return base::not_found("there is no attempt '" + std::string(attempt) + "'");
}

bool attempt_exists(store::Tx& tx, std::string_view attempt) {
  return tx.query_i64("SELECT 1 FROM flow_attempts WHERE project = ? AND public_id = ?", tx.project(), attempt)
      .has_value();
}

bool attempt_ended(store::Tx& tx, std::string_view attempt) {
  return tx.query_i64("SELECT ended_us FROM flow_attempts WHERE project = ? AND public_id = ?", tx.project(), attempt)
             .value_or(1) != 0;
}

std::vector<AttemptInfo> attempts_of_group(store::Tx& tx, std::string_view run, std::string_view group) {
  std::vector<AttemptInfo> attempts;
  store::Rows rows = tx.query(
      "SELECT s.attempt, r.public_id, r.pipeline, s.name, s.grp, r.bundle FROM flow_runs r JOIN flow_stages s "
      "ON s.project = r.project AND s.run = r.id WHERE r.project = ? AND r.public_id = ? AND s.grp = ? AND s.result IN "
      "(2, 4) "
      "ORDER BY s.stage",
      tx.project(), run, group);
  while (rows.next()) attempts.push_back(read_attempt(rows));
  return attempts;
}

}  // namespace flow
