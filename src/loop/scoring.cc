#include "loop/scoring.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

#include "base/json_writer.h"
#include "loop/regression.h"
#include "stats/interval.h"
#include "stats/metrics.h"

namespace loop {
namespace {

constexpr double kResamplingBudget = 4e8;  // row draws; bounds the time of the intervals of a large part
constexpr int kResamples = 10'000;

struct Coded {
  stats::CodedLabels labels;
  stats::ConfusionMatrix matrix;
};

double metric_of(stats::ClassificationMetric metric, const stats::CodedLabels& labels, std::span<const uint32_t> rows,
                 stats::ConfusionMatrix& scratch) {
  scratch.clear();
  for (const uint32_t row : rows) scratch.add(labels.truth[row], labels.predicted[row]);
  return stats::classification_metric(metric, scratch);
}

// Accuracy is a share: Wilson's interval, exact at the ends. Anything else is resampled.
stats::Interval interval_of(stats::ClassificationMetric metric, const Coded& coded, int64_t correct,
                            const ScoringRule& rule) {
  const size_t rows = coded.labels.truth.size();
  if (metric == stats::ClassificationMetric::kAccuracy)
    return stats::wilson_interval(correct, static_cast<int64_t>(rows), rule.confidence);
  stats::BootstrapOptions options{.seed = rule.seed, .resamples = resamples_for(rows), .confidence = rule.confidence};
  stats::ConfusionMatrix scratch(coded.labels.classes.size());
  return stats::bootstrap_interval(
      rows, [&](std::span<const uint32_t> drawn) { return metric_of(metric, coded.labels, drawn, scratch); }, options);
}

base::Result<void> write_slices(base::JsonWriter& w, const ScoringRule& rule, stats::ClassificationMetric metric,
                                const stats::Table& table, const Coded& coded) {
  w.key("slices").begin_array();
  stats::ConfusionMatrix scratch(coded.labels.classes.size());
  for (const auto& name : rule.evaluate.slices) {
    TRY_SET(const auto slices, slices_of(table, name));
    for (const auto& [value, rows] : slices) {
      w.begin_object().field("column", name).field("value", value).field("rows", static_cast<int64_t>(rows.size()));
      w.field(rule.evaluate.metric, metric_of(metric, coded.labels, rows, scratch)).end_object();
    }
  }
  w.end_array();
  return {};
}

// The score of the predicted class, per row; empty without probabilities.
std::vector<double> chosen_scores(const Predictions& predictions, const std::vector<std::string>& predicted) {
  std::vector<double> out;
  const size_t width = predictions.classes.size();
  if (width == 0 || predictions.scores.size() != width * predicted.size()) return out;
  std::map<std::string, size_t> column;
  for (size_t i = 0; i < width; ++i) column[stats::canonical_label(predictions.classes[i])] = i;
  for (size_t row = 0; row < predicted.size(); ++row) {
    const auto found = column.find(predicted[row]);
    const auto* begin = &predictions.scores[row * width];
    out.push_back(found != column.end() ? begin[found->second] : *std::max_element(begin, begin + width));
  }
  return out;
}

// Wrong rows, the most confident first.
void write_worst(base::JsonWriter& w, const ScoringRule& rule, const std::vector<std::string>& truth,
                 const std::vector<std::string>& predicted, const std::vector<double>& scores) {
  std::vector<size_t> wrong;
  for (size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] != predicted[i]) wrong.push_back(i);
  }
  if (!scores.empty())
    std::sort(wrong.begin(), wrong.end(),
              [&](size_t a, size_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  wrong.resize(std::min(wrong.size(), static_cast<size_t>(rule.evaluate.worst_rows)));
  w.key("worst").begin_array();
  for (const size_t row : wrong) {
    w.begin_object()
        .field("row", static_cast<int64_t>(row))
        .field("label", truth[row])
        .field("predicted", predicted[row]);
    if (!scores.empty()) w.field("score", scores[row]);
    w.end_object();
  }
  w.end_array();
}

// The truth as columns of the scores; nullopt if one of its classes has none, or there are no scores.
std::optional<std::vector<uint32_t>> coded_truth(const Predictions& predictions,
                                                 const std::vector<std::string>& truth) {
  const size_t width = predictions.classes.size();
  if (width < 2 || predictions.scores.size() != width * truth.size()) return std::nullopt;
  std::map<std::string, uint32_t> column;
  for (size_t i = 0; i < width; ++i) column[stats::canonical_label(predictions.classes[i])] = static_cast<uint32_t>(i);
  std::vector<uint32_t> coded;
  for (const auto& label : truth) {
    const auto found = column.find(label);
    if (found == column.end()) return std::nullopt;
    coded.push_back(found->second);
  }
  return coded;
}

// How far the scores mean what they say.
void write_reliability(base::JsonWriter& w, const Predictions& predictions, const std::vector<std::string>& truth) {
  const auto coded = coded_truth(predictions, truth);
  if (!coded) return;
  const stats::Reliability found = stats::reliability(predictions.scores, *coded, predictions.classes.size());
  w.key("reliability").begin_array();
  for (const stats::Reliability::Bin& bin : found.bins)
    w.begin_object().field("rows", bin.rows).field("accuracy", bin.accuracy).field("score", bin.score).end_object();
  w.end_array();
}

// Metrics of the probabilities, where every class of the truth has a column.
void write_probability_metrics(base::JsonWriter& w, const Predictions& predictions,
                               const std::vector<std::string>& truth) {
  const auto found = coded_truth(predictions, truth);
  if (!found) return;
  const std::vector<uint32_t>& coded = *found;
  const size_t width = predictions.classes.size();
  w.field("log_loss", stats::log_loss(coded, predictions.scores, width));
  w.field("brier_score", stats::brier_score(coded, predictions.scores, width));
  if (const double auc = stats::roc_auc_ovr(coded, predictions.scores, width); !std::isnan(auc))
    w.field("roc_auc_ovr", auc);
  w.field("calibration_error", stats::reliability(predictions.scores, coded, width).error);
}

void write_confusion(base::JsonWriter& w, const Coded& coded) {
  const auto& classes = coded.labels.classes;
  w.key("confusion").begin_object().key("labels").begin_array();
  for (const auto& label : classes) w.value(label);
  w.end_array().key("counts").begin_array();
  for (size_t t = 0; t < classes.size(); ++t) {
    w.begin_array();
    for (size_t p = 0; p < classes.size(); ++p) w.value(coded.matrix.at(t, p));
    w.end_array();
  }
  w.end_array().end_object();
}

// Accuracy of numbers that never meet is a mistake in lathe.yaml, not a bad model.
bool looks_like_a_regression(const std::vector<std::string>& truth, const std::vector<std::string>& predicted,
                             int64_t correct) {
  const auto fraction = [](const std::string& text) {
    const auto number = stats::parse_number(text);
    return number && *number != std::floor(*number);
  };
  return correct == 0 && std::ranges::any_of(predicted, fraction) &&
         std::ranges::all_of(truth, [](const std::string& text) { return stats::parse_number(text).has_value(); });
}

}  // namespace

int resamples_for(size_t rows) {
  return std::clamp(static_cast<int>(kResamplingBudget / static_cast<double>(std::max<size_t>(rows, 1))), 200,
                    kResamples);
}

base::Result<std::map<std::string, std::vector<uint32_t>>> slices_of(const stats::Table& table,
                                                                     const std::string& name) {
  const auto* column = table.find(name);
  if (column == nullptr) return base::invalid("evaluate.slices: the data has no column '" + name + "'");
  auto slices = slice_rows(*column);
  if (slices.size() > kMaxSliceValues + 1)
    return base::invalid("evaluate.slices: the column '" + name + "' has more than " + std::to_string(kMaxSliceValues) +
                         " different texts");
  return slices;
}

std::string predictions_csv(std::vector<std::string> truth, std::vector<std::string> predicted,
                            std::vector<double> scores) {
  stats::Table out;
  stats::Numbers row(truth.size());
  std::iota(row.begin(), row.end(), 0.0);
  out.columns.push_back({"row", std::move(row)});
  const auto texts = [](std::vector<std::string>& from) {
    return stats::Texts(std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  out.columns.push_back({"label", texts(truth)});
  out.columns.push_back({"predicted", texts(predicted)});
  if (!scores.empty()) out.columns.push_back({"score", std::move(scores)});
  return stats::to_csv(out);
}

std::map<std::string, std::vector<uint32_t>> slice_rows(const stats::Column& column) {
  std::map<std::string, std::vector<uint32_t>> out;
  const size_t rows = column.size();
  if (!column.numeric()) {
    for (size_t i = 0; i < rows; ++i) out[column.texts()[i].value_or("(missing)")].push_back(static_cast<uint32_t>(i));
    return out;
  }
  for (size_t i = 0; i < rows && out.size() <= kMaxSliceValues; ++i) {
    const double v = column.numbers()[i];
    out[std::isnan(v) ? "(missing)" : stats::canonical_label(v)].push_back(static_cast<uint32_t>(i));
  }
  if (out.size() <= kMaxSliceValues) return out;
  out.clear();
  std::vector<double> sorted;
  for (const double v : column.numbers()) {
    if (!std::isnan(v)) sorted.push_back(v);
  }
  std::sort(sorted.begin(), sorted.end());
  const auto cut = [&](size_t quarter) { return sorted[(sorted.size() - 1) * quarter / 4]; };
  for (size_t i = 0; i < rows; ++i) {
    const double v = column.numbers()[i];
    size_t quarter = 1;
    while (quarter < 4 && v > cut(quarter)) ++quarter;
    const std::string name = std::isnan(v) ? "(missing)"
                                           : "quarter " + std::to_string(quarter) + ": " +
                                                 stats::canonical_label(cut(quarter - 1)) + " to " +
                                                 stats::canonical_label(cut(quarter));
    out[name].push_back(static_cast<uint32_t>(i));
  }
  return out;
}

base::Result<std::vector<std::string>> label_texts(const stats::Table& table, std::string_view label) {
  const auto* column = table.find(label);
  if (column == nullptr) return base::invalid("the data has no label column '" + std::string(label) + "'");
  std::vector<std::string> out;
  out.reserve(column->size());
  for (size_t i = 0; i < column->size(); ++i) {
    if (column->numeric() ? std::isnan(column->numbers()[i]) : !column->texts()[i])
      return base::invalid("row " + std::to_string(i) + " has no label");
    out.push_back(column->numeric() ? stats::canonical_label(column->numbers()[i])
                                    : stats::canonical_label(*column->texts()[i]));
  }
  return out;
}

base::Result<Scores> score(const ScoringRule& rule, const stats::Table& table, std::string_view label,
                           const Predictions& predictions) {
  const size_t rows = table.rows();
  if (rows == 0) return base::invalid("there are no rows to evaluate on");
  if (rows > kMaxScoredRows)
    return base::fail(base::Code::kTooLarge, "an evaluation takes at most " + std::to_string(kMaxScoredRows) +
                                                 " rows, found " + std::to_string(rows));
  if (predictions.predicted.size() != rows) {
    return base::invalid("found " + std::to_string(predictions.predicted.size()) + " predictions for " +
                         std::to_string(rows) + " rows");
  }
  if (!predictions.scores.empty() && predictions.scores.size() != rows * predictions.classes.size()) {
    return base::invalid("found " + std::to_string(predictions.scores.size()) +
                         " scores; one per row and class makes " + std::to_string(rows * predictions.classes.size()));
  }
  if (is_regression_metric(rule.evaluate.metric)) return score_regression(rule, table, label, predictions);
  TRY_SET(const auto metric, stats::parse_classification_metric(rule.evaluate.metric));
  TRY_SET(const auto truth, label_texts(table, label));
  std::vector<std::string> predicted;
  for (const auto& text : predictions.predicted) predicted.push_back(stats::canonical_label(text));
  TRY_SET(stats::CodedLabels labels, stats::code_labels(truth, predicted));
  const stats::ConfusionMatrix matrix(labels);
  const Coded coded{std::move(labels), matrix};
  const auto all = stats::classification(coded.matrix, coded.labels.classes);
  if (looks_like_a_regression(truth, predicted, all.correct))
    return base::invalid("the model answers numbers such as " + predicted.front() +
                         ", none of which is a label; for a " + "regression set evaluate.metric to rmse, mae or r2");
  const auto interval = interval_of(metric, coded, all.correct, rule);
  const auto scores = chosen_scores(predictions, predicted);

  Scores out{.rows = static_cast<int64_t>(rows),
             .value = stats::classification_metric(metric, coded.matrix),
             .low = interval.low,
             .high = interval.high};
  base::JsonWriter w(out.summary);
  w.begin_object()
      .field("rows", out.rows)
      .field("metric", rule.evaluate.metric)
      .field("value", out.value)
      .field("low", out.low)
      .field("high", out.high);
  w.field("confidence", rule.confidence)
      .field("interval", metric == stats::ClassificationMetric::kAccuracy ? "wilson" : "bootstrap");
  w.key("metrics")
      .begin_object()
      .field("accuracy", all.accuracy)
      .field("macro_precision", all.macro.precision)
      .field("macro_recall", all.macro.recall);
  w.field("macro_f1", all.macro.f1).field("weighted_f1", all.weighted.f1);
  write_probability_metrics(w, predictions, truth);
  w.end_object();
  write_reliability(w, predictions, truth);
  w.key("classes").begin_array();
  for (const auto& c : all.classes) {
    w.begin_object()
        .field("label", c.label)
        .field("support", c.support)
        .field("precision", c.precision)
        .field("recall", c.recall)
        .field("f1", c.f1)
        .end_object();
  }
  w.end_array();
  write_confusion(w, coded);
  TRY(write_slices(w, rule, metric, table, coded));
  write_worst(w, rule, truth, predicted, scores);
  w.end_object();
  out.predictions_csv = predictions_csv(truth, predicted, scores);
  return out;
}

base::Result<ScoredRows> read_predictions(std::string_view csv) {
  stats::CsvOptions options;
  options.text_columns = {"label", "predicted"};
  TRY_SET(const auto table, stats::parse_csv(csv, options));
  const auto *truth = table.find("label"), *predicted = table.find("predicted");
  if (truth == nullptr || predicted == nullptr) return base::internal("stored predictions lack their columns");
  ScoredRows out;
  for (size_t i = 0; i < table.rows(); ++i) {
    out.truth.push_back(truth->texts()[i].value_or(""));
    out.predicted.push_back(predicted->texts()[i].value_or(""));
  }
  if (const auto* score = table.find("score"); score != nullptr && score->numeric()) out.scores = score->numbers();
  return out;
}

base::Result<stats::Transform> with_answer_rule(stats::Transform transform, const ModelConfig& model,
                                                const stats::Table& table, std::string_view label,
                                                const Predictions& predictions) {
  TRY_SET(const std::vector<std::string> truth, label_texts(table, label));
  if (predictions.classes.empty())
    return base::invalid(
        "the model names no classes for its scores, so there is nothing to calibrate or to set a "
        "threshold for");
  const auto coded = coded_truth(predictions, truth);
  if (!coded) return base::invalid("the label holds a class that the model has no score for");
  stats::AnswerRule rule;
  for (const std::string& name : predictions.classes) rule.classes.push_back(stats::canonical_label(name));
  for (const auto& [name, least] : model.thresholds) {
    const std::string spelt = stats::canonical_label(name);
    if (std::ranges::find(rule.classes, spelt) == rule.classes.end()) {
      std::string known;
      for (const auto& one : rule.classes) known += (known.empty() ? "" : ", ") + one;
      return base::invalid("model.thresholds: the model has no class '" + name + "'; it has " + known);
    }
    rule.thresholds[spelt] = least;
  }
  TRY_SET(rule.calibration,
          stats::fit_calibration(model.calibrate, predictions.scores, *coded, predictions.classes.size()));
  transform.set_answer(std::move(rule));
  return transform;
}

}  // namespace loop
