#include "flow/advance.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/lineage.h"
#include "flow/attempt_trace.h"

namespace flow {
namespace {

constexpr size_t kCachedBundles = 16;

std::string principal_of(std::string_view attempt) { return "attempt:" + std::string(attempt); }

// "lr-rate" → "LATHE_PARAM_LR_RATE"
std::string param_variable(std::string_view key) {
  std::string out = "LATHE_PARAM_";
  for (const unsigned char c : key) out.push_back(std::isalnum(c) ? static_cast<char>(std::toupper(c)) : '_');
  return out;
}

class Advancer {
 public:
  Advancer(store::Tx& tx, const std::map<int64_t, LiveRun>& live, const SlotPool& pool, const Batch& batch,
           const EngineOptions& options, BundleCache& bundles)
      : tx_(tx), live_(live), batch_(batch), options_(options), bundles_(bundles) {
    out_.pool = pool;
  }

  base::Result<Advance> run();

 private:
  LiveRun* touch(int64_t row);
  base::Result<void> apply(int64_t row, const Event& event);
  base::Result<void> settle_slots();
  base::Result<void> begin_attempt(LiveRun& live, uint32_t stage);
  base::Result<void> end_attempt(LiveRun& live, const Effects::Retired& retired);
  base::Result<void> take_outs(const LiveRun& live, uint32_t stage, const std::string& attempt);
  base::Result<void> watch(LiveRun& live, uint32_t stage);
  base::Result<void> save();
  base::Result<BundleFiles> bundle_of(const RunFacts& facts);
  base::Result<AttemptSpec> spec_of(const LiveRun& live, uint32_t stage, std::vector<WorkFile> files,
                                    std::string_view token);
  void tell_stage(const RunFacts& facts, uint32_t stage, const StageState& state, std::string_view what);
  void tell_run(const LiveRun& live);

  store::Tx& tx_;
  const std::map<int64_t, LiveRun>& live_;
  const Batch& batch_;
  const EngineOptions& options_;
  BundleCache& bundles_;
  Advance out_;
  std::deque<std::pair<int64_t, Event>> queue_;
  std::map<int64_t, std::set<uint32_t>> dirty_;
  std::map<std::pair<int64_t, uint32_t>, StageInputs>
      inputs_;  // read for a decision, used by the start that follows it
};

LiveRun* Advancer::touch(int64_t row) {
  if (const auto mine = out_.runs.find(row); mine != out_.runs.end()) return &mine->second;
  const auto known = live_.find(row);
  return known == live_.end() ? nullptr : &out_.runs.emplace(row, known->second).first->second;
}

base::Result<Advance> Advancer::run() {
  queue_.assign(batch_.events.begin(), batch_.events.end());
  do {
    while (!queue_.empty()) {
      const auto [row, event] = std::move(queue_.front());
      queue_.pop_front();
      TRY(apply(row, event));
    }
    TRY(settle_slots());
  } while (!queue_.empty());
  TRY(save());
  return std::move(out_);
}

// Free slots go to whoever asked first and still wants them.
base::Result<void> Advancer::settle_slots() {
  SlotPool::Request request{};
  while (out_.pool.next(request)) {
    LiveRun* live = touch(request.run);
    if (!live || live->state.stages[request.stage].phase != Phase::kReady) {
      out_.pool.release(request.slots);
      continue;
    }
    TRY(apply(request.run, Granted{.stage = request.stage, .attempt = tx_.ctx().new_id("at")}));
  }
  return {};
}

base::Result<void> Advancer::apply(int64_t row, const Event& event) {
  LiveRun* live = touch(row);
  if (!live) return {};  // ended meanwhile
  const Effects effects = step(live->state, event, tx_.now_us());
  const RunFacts& facts = *live->facts;
  out_.outside.transitions += effects.changed.size();
  dirty_[row].insert(effects.changed.begin(), effects.changed.end());
  for (const auto& retired : effects.retired) TRY(end_attempt(*live, retired));
  for (const uint32_t i : effects.changed) {
    const StageState& stage = live->state.stages[i];
    if (stage.phase == Phase::kDone) tell_stage(facts, i, stage, name(stage.result));
    if (stage.phase == Phase::kBackoff) tell_stage(facts, i, stage, "retried");
  }
  for (const uint32_t i : effects.decide) {
    TRY_SET(const BundleFiles bundle, bundle_of(facts));
    auto inputs = read_inputs(tx_, facts, live->state, i, *bundle, options_.newest_data);
    TRY(tx_.status());
    queue_.emplace_back(row, decide(tx_, facts, i, inputs));
    if (inputs) inputs_.insert_or_assign({row, i}, std::move(*inputs));
  }
  for (const uint32_t i : effects.want) out_.pool.want({.run = row, .stage = i, .slots = live->state.stages[i].slots});
  for (const uint32_t i : effects.start) TRY(begin_attempt(*live, i));
  for (const uint32_t i : effects.watch) TRY(watch(*live, i));
  for (const uint32_t i : effects.kill)
    out_.outside.cancel.emplace_back(live->state.stages[i].attempt, live->state.stages[i].reason);
  out_.outside.wake_at_us[row] = effects.wake_at_us;
  if (effects.run_changed) tell_run(*live);
  return {};
}

// The attempt's row and token are committed before anything starts.
base::Result<void> Advancer::begin_attempt(LiveRun& live, uint32_t index) {
  const RunFacts& facts = *live.facts;
  const StageState& state = live.state.stages[index];
  std::string lost_input;
  StageInputs inputs;
  if (const auto known = inputs_.find({facts.row, index}); known != inputs_.end()) {
    inputs = known->second;
  } else {  // decided in an earlier transaction, or a retry
    TRY_SET(const BundleFiles bundle, bundle_of(facts));
    auto read = read_inputs(tx_, facts, live.state, index, *bundle, options_.newest_data);
    TRY(tx_.status());
    if (read)
      inputs = std::move(*read);
    else
      lost_input = read.error().message;
  }
  tx_.exec(
      "INSERT INTO flow_attempts (project, public_id, run, stage, inputs, handle, detail, started_us, ended_us) "
      "VALUES (?, ?, ?, ?, ?, '', '', ?, 0)",
      facts.project, state.attempt, facts.row, index, map_to_json(inputs.parts), tx_.now_us());
  const core::Node attempt{"attempt", state.attempt};
  core::add_edge(tx_, {"pipeline_run", facts.run.id}, attempt, "caused");
  if (!facts.run.bundle.empty()) core::add_edge(tx_, {"bundle", facts.run.bundle}, attempt, "code");
  for (const std::string& version : inputs.versions) core::add_edge(tx_, {"data_version", version}, attempt, "input");
  for (const std::string& upstream : inputs.attempts) core::add_edge(tx_, {"attempt", upstream}, attempt, "input");
  TRY_SET(const std::string token,
          core::mint_token(tx_, {.principal = principal_of(state.attempt), .attempt = state.attempt}));
  tell_stage(facts, index, state, "started");
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("run", facts.run.id)
      .field("stage", facts.spec.stages[index].name)
      .field("cmd", facts.spec.stages[index].cmd)
      .field("bundle", facts.run.bundle)
      .end_object();
  core::audit(tx_, "stage.started", "attempt", state.attempt, body);
  if (lost_input.empty()) {
    TRY_SET(AttemptSpec spec, spec_of(live, index, inputs.files, token));
    out_.outside.submit.push_back(std::move(spec));
  } else {
    queue_.emplace_back(
        facts.row,
        AttemptEnded{.stage = index, .attempt = state.attempt, .outcome = Outcome::kFailed, .detail = lost_input});
  }
  return tx_.status();
}

base::Result<void> Advancer::end_attempt(LiveRun& live, const Effects::Retired& retired) {
  const RunFacts& facts = *live.facts;
  const StageState& state = live.state.stages[retired.stage];
  out_.pool.release(state.slots);
  TRY(core::revoke_tokens_of(tx_, principal_of(retired.attempt)));
  tx_.exec("UPDATE flow_attempts SET outcome = ?, detail = ?, ended_us = ? WHERE project = ? AND public_id = ?",
           static_cast<int>(retired.outcome), state.reason, tx_.now_us(), facts.project, retired.attempt);
  const bool taken = state.phase == Phase::kDone && state.result == State::kSucceeded;
  if (taken) TRY(take_outs(live, retired.stage, retired.attempt));
  out_.outside.release.push_back({retired.attempt, !taken});
  return tx_.status();
}

base::Result<void> Advancer::take_outs(const LiveRun& live, uint32_t index, const std::string& attempt) {
  const RunFacts& facts = *live.facts;
  if (const auto outs = batch_.outs.find(attempt); outs != batch_.outs.end())
    for (const OutFile& file : outs->second) {
      TRY(blob::hold_blob(tx_, file.blob, "attempt", attempt));
      TRY(blob::put_artifact(tx_, {.root = "attempt/" + attempt + "/out",
                                   .path = file.path,
                                   .size = file.blob.size,
                                   .digest = file.blob.sha256,
                                   .address = file.executable ? "x" : ""}));
    }
  const StageSpec& stage = facts.spec.stages[index];
  if (stage.always) return {};  // never asked for again
  std::string inputs;
  {
    store::Rows rows =
        tx_.query("SELECT inputs FROM flow_attempts WHERE project = ? AND public_id = ?", facts.project, attempt);
    if (rows.next()) inputs = rows.str(0);
  }
  TRY_SET(const TextMap parts, map_from_json(inputs));
  tx_.exec(
      "INSERT INTO flow_results (project, pipeline, stage, input_key, attempt, inputs, at_us) VALUES (?, ?, ?, ?, ?, "
      "?, ?) "
      "ON CONFLICT (project, pipeline, stage, input_key) DO UPDATE SET attempt = excluded.attempt, at_us = "
      "excluded.at_us",
      facts.project, facts.run.pipeline, stage.name, input_key(parts), attempt, inputs, tx_.now_us());
  return tx_.status();
}

// After a restart: what is needed to take the outs at the end. The secret of its token is not known any more, and not
// needed: the process has it.
base::Result<void> Advancer::watch(LiveRun& live, uint32_t index) {
  const StageState& state = live.state.stages[index];
  std::string handle;
  store::Rows rows = tx_.query("SELECT handle FROM flow_attempts WHERE project = ? AND public_id = ?",
                               live.facts->project, state.attempt);
  if (rows.next()) handle = rows.str(0);
  TRY_SET(AttemptSpec spec, spec_of(live, index, {}, ""));
  out_.outside.adopt.push_back({.spec = std::move(spec), .handle = std::move(handle)});
  return tx_.status();
}

base::Result<AttemptSpec> Advancer::spec_of(const LiveRun& live, uint32_t index, std::vector<WorkFile> files,
                                            std::string_view token) {
  const RunFacts& facts = *live.facts;
  const StageSpec& stage = facts.spec.stages[index];
  AttemptSpec spec{.attempt = live.state.stages[index].attempt,
                   .run = facts.run.id,
                   .cmd = stage.cmd,
                   .wdir = stage.wdir,
                   .env = options_.env,
                   .bundle = {},
                   .inputs = std::move(files),
                   .outs = stage.outs,
                   .timeout_us = stage.timeout_us,
                   .memory_bytes = stage.resources.memory_bytes};
  spec.outs.insert(spec.outs.end(), stage.metrics.begin(), stage.metrics.end());
  TRY_SET(spec.bundle, bundle_of(facts));
  auto& env = spec.env;
  if (!options_.binary_dir.empty())
    env["PATH"] =
        options_.binary_dir.string() + ":" + (env.contains("PATH") ? env["PATH"] : "/usr/local/bin:/usr/bin:/bin");
  env["PYTHONUNBUFFERED"] = "1";  // so that its log is live
  env["MLFLOW_TRACKING_URI"] = env["LATHE_SERVER"] = options_.server_url;
  env["MLFLOW_TRACKING_TOKEN"] = env["LATHE_TOKEN"] = std::string(token);
  if (!facts.spec.experiment.empty()) env["MLFLOW_EXPERIMENT_NAME"] = facts.spec.experiment;
  env["LATHE_PROJECT"] = options_.project_name;
  env["LATHE_PIPELINE"] = facts.run.pipeline;
  env["LATHE_PIPELINE_RUN"] = facts.run.id;
  env["LATHE_ATTEMPT"] = spec.attempt;
  env["LATHE_STAGE"] = stage.name;
  if (const auto trace = attempt_trace(options_.tracer, facts.run.id, spec.attempt))
    env["TRACEPARENT"] = base::traceparent(trace);
  for (const auto& [key, value] : facts.run.params) env[param_variable(key)] = value;
  for (const auto& [key, value] : stage.env) env[key] = value;
  return spec;
}

base::Result<BundleFiles> Advancer::bundle_of(const RunFacts& facts) {
  if (const auto known = bundles_.find(facts.run.bundle); known != bundles_.end()) return known->second;
  TRY_SET(BundleFiles files, read_bundle(tx_, facts.run.bundle));
  if (bundles_.size() >= kCachedBundles) bundles_.erase(bundles_.begin());
  return bundles_.emplace(facts.run.bundle, std::move(files)).first->second;
}

base::Result<void> Advancer::save() {
  for (auto& [row, live] : out_.runs) {
    TRY(save_run(tx_, live));
    for (const uint32_t stage : dirty_[row]) save_stage(tx_, *live.facts, stage, live.state.stages[stage]);
  }
  for (const auto& [attempt, handle] : batch_.handles)
    tx_.exec("UPDATE flow_attempts SET handle = ? WHERE project = ? AND public_id = ?", handle, tx_.project(), attempt);
  for (const int64_t row : batch_.inbox) tx_.exec("DELETE FROM flow_inbox WHERE id = ?", row);
  return tx_.status();
}

void Advancer::tell_stage(const RunFacts& facts, uint32_t index, const StageState& state, std::string_view what) {
  const StageSpec& stage = facts.spec.stages[index];
  std::string body;
  base::JsonWriter w(body);
  w.begin_object()
      .field("pipeline", facts.run.pipeline)
      .field("stage", stage.name)
      .field("group", stage.group)
      .field("attempt", state.attempt)
      .field("tries", state.tries);
  if (!state.reason.empty()) w.field("reason", state.reason);
  w.end_object();
  core::emit(tx_, "stage." + std::string(what), "pipeline_run", facts.run.id, body);
}

void Advancer::tell_run(const LiveRun& live) {
  const RunFacts& facts = *live.facts;
  const RunState& state = live.state;
  if (state.state == State::kQueued || (state.cancelled && !state.ended())) return;
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("pipeline", facts.run.pipeline)
      .field("number", facts.run.number)
      .field("cause", facts.run.cause)
      .end_object();
  const std::string kind = "pipeline_run." + std::string(state.ended() ? name(state.state) : "started");
  core::emit(tx_, kind, "pipeline_run", facts.run.id, body);
}

}  // namespace

base::Result<Advance> advance(store::Tx& tx, const std::map<int64_t, LiveRun>& live, const SlotPool& pool,
                              const Batch& batch, const EngineOptions& options, BundleCache& bundles) {
  return Advancer(tx, live, pool, batch, options, bundles).run();
}

}  // namespace flow
