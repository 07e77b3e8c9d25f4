#include "loop/apply.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "flow/spec_json.h"
#include "loop/bundle.h"
#include "loop/graphs.h"
#include "serve/endpoint.h"
#include "track/experiments.h"
#include "watch/watch.h"

namespace loop {

namespace {

base::Result<Applied> read_applied(store::Rows& rows) {
  Applied out{.pipeline = rows.str(0),
              .generation = rows.i64(1),
              .bundle = rows.str(2),
              .file = rows.str(3),
              .text = rows.str(4),
              .applied_us = rows.i64(6)};
  TRY_SET(out.texts, flow::map_from_json(rows.text(5)));
  return out;
}

// A word of a shell command.
std::string shell_word(std::string_view word) {
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

flow::StageSpec own_step(std::string name, std::string group, std::string cmd, std::vector<std::string> after) {
  flow::StageSpec stage;
  stage.name = std::move(name);
  stage.group = std::move(group);
  stage.cmd = std::move(cmd);
  stage.after = std::move(after);
  stage.always = true;
  stage.internal = true;
  return stage;
}

std::string prepare_stage(std::string_view data) { return "prepare:" + std::string(data); }

std::string prepare_command(const Config& config, const DataConfig& data) {
  std::string cmd = "lathe step prepare " + shell_word(data.name) + " --label " + shell_word(data.label);
  for (const auto& path : data.paths) cmd += " --files " + shell_word(path);
  if (!data.prepare.empty()) cmd += " --spec " + shell_word(data.prepare);
  if (data.feedback && !config.environments.empty())
    cmd += " --endpoint " + shell_word(config.environments[0].endpoint);
  return cmd;
}

bool is_glob(std::string_view path) { return path.find_first_of("*?[") != std::string_view::npos; }

std::map<std::string, Setting> by_key(const std::vector<Setting>& settings) {
  std::map<std::string, Setting> out;
  for (const auto& s : settings) out[s.key] = s;
  return out;
}

void compare_settings(const std::vector<Setting>& before, const std::vector<Setting>& after,
                      std::vector<Change>& changes) {
  const auto old = by_key(before), now = by_key(after);
  for (const auto& [key, setting] : now) {
    const auto found = old.find(key);
    if (found == old.end()) {
      changes.push_back({key, "", setting.value});
    } else if (found->second.value != setting.value) {
      changes.push_back({key, found->second.value, setting.value});
    }
  }
  for (const auto& [key, setting] : old) {
    if (!now.contains(key)) changes.push_back({key, setting.value, ""});
  }
}

// One stage as text that is equal exactly when the stage is.
std::map<std::string, std::string> stage_texts(const flow::PipelineSpec& spec) {
  std::map<std::string, std::string> out;
  for (const auto& stage : spec.stages) {
    if (stage.internal) continue;  // what they do is said by the settings
    flow::PipelineSpec alone;
    alone.stages = {stage};
    out[stage.name] = flow::spec_to_json(alone);
  }
  return out;
}

void compare_stages(const flow::PipelineSpec& before, const flow::PipelineSpec& after, std::vector<Change>& changes) {
  const auto old = stage_texts(before), now = stage_texts(after);
  const auto cmd_of = [](const flow::PipelineSpec& spec, const std::string& name) {
    const auto found =
        std::find_if(spec.stages.begin(), spec.stages.end(), [&](const auto& s) { return s.name == name; });
    return found == spec.stages.end() ? std::string() : found->cmd;
  };
  for (const auto& [name, text] : now) {
    const auto found = old.find(name);
    if (found == old.end() || found->second != text)
      changes.push_back({"stage " + name, cmd_of(before, name), cmd_of(after, name)});
  }
  for (const auto& [name, text] : old) {
    if (!now.contains(name)) changes.push_back({"stage " + name, cmd_of(before, name), ""});
  }
}

void compare_files(store::Tx& tx, std::string_view before, std::string_view after, std::vector<Change>& changes) {
  std::map<std::string, std::string> old, now;
  const auto face = [](const BundleFile& f) {
    return f.digest.hex().substr(0, 12) + (f.executable ? " executable" : "");
  };
  for (const auto& f : bundle_files(tx, before)) old[f.path] = face(f);
  for (const auto& f : bundle_files(tx, after)) now[f.path] = face(f);
  for (const auto& [path, digest] : now) {
    const auto found = old.find(path);
    if (found == old.end() || found->second != digest)
      changes.push_back({"file " + path, found == old.end() ? "" : found->second, digest});
  }
  for (const auto& [path, digest] : old) {
    if (!now.contains(path)) changes.push_back({"file " + path, digest, ""});
  }
}

// Made here, once: stages that start at the same time would race to make it through their MLflow clients.
base::Result<void> ensure_experiment(store::Tx& tx, const Config& config, const std::string& artifact_root) {
  if (config.stages.stages.empty()) return {};
  const auto found = track::get_experiment_by_name(tx, config.experiment);
  if (found) return {};
  if (found.error().code != base::Code::kNotFound) return std::unexpected(found.error());
  TRY(track::create_experiment(tx, {.name = config.experiment, .default_root = artifact_root}));
  return {};
}

base::Result<void> claim_name(store::Tx& tx, const std::string& pipeline, const std::string& endpoint,
                              const std::string& environment) {
  tx.lock("endpoint", endpoint);
  TRY_SET(const auto owner, owner_of(tx, endpoint));
  if (owner && owner->pipeline != pipeline) {
    return base::fail(base::Code::kConflict, "the endpoint '" + endpoint + "' belongs to the project '" +
                                                 owner->pipeline + "'; choose another endpoint.name");
  }
  tx.exec(
      "INSERT INTO loop_endpoints (project, endpoint, pipeline, environment) VALUES (?, ?, ?, ?) ON CONFLICT (project, "
      "endpoint) DO UPDATE SET environment = excluded.environment",
      tx.project(), endpoint, pipeline, environment);
  return {};
}

base::Result<void> claim_endpoint(store::Tx& tx, const std::string& pipeline, const Environment& env) {
  TRY(claim_name(tx, pipeline, env.endpoint, env.name));
  TRY(serve::ensure_endpoint(tx, env.endpoint, env.name));
  TRY(serve::set_capture_rule(
      tx, env.endpoint, {.sample = env.capture.sample, .redact = env.capture.redact, .keep_us = env.capture.keep_us}));
  TRY(serve::set_serving(tx, env.endpoint, env.serving));
  TRY(serve::set_sticky(tx, env.endpoint, env.rollout.sticky));
  watch::MonitorSpec monitor;
  monitor.endpoint = env.endpoint;
  monitor.window_rows = env.monitor.window_rows;
  monitor.window_us = env.monitor.window_us;
  monitor.labels_from_feedback = env.monitor.labels_from_feedback;
  monitor.ks_alpha = env.monitor.ks_alpha;
  monitor.psi_threshold = env.monitor.psi_threshold;
  monitor.drifted_share = env.monitor.drifted_share;
  monitor.consecutive = static_cast<int>(env.monitor.consecutive);
  return watch::put_monitor(tx, monitor);
}

}  // namespace

base::Result<std::optional<Applied>> current_applied(store::Tx& tx, std::string_view pipeline) {
  auto rows = tx.query(
      "SELECT pipeline, generation, bundle, file, text, texts, applied_us FROM loop_applied WHERE project = ? AND "
      "pipeline = ? ORDER BY generation DESC LIMIT 1",
      tx.project(), pipeline);
  if (!rows.next()) return std::optional<Applied>();
  TRY_SET(Applied applied, read_applied(rows));
  return std::optional<Applied>(std::move(applied));
}

base::Result<Applied> applied_of(store::Tx& tx, std::string_view pipeline, std::string_view bundle) {
  auto rows = tx.query(
      "SELECT pipeline, generation, bundle, file, text, texts, applied_us FROM loop_applied WHERE project = ? AND "
      "pipeline = ? AND bundle = ? ORDER BY generation DESC LIMIT 1",
      tx.project(), pipeline, bundle);
  if (!rows.next())
    return base::not_found("the pipeline '" + std::string(pipeline) + "' was never applied with bundle " +
                           std::string(bundle.substr(0, 12)));
  return read_applied(rows);
}

std::vector<Applied> list_applied(store::Tx& tx) {
  std::vector<Applied> out;
  auto rows = tx.query(
      "SELECT pipeline, generation, bundle, file, text, texts, applied_us FROM loop_applied a WHERE project = ? AND "
      "generation = (SELECT MAX(b.generation) FROM loop_applied b WHERE b.project = a.project AND b.pipeline = "
      "a.pipeline) ORDER BY pipeline",
      tx.project());
  while (rows.next()) {
    if (auto applied = read_applied(rows)) out.push_back(std::move(*applied));
  }
  return out;
}

base::Result<Config> config_of(const Applied& applied) {
  return parse_config(applied.text, applied.file, applied.texts);
}

base::Result<std::optional<EndpointOwner>> owner_of(store::Tx& tx, std::string_view endpoint) {
  auto rows = tx.query("SELECT endpoint, pipeline, environment FROM loop_endpoints WHERE project = ? AND endpoint = ?",
                       tx.project(), endpoint);
  if (!rows.next()) return std::optional<EndpointOwner>();
  return std::optional(EndpointOwner{rows.str(0), rows.str(1), rows.str(2)});
}

flow::PipelineSpec build_pipeline(const Config& config) {
  flow::PipelineSpec out = config.stages;
  std::vector<flow::StageSpec> framed;
  for (const auto& data : config.data) {
    auto stage = own_step(prepare_stage(data.name), "prepare", prepare_command(config, data), {});
    for (const auto& path : data.paths) {
      if (!is_glob(path)) stage.file_deps.push_back(path);
    }
    framed.push_back(std::move(stage));
  }
  std::vector<std::string> candidates;
  for (auto& stage : out.stages) {
    for (const auto& dep : stage.data_deps) {
      const auto name = prepare_stage(dep.name);
      if (std::find(stage.after.begin(), stage.after.end(), name) == stage.after.end()) stage.after.push_back(name);
    }
    if (config.model && stage.group == config.model->from) candidates.push_back(stage.name);
    framed.push_back(std::move(stage));
  }
  if (config.model) {
    candidates.push_back(prepare_stage(config.evaluate.data));
    framed.push_back(own_step("evaluate", "evaluate", "lathe step evaluate", candidates));
    if (!config.environments.empty()) {
      framed.push_back(own_step("gate", "gate", "lathe step gate", {"evaluate"}));
      framed.push_back(own_step("promote", "promote", "lathe step promote", {"gate"}));
    }
  }
  out.stages = std::move(framed);
  if (!config.environments.empty()) out.cron = config.environments[0].retrain.cron;
  if (!out.cron.empty()) out.cron_params = {{"retrain", "1"}};
  return out;
}

base::Result<ApplyOutcome> apply(store::Tx& tx, const ApplyRequest& request, const Config& config,
                                 const std::string& text, const std::map<std::string, std::string>& texts) {
  flow::PipelineSpec spec = build_pipeline(config);
  spec.bundle = request.bundle;
  const bool runs = !spec.stages.empty();  // graphs alone are nothing that runs
  if (runs) TRY(flow::check(spec));
  TRY(get_bundle(tx, request.bundle));
  tx.lock("applied", config.project);
  TRY_SET(const auto before, current_applied(tx, config.project));

  ApplyOutcome out{.pipeline = config.project, .first = !before, .settings = config.settings};
  flow::PipelineSpec old_spec;
  std::vector<Setting> old_settings;
  if (before) {
    out.generation = before->generation;
    // What an earlier version of Lathe accepted may not parse any more: then everything counts as changed.
    if (const auto old = config_of(*before)) old_settings = old->settings, old_spec = build_pipeline(*old);
    if (before->bundle != request.bundle) compare_files(tx, before->bundle, request.bundle, out.changes);
    if (before->file != request.file) out.changes.push_back({"file of the configuration", before->file, request.file});
  }
  compare_settings(old_settings, config.settings, out.changes);
  compare_stages(old_spec, spec, out.changes);
  const bool changed = !before || !out.changes.empty();
  if (request.dry_run || !changed) return out;

  out.generation += 1;
  tx.exec(
      "INSERT INTO loop_applied (project, pipeline, generation, bundle, file, text, texts, actor, applied_us) VALUES "
      "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), config.project, out.generation, request.bundle, request.file, text, flow::map_to_json(texts),
      tx.ctx().actor.name, tx.now_us());
  for (const auto& env : config.environments) TRY(claim_endpoint(tx, config.project, env));
  for (const auto& graph : config.graphs) {
    TRY(claim_name(tx, config.project, graph.name, graph.environment));
    TRY(put_graph(tx, graph));
  }
  TRY(ensure_experiment(tx, config, request.artifact_root));
  if (runs) TRY(flow::put_pipeline(tx, spec));

  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("generation", out.generation)
      .field("bundle", request.bundle)
      .field("changes", static_cast<int64_t>(out.changes.size()))
      .end_object();
  core::emit(tx, "config.applied", "pipeline", config.project, body);
  core::audit(tx, "config.applied", "pipeline", config.project, body);
  if (request.start_run && runs) {
    flow::NewRun run;
    run.pipeline = config.project;
    run.bundle = request.bundle;
    run.cause = "apply";
    TRY_SET(const auto made, flow::create_run(tx, run));
    out.run = made.id;
  }
  return out;
}

}  // namespace loop
