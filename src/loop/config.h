// lathe.yaml → Config: strict and typed. Which keys exist, their types, defaults and bounds are one table
// (config_keys.h), from which the parser reads, errors are worded, and the JSON Schema for editors is rendered; so the
// three cannot disagree. An error names file, line, key, what was found and what is allowed.
//
// Grammar: docs/formats/lathe.yaml.md. `stages` is dvc.yaml's own grammar (flow/dvc_yaml.h), written here or in a
// dvc.yaml beside the file. Thread: plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "flow/flow.h"
#include "serve/graph.h"
#include "serve/serving.h"
#include "stats/calibration.h"

namespace loop {

struct DataConfig {
  std::string name;
  std::vector<std::string> paths;  // globs within the project
  std::string label;
  std::string prepare;    // preparation file, or "": built-in defaults
  bool feedback = false;  // labelled traffic joins the training rows when retraining
};

struct ModelConfig {
  std::string name;  // registered model
  std::string from;  // stage whose logged models are the candidates
  stats::CalibrationKind calibrate = stats::CalibrationKind::kNone;
  std::map<std::string, double> thresholds;  // by class
};

struct EvaluateConfig {
  std::string metric;
  std::string data;                 // data set that judges
  std::string select_on;            // part on which candidates are compared
  std::string test_on;              // frozen part, read once, by the gate
  std::vector<std::string> slices;  // columns: metrics for each of their values
  int64_t worst_rows = 0;
};

struct GateConfig {
  double confidence = 0;
  double max_regression = 0;
  std::optional<double> min;    // absolute bound at the first promotion; none: the interval is reported
  std::optional<double> max;    // the same for an error (rmse, mae)
  int64_t min_recent_rows = 0;  // below it a retraining's verdict fails and says what is missing
  int64_t seed = 0;
};

struct MonitorConfig {
  int64_t window_rows = 0;  // one of the two
  int64_t window_us = 0;
  bool labels_from_feedback = false;
  double ks_alpha = 0;
  double psi_threshold = 0;
  double drifted_share = 0;
  int64_t consecutive = 0;
};

struct CaptureConfig {
  double sample = 1;                // share of the requests
  std::vector<std::string> redact;  // columns
  int64_t keep_us = 0;
};

struct RolloutConfig {
  std::vector<uint32_t> steps;  // shares in hundredths of a percent, rising
  int64_t wait_us = 0, bake_us = 0;
  double max_errors = 0, max_slowdown = 0;
  int64_t min_requests = 0;
  std::string sticky;  // header, or ""
};

struct RetrainConfig {
  std::vector<std::string> alerts;  // kinds: drift, quality, accuracy
  std::string cron;                 // "0 3 * * * Europe/Paris", or ""
  int64_t cooldown_us = 0;
  int64_t min_labels = 0;
};

// One place to deploy to, with its overrides applied.
struct Environment {
  std::string name;
  std::string endpoint;
  serve::ServingSettings serving;
  GateConfig gate;
  RolloutConfig rollout;
  CaptureConfig capture;
  MonitorConfig monitor;
  RetrainConfig retrain;
};

// An endpoint made of others.
struct GraphConfig {
  std::string name;
  std::string environment;
  serve::Graph graph;  // the versions that it names are not resolved yet
};

struct Setting {
  std::string key;    // "gate.confidence"
  std::string value;  // as shown to people
  int line = 0;       // 0: the default
  bool operator==(const Setting&) const = default;
};

struct Config {
  std::string file;
  std::string project;     // names the pipeline
  std::string experiment;  // MLflow experiment that its stages log to
  std::vector<DataConfig> data;
  flow::PipelineSpec stages;  // the user's own, expanded
  std::optional<ModelConfig> model;
  EvaluateConfig evaluate;
  std::vector<Environment> environments;  // empty: nothing is deployed; else [0] is where the pipeline promotes to
  std::vector<GraphConfig> graphs;
  std::vector<Setting> settings;  // every value in force, and where it came from

  const Environment* environment(std::string_view name) const;
  const DataConfig* find_data(std::string_view name) const;
};

// `files`: the text files of the project that the grammar may read (dvc.yaml, params.yaml, …), by path.
base::Result<Config> parse_config(std::string_view text, std::string_view file,
                                  const std::map<std::string, std::string>& files);

std::string config_schema();  // JSON Schema 2020-12, pretty, with a final newline

// "1m30s" is not understood, "90s" is: a whole number and ms, s, m, h, d or w.
std::optional<int64_t> parse_duration_us(std::string_view text);
std::string format_duration(int64_t us);

// The nearest of `allowed` to a word that is not one of them, or "" if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& allowed);

}  // namespace loop
