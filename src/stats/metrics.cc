#include "stats/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "base/assert.h"

namespace stats {
namespace {

constexpr double kExactIntegers = 1e15;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::optional<double> as_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

double harmonic(int64_t hits, int64_t predicted, int64_t support) {
  return ratio(2.0 * static_cast<double>(hits), static_cast<double>(predicted + support));
}

struct ClassCounts {
  int64_t hits, predicted, support;
};
ClassCounts counts_of(const ConfusionMatrix& matrix, size_t c) {
  ClassCounts counts{matrix.at(c, c), 0, 0};
  for (size_t other = 0; other < matrix.classes(); ++other) {
    counts.predicted += matrix.at(other, c);
    counts.support += matrix.at(c, other);
  }
  return counts;
}

void sort_classes(std::vector<std::string>& classes) {
  std::vector<std::pair<double, std::string>> numbered;
  for (const std::string& name : classes) {
    const auto number = as_number(name);
    if (!number) {
      std::ranges::sort(classes);
      return;
    }
    numbered.emplace_back(*number, name);
  }
  std::ranges::sort(numbered);
  for (size_t i = 0; i < classes.size(); ++i) classes[i] = std::move(numbered[i].second);
}

}  // namespace

std::string canonical_label(double number) {
  if (!std::isfinite(number)) return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  char buffer[64];
  const bool whole = std::abs(number) < kExactIntegers && number == std::trunc(number);
  const auto end = whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<int64_t>(number)).ptr
                         : std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return {buffer, end};
}

std::string canonical_label(std::string_view text) {
  // "007", "1e5", "0x1" and numbers too long for a double are names, not numbers.
  std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  const bool padded = digits.size() > 1 && digits[0] == '0' && digits[1] != '.';
  if (padded || digits.size() > 16 || digits.find_first_not_of("0123456789.") != std::string_view::npos) {
    return std::string(text);
  }
  const auto number = as_number(text);
  return number ? canonical_label(*number) : std::string(text);
}

base::Result<CodedLabels> code_labels(std::span<const std::string> truth, std::span<const std::string> predicted) {
  if (truth.size() != predicted.size()) {
    return base::invalid("there are " + std::to_string(truth.size()) + " true labels and " +
                         std::to_string(predicted.size()) + " predictions; one each per row is needed");
  }
  CodedLabels coded;
  std::unordered_map<std::string_view, uint32_t> index;
  for (const auto& side : {truth, predicted}) {
    for (const std::string& label : side) {
      if (index.try_emplace(label, 0).second) coded.classes.push_back(label);
    }
  }
  sort_classes(coded.classes);
  for (uint32_t i = 0; i < coded.classes.size(); ++i) index[coded.classes[i]] = i;
  coded.truth.reserve(truth.size());
  coded.predicted.reserve(truth.size());
  for (const std::string& label : truth) coded.truth.push_back(index[label]);
  for (const std::string& label : predicted) coded.predicted.push_back(index[label]);
  return coded;
}

ConfusionMatrix::ConfusionMatrix(const CodedLabels& labels) : ConfusionMatrix(labels.classes.size()) {
  for (size_t i = 0; i < labels.truth.size(); ++i) add(labels.truth[i], labels.predicted[i]);
}

void ConfusionMatrix::clear() { std::ranges::fill(counts_, 0); }

Classification classification(const ConfusionMatrix& matrix, std::span<const std::string> classes) {
  ASSERT_ALWAYS(classes.size() == matrix.classes());
  Classification result;
  for (size_t c = 0; c < classes.size(); ++c) {
    const ClassCounts counts = counts_of(matrix, c);
    ClassMetrics metrics{classes[c], counts.support};
    metrics.precision = ratio(static_cast<double>(counts.hits), static_cast<double>(counts.predicted));
    metrics.recall = ratio(static_cast<double>(counts.hits), static_cast<double>(counts.support));
    metrics.f1 = harmonic(counts.hits, counts.predicted, counts.support);
    result.rows += counts.support;
    result.correct += counts.hits;
    result.classes.push_back(std::move(metrics));
  }
  if (result.rows == 0) return result;
  const double all = static_cast<double>(result.rows), kinds = static_cast<double>(classes.size());
  result.accuracy = static_cast<double>(result.correct) / all;
  for (const ClassMetrics& metrics : result.classes) {
    const double weight = static_cast<double>(metrics.support) / all;
    result.macro.precision += metrics.precision / kinds;
    result.macro.recall += metrics.recall / kinds;
    result.macro.f1 += metrics.f1 / kinds;
    result.weighted.precision += metrics.precision * weight;
    result.weighted.recall += metrics.recall * weight;
    result.weighted.f1 += metrics.f1 * weight;
  }
  return result;
}

base::Result<ClassificationMetric> parse_classification_metric(std::string_view name) {
  if (name == "accuracy") return ClassificationMetric::kAccuracy;
  if (name == "macro_precision") return ClassificationMetric::kMacroPrecision;
  if (name == "macro_recall") return ClassificationMetric::kMacroRecall;
  if (name == "macro_f1") return ClassificationMetric::kMacroF1;
  if (name == "weighted_f1") return ClassificationMetric::kWeightedF1;
  return base::invalid("unknown metric '" + std::string(name) +
                       "'; allowed: accuracy, macro_precision, macro_recall, macro_f1, weighted_f1");
}

// Inside a bootstrap: no allocation. A class that neither side holds does not count, as scikit-learn would not see it.
double classification_metric(ClassificationMetric metric, const ConfusionMatrix& matrix) {
  double sum = 0, kinds = 0, hits = 0, rows = 0;
  for (size_t c = 0; c < matrix.classes(); ++c) {
    if (metric == ClassificationMetric::kAccuracy) {
      hits += static_cast<double>(matrix.at(c, c));
      for (size_t p = 0; p < matrix.classes(); ++p) rows += static_cast<double>(matrix.at(c, p));
      continue;
    }
    const ClassCounts counts = counts_of(matrix, c);
    if (counts.predicted == 0 && counts.support == 0) continue;
    ++kinds;
    rows += static_cast<double>(counts.support);
    const double found = static_cast<double>(counts.hits);
    switch (metric) {
      case ClassificationMetric::kAccuracy: break;
      case ClassificationMetric::kMacroPrecision: sum += ratio(found, static_cast<double>(counts.predicted)); break;
      case ClassificationMetric::kMacroRecall: sum += ratio(found, static_cast<double>(counts.support)); break;
      case ClassificationMetric::kMacroF1: sum += harmonic(counts.hits, counts.predicted, counts.support); break;
      case ClassificationMetric::kWeightedF1:
        sum += harmonic(counts.hits, counts.predicted, counts.support) * static_cast<double>(counts.support);
        break;
    }
  }
  switch (metric) {
    case ClassificationMetric::kAccuracy: return ratio(hits, rows);
    case ClassificationMetric::kWeightedF1: return ratio(sum, rows);
    default: return ratio(sum, kinds);
  }
}

double log_loss(std::span<const uint32_t> truth, std::span<const double> probabilities, size_t class_count) {
  ASSERT_ALWAYS(probabilities.size() == truth.size() * class_count);
  constexpr double kLeast = std::numeric_limits<double>::epsilon();
  double sum = 0;
  for (size_t row = 0; row < truth.size(); ++row) {
    ASSERT_ALWAYS(truth[row] < class_count);
    sum -= std::log(std::clamp(probabilities[row * class_count + truth[row]], kLeast, 1 - kLeast));
  }
  return truth.empty() ? kNan : sum / static_cast<double>(truth.size());
}

double brier_score(std::span<const uint32_t> truth, std::span<const double> probabilities, size_t class_count) {
  ASSERT_ALWAYS(probabilities.size() == truth.size() * class_count);
  double sum = 0;
  for (size_t row = 0; row < truth.size(); ++row) {
    for (size_t c = 0; c < class_count; ++c) {
      const double miss = probabilities[row * class_count + c] - (truth[row] == c ? 1 : 0);
      sum += miss * miss;
    }
  }
  if (class_count == 2) sum /= 2;
  return truth.empty() ? kNan : sum / static_cast<double>(truth.size());
}

double roc_auc(std::span<const uint8_t> positive, std::span<const double> scores) {
  ASSERT_ALWAYS(positive.size() == scores.size());
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return scores[i]; });
  // The Mann–Whitney form: pairs (positive above negative), ties half. Twice the count stays an exact integer.
  int64_t negatives = 0, positives = 0, twice_wins = 0;
  for (size_t i = 0; i < order.size();) {
    int64_t tied_negatives = 0, tied_positives = 0;
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) ++(positive[order[i]] ? tied_positives : tied_negatives);
    if (tied_negatives + tied_positives == 0) return kNan;  // a NaN score
    twice_wins += tied_positives * (2 * negatives + tied_negatives);
    negatives += tied_negatives;
    positives += tied_positives;
  }
  if (negatives == 0 || positives == 0) return kNan;
  return static_cast<double>(twice_wins) / 2 / static_cast<double>(negatives) / static_cast<double>(positives);
}

double roc_auc_ovr(std::span<const uint32_t> truth, std::span<const double> probabilities, size_t class_count) {
  ASSERT_ALWAYS(probabilities.size() == truth.size() * class_count);
  std::vector<uint8_t> positive(truth.size());
  std::vector<double> scores(truth.size());
  double sum = 0;
  for (size_t c = 0; c < class_count; ++c) {
    for (size_t row = 0; row < truth.size(); ++row) {
      positive[row] = truth[row] == c;
      scores[row] = probabilities[row * class_count + c];
    }
    sum += roc_auc(positive, scores);
  }
  return sum / static_cast<double>(class_count);
}

Regression regression(std::span<const double> truth, std::span<const double> predicted) {
  ASSERT_ALWAYS(truth.size() == predicted.size());
  Regression result{.rows = static_cast<int64_t>(truth.size())};
  if (truth.empty()) return {.rows = 0, .rmse = kNan, .mae = kNan, .r2 = kNan};
  const double n = static_cast<double>(truth.size());
  const double mean = std::accumulate(truth.begin(), truth.end(), 0.0) / n;
  double squares = 0, absolute = 0, spread = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double miss = truth[i] - predicted[i];
    squares += miss * miss;
    absolute += std::abs(miss);
    spread += (truth[i] - mean) * (truth[i] - mean);
  }
  result.rmse = std::sqrt(squares / n);
  result.mae = absolute / n;
  result.r2 = truth.size() < 2 ? kNan : spread > 0 ? 1 - squares / spread : squares > 0 ? 0 : 1;
  return result;
}

base::Result<RegressionMetric> parse_regression_metric(std::string_view name) {
  if (name == "rmse") return RegressionMetric::kRmse;
  if (name == "mae") return RegressionMetric::kMae;
  if (name == "r2") return RegressionMetric::kR2;
  return base::invalid("metric '" + std::string(name) + "' is not one of a regression; allowed: rmse, mae, r2");
}

bool higher_is_better(RegressionMetric metric) { return metric == RegressionMetric::kR2; }

double regression_metric(RegressionMetric metric, std::span<const double> truth, std::span<const double> predicted,
                         std::span<const uint32_t> rows) {
  const double n = static_cast<double>(rows.size());
  if (rows.empty()) return kNan;
  double squares = 0, absolute = 0, mean = 0, spread = 0;
  for (const uint32_t row : rows) {
    const double miss = truth[row] - predicted[row];
    squares += miss * miss;
    absolute += std::abs(miss);
    mean += truth[row];
  }
  switch (metric) {
    case RegressionMetric::kRmse: return std::sqrt(squares / n);
    case RegressionMetric::kMae: return absolute / n;
    case RegressionMetric::kR2: break;
  }
  mean /= n;
  for (const uint32_t row : rows) spread += (truth[row] - mean) * (truth[row] - mean);
  return rows.size() < 2 ? kNan : spread > 0 ? 1 - squares / spread : squares > 0 ? 0 : 1;
}

}  // namespace stats
