// The keys of lathe.yaml as data: name, type, default, bounds, meaning. The parser, its error texts and the JSON Schema
// all come from these tables. Used by config.cc and config_schema.cc only.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace loop {

enum class KeyType : uint8_t {
  kName,  // [A-Za-z0-9][A-Za-z0-9_.-]{0,127}
  kText,
  kBool,
  kNumber,
  kInteger,
  kDuration,  // "90s"
  kWindow,    // "200 rows" or a duration
  kChoice,    // one of `choices`, separated by '|'
  kPaths,     // one relative path or glob, or a list of them
  kNames,     // a list of texts
  kPercents,  // a list of numbers that rise, above 0 and below 100
  kIntegers,  // a list of whole numbers
  kShares,    // a mapping from a name to a number from 0 to 1
  kTriggers,  // a list of alert kinds and at most one cron line
};

struct Key {
  std::string_view name;
  KeyType type = KeyType::kText;
  std::string_view fallback;  // as it would be written; "" and not required: absent
  std::string_view about;
  bool required = false;
  double least = 0, most = 0;     // kNumber, kInteger, kIntegers
  std::string_view choices = {};  // kChoice, kTriggers
};

inline constexpr Key kTopKeys[] = {
    {"project", KeyType::kName, "",
     "Name of this project: its pipeline and, unless told otherwise, its MLflow experiment.", true},
    {"experiment", KeyType::kText, "", "MLflow experiment that the stages log to. Default: the project's name."},
    {"max_parallel", KeyType::kInteger, "0", "Stages of one run at the same time; 0: the server's limit.", false, 0,
     1024},
};

inline constexpr Key kDataKeys[] = {
    {"path", KeyType::kPaths, "", "Raw CSV files within the project: a path, a glob, or a list of them.", true},
    {"label", KeyType::kText, "", "Column that holds the truth.", true},
    {"prepare", KeyType::kText, "",
     "File that declares the preparation. Default: split into train, valid and test, 70/15/15."},
    {"feedback", KeyType::kBool, "false", "Labelled traffic joins the training rows at a retraining."},
};

inline constexpr Key kModelKeys[] = {
    {"name", KeyType::kName, "", "Registered model. Default: the project's name."},
    {"from", KeyType::kText, "", "Stage whose logged models are the candidates.", true},
    {"calibrate", KeyType::kChoice, "none",
     "Makes its scores mean what they say: fitted on the part that selects, kept with the version, applied wherever it "
     "answers.",
     false, 0, 0, "none|sigmoid|isotonic|temperature"},
    {"thresholds", KeyType::kShares, "",
     "By class: from which (calibrated) score on it is answered, as {fraud: 0.3}. Default: the highest score answers."},
};

// Of classifiers, then of regressions.
inline constexpr std::string_view kMetrics = "accuracy|macro_precision|macro_recall|macro_f1|weighted_f1|rmse|mae|r2";

inline constexpr Key kEvaluateKeys[] = {
    {"metric", KeyType::kChoice, "accuracy", "What is better: compares candidates, and champion with challenger.",
     false, 0, 0, kMetrics},
    {"data", KeyType::kName, "", "Data set that judges. Default: the only one that the model's stage reads."},
    {"select_on", KeyType::kChoice, "valid", "Part on which candidates are compared.", false, 0, 0, "valid|train"},
    {"test_on", KeyType::kChoice, "test", "Frozen part, read once, by the gate.", false, 0, 0, "test"},
    {"slices", KeyType::kNames, "", "Columns: the metric is also reported for each of their values."},
    {"worst_rows", KeyType::kInteger, "20", "Rows kept as the worst of an evaluation.", false, 0, 1000},
};

inline constexpr Key kGateKeys[] = {
    {"confidence", KeyType::kNumber, "0.95", "Level of the intervals and of the comparison.", false, 0.5, 0.9999},
    {"max_regression", KeyType::kNumber, "0.02",
     "Loss on the frozen test that a retraining may at most cost, by the interval's lower end; of rmse and mae, as a "
     "share of the champion's.",
     false, 0, 1},
    {"min", KeyType::kNumber, "",
     "First promotion: the metric's lower interval end on the test must reach it. Default: no bound.", false, 0, 1},
    {"max", KeyType::kNumber, "",
     "First promotion, for rmse and mae: the error's upper interval end must not pass it. Default: no bound.", false, 0,
     1e300},
    {"min_recent_rows", KeyType::kInteger, "50", "Labelled recent rows that a retraining's comparison needs.", false, 1,
     1'000'000'000},
    {"seed", KeyType::kInteger, "1", "Seed of the resampling.", false, 0, 9e15},
};

inline constexpr Key kEndpointKeys[] = {
    {"name", KeyType::kName, "",
     "Address of the model. Default: the model's name. Environments other than production add -<environment>."},
    {"environment", KeyType::kName, "production", "Where the pipeline promotes to."},
    {"timeout", KeyType::kDuration, "",
     "Of one predict() of a Python model, from 10ms to 1h; past it its worker is replaced. Default: what the model "
     "says, else 60s."},
    {"python", KeyType::kText, "",
     "Python environment that runs the model: a name, or a path, below the server's --python-envs. Default: what the "
     "model says, else the server's interpreter."},
};

// Parts of `endpoint`: what is not said here is what the model says of itself (lathe.serving).
inline constexpr Key kBatchKeys[] = {
    {"max_size", KeyType::kInteger, "", "Rows of one batch; 1: none are formed.", false, 1, 100'000},
    {"max_delay", KeyType::kDuration, "",
     "How long a batch that formed while the model was busy may grow; at most 1s."},
    {"preferred", KeyType::kIntegers, "", "Row counts that the model likes: the largest that is there is taken.", false,
     1, 100'000},
    {"queue", KeyType::kInteger, "", "Requests that wait for a batch; past it they are refused.", false, 1, 10'000},
};
inline constexpr Key kWorkersKeys[] = {
    {"min", KeyType::kInteger, "", "Workers of a Python model that are kept; 0: none while nobody asks.", false, 0, 64},
    {"max", KeyType::kInteger, "", "Workers at most.", false, 1, 64},
    {"memory_mb", KeyType::kInteger, "", "What one may take beyond the loaded model, in MiB.", false, 16, 1'048'576},
    {"idle", KeyType::kDuration, "", "How long one beyond `min` rests before it ends; at most 1d."},
};

inline constexpr Key kMonitorKeys[] = {
    {"window", KeyType::kWindow, "200 rows", "Span that is judged at once: rows or time."},
    {"labels", KeyType::kChoice, "none", "Where the truth comes from.", false, 0, 0, "none|feedback"},
    {"ks_alpha", KeyType::kNumber, "0.01", "Kolmogorov-Smirnov level, corrected by Holm over the features.", false,
     1e-9, 0.5},
    {"psi", KeyType::kNumber, "0.25", "Population stability index from which a feature counts as drifted.", false, 0,
     100},
    {"drifted_share", KeyType::kNumber, "0.3", "Share of drifted features that alone raises an alert.", false, 0, 1},
    {"consecutive", KeyType::kInteger, "2", "Windows in a row that must cross before an alert is raised.", false, 1,
     100},
};

inline constexpr Key kCaptureKeys[] = {
    {"sample", KeyType::kNumber, "1",
     "Share of the requests that is kept; the share is kept with them, so that estimates can be weighted.", false, 0,
     1},
    {"redact", KeyType::kNames, "",
     "Columns of which nothing is written; client_id stands for the client's own request id."},
    {"keep", KeyType::kDuration, "30d", "How long; the oldest go earlier when the server's space for it is full."},
};

inline constexpr Key kRolloutKeys[] = {
    {"steps", KeyType::kPercents, "",
     "Canary: percentages of the traffic that a promotion goes through before it has all, rising, as [10, 50]."},
    {"wait", KeyType::kDuration, "10m", "How long each step takes at least."},
    {"bake", KeyType::kDuration, "0s",
     "How long a promotion is watched afterwards; outside the bounds the endpoint goes back by itself. 0s: not at "
     "all."},
    {"max_errors", KeyType::kNumber, "0.01", "Share of its requests that the new revision may fail.", false, 0, 1},
    {"max_slowdown", KeyType::kNumber, "2", "Its 95th percentile of latency, as a multiple of the champion's.", false,
     1, 1000},
    {"min_requests", KeyType::kInteger, "50", "Requests that a step needs, and a comparison of latencies.", false, 1,
     1'000'000'000},
    {"sticky", KeyType::kText, "", "Header whose value keeps a client on one revision while traffic is divided."},
};

inline constexpr Key kRetrainKeys[] = {
    {"on", KeyType::kTriggers, "[drift]",
     "Alert kinds that start a retraining, and at most one cron line with a time zone.", false, 0, 0,
     "drift|quality|accuracy"},
    {"cooldown", KeyType::kDuration, "1h", "Least time between two retrainings."},
    {"min_labels", KeyType::kInteger, "200", "Labelled rows since the drift began that a retraining needs.", false, 1,
     1'000'000'000},
};

// What an environment may say differently.
inline constexpr Key kEnvironmentEndpointKeys[] = {
    {"name", KeyType::kName, "", "Address of the model in this environment."},
    {"timeout", KeyType::kDuration, "", "Of one predict() of a Python model in this environment."},
    {"python", KeyType::kText, "", "Python environment that runs the model in this environment."},
};

inline constexpr Key kGraphKeys[] = {
    {"environment", KeyType::kName, "production", "What the endpoint is for."},
};

inline constexpr Key kGraphNodeKeys[] = {
    {"router", KeyType::kChoice, "",
     "sequence: steps in order, until a condition does not hold; switch: the first whose condition holds; ensemble: "
     "all, "
     "combined; splitter: one, by weight.",
     true, 0, 0, "sequence|switch|ensemble|splitter"},
    {"combine", KeyType::kChoice, "average",
     "Of an ensemble: the mean of its scores or values, the most frequent label, or all outputs side by side.", false,
     0, 0, "average|vote|merge"},
};

inline constexpr Key kGraphStepKeys[] = {
    {"name", KeyType::kName, "", "Unique in its node. Default: the name of what it asks."},
    {"endpoint", KeyType::kName, "", "What it asks: an endpoint of this server, whatever serves there …"},
    {"model", KeyType::kText, "", "… or one version of a registered model, as in models:/NAME/3 …"},
    {"node", KeyType::kName, "", "… or another node of the graph."},
    {"condition", KeyType::kText, "",
     "Asked for each row: an expression over the request's columns, response.label, response.score and "
     "header[\"…\"]."},
    {"data", KeyType::kChoice, "$request", "What it is given: the node's request, or the answer of the step before.",
     false, 0, 0, "$request|$response"},
    {"dependency", KeyType::kChoice, "hard", "soft: the step may fail; then it counts as not there.", false, 0, 0,
     "hard|soft"},
    {"weight", KeyType::kNumber, "", "Of a splitter's step: percent; of an ensemble's: how much it counts (1).", false,
     0, 1e6},
};

struct SectionInfo {
  std::string_view name;
  std::span<const Key> keys;
  std::string_view about;
};
inline constexpr SectionInfo kEndpointParts[] = {
    {"batch", kBatchKeys, "How requests that came while the model was busy are run together."},
    {"workers", kWorkersKeys, "The processes of a Python model."},
};
inline constexpr SectionInfo kSections[] = {
    {"model", kModelKeys, "The registered model that this project makes."},
    {"evaluate", kEvaluateKeys, "How candidates are measured."},
    {"gate", kGateKeys, "What a candidate must show before it serves."},
    {"endpoint", kEndpointKeys, "Where the model answers."},
    {"rollout", kRolloutKeys, "How a promotion takes over the traffic."},
    {"capture", kCaptureKeys, "What is kept of the endpoint's traffic."},
    {"monitor", kMonitorKeys, "What is watched while it serves."},
    {"retrain", kRetrainKeys, "When it is trained again."},
};

}  // namespace loop
