// Scoring: predictions on labelled rows → metrics with intervals, confusion matrix, slices, worst rows. Here are
// classifiers; a regression's metric goes to loop/regression.h. Pure; the numbers come from stats. Predictions are kept
// as CSV (docs/formats/evaluation.md): row, label, predicted, score. Thread: plain functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/config.h"
#include "stats/table.h"
#include "stats/transform.h"

namespace loop {

inline constexpr size_t kMaxSliceValues = 50;  // of one column; a numeric column with more is cut at its quartiles
inline constexpr size_t kMaxScoredRows = 5'000'000;

struct Predictions {
  std::vector<std::string> predicted;  // one per row
  std::vector<double> scores;          // row-major class probabilities, or empty
  std::vector<std::string> classes;    // columns of scores
};

struct Scores {
  int64_t rows = 0;
  double value = 0, low = 0, high = 0;  // of the metric that decides
  std::string summary;                  // JSON: everything else
  std::string predictions_csv;
};

struct ScoringRule {
  EvaluateConfig evaluate;
  double confidence = 0.95;
  uint64_t seed = 1;
};

// `table`: the rows with their label column. Errors: no rows, a missing label, another number of predictions.
base::Result<Scores> score(const ScoringRule& rule, const stats::Table& table, std::string_view label,
                           const Predictions& predictions);

// The version's transform with what lathe.yaml's `model:` asks for, fitted on these predictions: its scores calibrated,
// its thresholds. kInvalid where the model names no classes, or a threshold is of none.
base::Result<stats::Transform> with_answer_rule(stats::Transform transform, const ModelConfig& model,
                                                const stats::Table& table, std::string_view label,
                                                const Predictions& predictions);

// A column as labels: numbers in their shortest form. kInvalid where one is missing.
base::Result<std::vector<std::string>> label_texts(const stats::Table& table, std::string_view label);

// Rows of each value of a slice column, or of each quartile of a numeric one with many values: what a slice is.
std::map<std::string, std::vector<uint32_t>> slice_rows(const stats::Column& column);

// For both kinds of models: the same of a column by name, how many resamples a part of this size can afford, and the
// predictions as they are kept.
base::Result<std::map<std::string, std::vector<uint32_t>>> slices_of(const stats::Table& table,
                                                                     const std::string& column);
int resamples_for(size_t rows);
std::string predictions_csv(std::vector<std::string> truth, std::vector<std::string> predicted,
                            std::vector<double> scores);

struct ScoredRows {
  std::vector<std::string> truth, predicted;
  std::vector<double> scores;  // of the predicted class; empty without probabilities
};
base::Result<ScoredRows> read_predictions(std::string_view csv);

}  // namespace loop
