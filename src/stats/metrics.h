// Metrics of a model on labelled rows. Definitions follow scikit-learn 1.9, against which tests/stats proves them; what
// is undefined there with a warning (precision of a class nobody predicted, …) is 0 here too, its `zero_division=0`.
// Pure; plain values; thread: safe anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace stats {

// The union of the labels seen in truth and predictions, and both as indices into it. Order: by number when every label
// is one, else by bytes.
struct CodedLabels {
  std::vector<std::string> classes;
  std::vector<uint32_t> truth;
  std::vector<uint32_t> predicted;
};
base::Result<CodedLabels> code_labels(std::span<const std::string> truth, std::span<const std::string> predicted);

// One spelling per label, so that 7, 7.0 and "7" are the same class: a plain decimal number in its shortest form, other
// text ("007", "1e5", "cat") unchanged.
std::string canonical_label(std::string_view text);
std::string canonical_label(double number);

// Row-major counts[truth * classes + predicted].
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(size_t classes) : classes_(classes), counts_(classes * classes) {}
  ConfusionMatrix(const CodedLabels& labels);
  void clear();
  void add(uint32_t truth, uint32_t predicted) { ++counts_[truth * classes_ + predicted]; }
  size_t classes() const { return classes_; }
  int64_t at(size_t truth, size_t predicted) const { return counts_[truth * classes_ + predicted]; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  size_t classes_;
  std::vector<int64_t> counts_;
};

struct ClassMetrics {
  std::string label;
  int64_t support = 0;  // rows whose truth it is
  double precision = 0, recall = 0, f1 = 0;
};
struct AveragedMetrics {
  double precision = 0, recall = 0, f1 = 0;
};
struct Classification {
  int64_t rows = 0;
  int64_t correct = 0;
  double accuracy = 0;
  std::vector<ClassMetrics> classes;
  AveragedMetrics macro;     // every class counts the same
  AveragedMetrics weighted;  // by support
};
Classification classification(const ConfusionMatrix& matrix, std::span<const std::string> classes);

enum class ClassificationMetric : uint8_t { kAccuracy, kMacroPrecision, kMacroRecall, kMacroF1, kWeightedF1 };
base::Result<ClassificationMetric> parse_classification_metric(std::string_view name);  // "accuracy", "macro_f1", …
double classification_metric(ClassificationMetric metric, const ConfusionMatrix& matrix);

// Probabilities: row-major, `class_count` columns, truth as column index. Sizes are asserted.
double log_loss(std::span<const uint32_t> truth, std::span<const double> probabilities, size_t class_count);
// Two classes: mean squared error of the second column; more: summed over the classes (sklearn's scale_by_half="auto").
double brier_score(std::span<const uint32_t> truth, std::span<const double> probabilities, size_t class_count);
// Area under the ROC curve, ties counted half; NaN when only one class is present.
double roc_auc(std::span<const uint8_t> positive, std::span<const double> scores);
// One class against the rest, unweighted mean over the classes; NaN when a class has no row.
double roc_auc_ovr(std::span<const uint32_t> truth, std::span<const double> probabilities, size_t class_count);

struct Regression {
  int64_t rows = 0;
  double rmse = 0, mae = 0;
  double r2 =
      0;  // of a constant truth: 1 when predicted exactly, else 0 (scikit-learn's force_finite); NaN below 2 rows
};
Regression regression(std::span<const double> truth, std::span<const double> predicted);

enum class RegressionMetric : uint8_t { kRmse, kMae, kR2 };
base::Result<RegressionMetric> parse_regression_metric(std::string_view name);  // "rmse", "mae", "r2"
bool higher_is_better(RegressionMetric metric);
// Of the rows named, with repetitions.
double regression_metric(RegressionMetric metric, std::span<const double> truth, std::span<const double> predicted,
                         std::span<const uint32_t> rows);

}  // namespace stats
