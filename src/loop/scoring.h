// Scoring: predictions on labelled rows → metrics with intervals, confusion matrix, slices, worst rows. Pure; the numbers
// come from stats. Predictions are kept as CSV (docs/formats/evaluation.md): row, label, predicted, score.
// Thread: plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/config.h"
#include "stats/table.h"

namespace loop {

inline constexpr size_t kMaxSliceValues = 50;      // of one column; a numeric column with more is cut at its quartiles
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
base::Result<Scores> score(const ScoringRule& rule, const stats::Table& table, std::string_view label, const Predictions& predictions);

// A column as labels: numbers in their shortest form. kInvalid where one is missing.
base::Result<std::vector<std::string>> label_texts(const stats::Table& table, std::string_view label);

struct ScoredRows {
  std::vector<std::string> truth, predicted;
};
base::Result<ScoredRows> read_predictions(std::string_view csv);

}  // namespace loop
