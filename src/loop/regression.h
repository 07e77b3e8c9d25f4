// Evaluation of models that answer numbers: the same shape as of classifiers (loop/scoring.h), other metrics. Which of
// the two a model is follows from evaluate.metric. Thread: plain functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/scoring.h"
#include "stats/interval.h"
#include "stats/metrics.h"

namespace loop {

bool is_regression_metric(std::string_view metric);
// Whether `a` is better than `b`, by the metric's direction.
bool is_better(std::string_view metric, double a, double b);

// kInvalid names the first row that is not a finite number. `what`: "label", "prediction".
base::Result<std::vector<double>> numbers_of(const std::vector<std::string>& texts, std::string_view what);

struct RegressionRows {
  std::vector<double> truth, predicted;
};
struct MeasuredMetric {
  double value = 0;
  stats::Interval interval;  // of the bootstrap
};
base::Result<MeasuredMetric> measure(std::string_view metric, const RegressionRows& rows,
                                     const stats::BootstrapOptions& options);

base::Result<Scores> score_regression(const ScoringRule& rule, const stats::Table& table, std::string_view label,
                                      const Predictions& predictions);

}  // namespace loop
