// The loop as one picture: for each applied pipeline and each of its environments, the newest of data, run, model,
// endpoint and monitor, and what waits for a person. Reads only. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/data.h"
#include "flow/browse.h"
#include "flow/flow.h"
#include "loop/apply.h"
#include "loop/evaluation.h"
#include "loop/promote.h"
#include "loop/retrain.h"
#include "loop/verdict.h"
#include "serve/endpoint.h"
#include "store/tx.h"
#include "track/census.h"
#include "watch/watch.h"

namespace loop {

inline constexpr size_t kMaxOverviewLoops = 200;
inline constexpr size_t kOverviewWindows = 24;

struct StageProblem {
  std::string stage, reason, attempt;
};

// What an environment of the pipeline has: the right half of the picture.
struct EnvironmentOverview {
  std::string name;
  std::optional<serve::Endpoint> endpoint;
  std::optional<serve::Revision> live;
  std::optional<Promotion> promotion;    // the newest act
  std::optional<Verdict> behind;         // the verdict behind what is live
  std::optional<Evaluation> evaluation;  // of what is live, where no verdict is known
  std::optional<watch::MonitorSpec> monitor;
  std::vector<watch::Window> windows;  // newest first
  std::vector<watch::Alert> alerts;    // open ones
  std::optional<Retraining> retraining;
  int64_t cooldown_until_us = 0;  // 0: an alert may start a retraining now
  int64_t labels = 0;             // received, ever
  int64_t min_labels = 0;         // that a retraining wants
  std::vector<std::string> retrains_on;
};

struct LoopOverview {
  std::string pipeline;
  std::string model, metric;
  std::string cron;
  std::optional<int64_t> cron_next_us;
  std::optional<data::DataVersion> data;
  std::optional<flow::PipelineRun> run;  // the newest
  flow::Progress progress;
  std::vector<std::string> running;     // stages
  std::optional<StageProblem> problem;  // of the newest run: the first stage that failed
  std::optional<Verdict> verdict;       // the newest of the pipeline
  std::vector<EnvironmentOverview> environments;
};

struct Overview {
  std::vector<LoopOverview> loops;
  bool truncated = false;
  // Of the whole project: what belongs to no loop is counted too.
  track::Census tracked;
  size_t data_sets = 0, pipelines = 0, endpoints = 0;
};

base::Result<Overview> overview(store::Tx& tx);

}  // namespace loop
