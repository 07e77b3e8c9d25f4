#include "loop/regression.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/json_writer.h"

namespace loop {
namespace {

constexpr int kHistogramBins = 20;

std::vector<uint32_t> all_rows(size_t count) {
  std::vector<uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0U);
  return rows;
}

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

// Predicted minus true: is the model off to one side, and how wide?
void write_residuals(base::JsonWriter& w, const RegressionRows& rows) {
  std::vector<double> residuals(rows.truth.size());
  std::ranges::transform(rows.predicted, rows.truth, residuals.begin(), std::minus<>());
  std::ranges::sort(residuals);
  w.key("residuals").begin_object();
  w.field("mean", std::accumulate(residuals.begin(), residuals.end(), 0.0) / static_cast<double>(residuals.size()));
  for (const auto& [name, share] : {std::pair("p05", 0.05), std::pair("median", 0.5), std::pair("p95", 0.95)})
    w.field(name, quantile(residuals, share));
  const double low = residuals.front(), high = residuals.back(), width = (high - low) / kHistogramBins;
  w.field("low", low).field("high", high).key("counts").begin_array();
  std::vector<int64_t> counts(kHistogramBins, 0);
  for (const double r : residuals)
    ++counts[width > 0 ? std::min<size_t>(static_cast<size_t>((r - low) / width), kHistogramBins - 1) : 0];
  for (const int64_t count : counts) w.value(count);
  w.end_array().end_object();
}

void write_worst(base::JsonWriter& w, const RegressionRows& rows, int64_t wanted) {
  auto order = all_rows(rows.truth.size());
  const auto error = [&](uint32_t row) { return std::abs(rows.truth[row] - rows.predicted[row]); };
  const auto count = std::min<size_t>(order.size(), static_cast<size_t>(wanted));
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                    [&](uint32_t a, uint32_t b) { return error(a) != error(b) ? error(a) > error(b) : a < b; });
  w.key("worst").begin_array();
  for (size_t i = 0; i < count && error(order[i]) > 0; ++i) {
    const uint32_t row = order[i];
    w.begin_object().field("row", row).field("label", rows.truth[row]).field("predicted", rows.predicted[row]);
    w.field("error", error(row)).end_object();
  }
  w.end_array();
}

base::Result<void> write_slices(base::JsonWriter& w, const ScoringRule& rule, stats::RegressionMetric metric,
                                const stats::Table& table, const RegressionRows& rows) {
  w.key("slices").begin_array();
  for (const auto& name : rule.evaluate.slices) {
    TRY_SET(const auto slices, slices_of(table, name));
    for (const auto& [value, members] : slices) {
      w.begin_object().field("column", name).field("value", value).field("rows", static_cast<int64_t>(members.size()));
      const double found = stats::regression_metric(metric, rows.truth, rows.predicted, members);
      w.key(rule.evaluate.metric);
      std::isfinite(found) ? w.value(found) : w.null();  // r2 of one row
      w.end_object();
    }
  }
  w.end_array();
  return {};
}

}  // namespace

bool is_regression_metric(std::string_view metric) { return stats::parse_regression_metric(metric).has_value(); }

bool is_better(std::string_view metric, double a, double b) {
  const auto regression = stats::parse_regression_metric(metric);
  return !regression || stats::higher_is_better(*regression) ? a > b : a < b;
}

base::Result<std::vector<double>> numbers_of(const std::vector<std::string>& texts, std::string_view what) {
  std::vector<double> out;
  out.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto number = stats::parse_number(texts[i]);
    if (!number)
      return base::invalid(
          "row " + std::to_string(i) + " has the " + std::string(what) + " '" + texts[i].substr(0, 64) +
          "', which is not a finite number; evaluate.metric rmse, mae and r2 are for models that answer "
          "numbers, accuracy and its kin for classifiers");
    out.push_back(*number);
  }
  return out;
}

base::Result<MeasuredMetric> measure(std::string_view metric_name, const RegressionRows& rows,
                                     const stats::BootstrapOptions& options) {
  TRY_SET(const auto metric, stats::parse_regression_metric(metric_name));
  const auto of = [&](std::span<const uint32_t> drawn) {
    return stats::regression_metric(metric, rows.truth, rows.predicted, drawn);
  };
  MeasuredMetric out{.value = of(all_rows(rows.truth.size()))};
  if (!std::isfinite(out.value)) return base::invalid(std::string(metric_name) + " is not defined on one row");
  out.interval = stats::bootstrap_interval(rows.truth.size(), of, options);
  return out;
}

base::Result<Scores> score_regression(const ScoringRule& rule, const stats::Table& table, std::string_view label,
                                      const Predictions& predictions) {
  TRY_SET(const auto metric, stats::parse_regression_metric(rule.evaluate.metric));
  TRY_SET(const auto truth_texts, label_texts(table, label));
  std::vector<std::string> predicted_texts;
  for (const auto& text : predictions.predicted) predicted_texts.push_back(stats::canonical_label(text));
  RegressionRows rows;
  TRY_SET(rows.truth, numbers_of(truth_texts, "label"));
  TRY_SET(rows.predicted, numbers_of(predicted_texts, "prediction"));
  const stats::BootstrapOptions options{
      .seed = rule.seed, .resamples = resamples_for(rows.truth.size()), .confidence = rule.confidence};
  TRY_SET(const MeasuredMetric measured, measure(rule.evaluate.metric, rows, options));
  const auto all = stats::regression(rows.truth, rows.predicted);

  Scores out{.rows = all.rows,
             .value = measured.value,
             .low = measured.interval.low,
             .high = measured.interval.high,
             .predictions_csv = predictions_csv(truth_texts, predicted_texts, {})};
  base::JsonWriter w(out.summary);
  w.begin_object().field("task", "regression").field("rows", out.rows).field("metric", rule.evaluate.metric);
  w.field("higher_is_better", stats::higher_is_better(metric));
  w.field("value", out.value).field("low", out.low).field("high", out.high);
  w.field("confidence", rule.confidence).field("interval", "bootstrap");
  w.key("metrics").begin_object().field("rmse", all.rmse).field("mae", all.mae).key("r2");
  std::isfinite(all.r2) ? w.value(all.r2) : w.null();
  w.end_object();
  write_residuals(w, rows);
  TRY(write_slices(w, rule, metric, table, rows));
  write_worst(w, rows, rule.evaluate.worst_rows);
  w.end_object();
  return out;
}

}  // namespace loop
