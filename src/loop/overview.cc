#include "loop/overview.h"

#include <algorithm>

namespace loop {
namespace {

base::Result<void> read_pipeline(store::Tx& tx, LoopOverview& out) {
  TRY_SET(auto card, flow::pipeline_card(tx, out.pipeline, 1));
  out.cron = card.spec.cron;
  out.cron_next_us = card.cron_next_us;
  if (card.runs.empty()) return {};
  out.run = std::move(card.runs[0]);
  out.progress = flow::progress_of(tx, out.run->id);
  if (out.run->state == flow::State::kSucceeded) return {};
  for (const auto& stage : flow::list_stages(tx, out.run->id)) {
    if (stage.state == flow::State::kRunning) out.running.push_back(stage.name);
    if (stage.state == flow::State::kFailed && !out.problem)
      out.problem = StageProblem{stage.name, stage.reason, stage.attempt};
  }
  return {};
}

base::Result<void> read_live(store::Tx& tx, EnvironmentOverview& out) {
  const auto& endpoint = *out.endpoint;
  auto acts = list_promotions(tx, endpoint.name, 1);
  if (!acts.empty()) out.promotion = std::move(acts[0]);
  if (endpoint.live_revision == 0) return {};
  TRY_SET(out.live, serve::get_revision(tx, endpoint.name, endpoint.live_revision));
  // A rollback's record names no verdict of its own: the one that once brought this version here counts.
  for (auto& act : promotions_of(tx, out.live->model_name, out.live->model_version, 20)) {
    if (act.verdict.empty()) continue;
    TRY_SET(out.behind, get_verdict(tx, act.verdict));
    break;
  }
  return {};
}

base::Result<EnvironmentOverview> read_environment(store::Tx& tx, const Environment& env) {
  EnvironmentOverview out{.name = env.name};
  out.retrains_on = env.retrain.alerts;
  out.min_labels = env.retrain.min_labels;
  if (auto endpoint = serve::get_endpoint(tx, env.endpoint)) out.endpoint = std::move(*endpoint);
  if (!out.endpoint) return out;
  TRY(read_live(tx, out));
  TRY_SET(out.monitor, watch::get_monitor(tx, env.endpoint));
  if (out.monitor) out.windows = watch::list_windows(tx, env.endpoint, 0, kOverviewWindows);
  out.alerts = watch::open_alerts(tx, env.endpoint);
  out.labels = watch::count_labels(tx, env.endpoint, 0);
  auto retrainings = list_retrainings(tx, env.endpoint, 1);
  if (!retrainings.empty()) {
    out.retraining = std::move(retrainings[0]);
    const int64_t until = out.retraining->at_us + env.retrain.cooldown_us;
    if (until > tx.now_us()) out.cooldown_until_us = until;
  }
  return out;
}

base::Result<LoopOverview> read_loop(store::Tx& tx, const Applied& applied) {
  LoopOverview out{.pipeline = applied.pipeline};
  TRY_SET(const Config config, config_of(applied));
  if (config.model) out.model = config.model->name;
  out.metric = config.evaluate.metric;
  const std::string data = !config.evaluate.data.empty() ? config.evaluate.data
                           : config.data.empty()         ? ""
                                                         : config.data.front().name;
  if (!data.empty()) {
    TRY_SET(out.data, data::newest_version(tx, data));
  }
  TRY(read_pipeline(tx, out));
  auto verdicts = list_verdicts(tx, applied.pipeline, 1);
  if (!verdicts.empty()) out.verdict = std::move(verdicts[0]);
  for (const Environment& env : config.environments) {
    TRY_SET(auto environment, read_environment(tx, env));
    out.environments.push_back(std::move(environment));
  }
  return out;
}

}  // namespace

base::Result<Overview> overview(store::Tx& tx) {
  Overview out;
  const auto all = list_applied(tx);
  out.truncated = all.size() > kMaxOverviewLoops;
  for (size_t i = 0; i < std::min(all.size(), kMaxOverviewLoops); ++i) {
    TRY_SET(auto loop, read_loop(tx, all[i]));
    out.loops.push_back(std::move(loop));
  }
  TRY_SET(out.tracked, track::census(tx));
  out.data_sets = data::list_newest(tx).size();
  out.pipelines = flow::list_pipelines(tx).size();
  out.endpoints = serve::list_endpoints(tx).size();
  TRY(tx.status());
  return out;
}

}  // namespace loop
