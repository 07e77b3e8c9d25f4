// Fitted transforms: what preparation fits on the training part (fill, scale, one-hot), as one value attached to the
// model version and applied by the one inference core at training export, evaluation and serving, so that the three
// cannot skew. Definitions follow scikit-learn's SimpleImputer, StandardScaler (ddof 0), MinMaxScaler and OneHotEncoder
// (unknown category: all zeros), against which the tests prove them.
//
// Format: docs/formats/transform.md. Thread: immutable after fit or parse; apply is const and safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "stats/answer_rule.h"
#include "stats/table.h"

namespace stats {

enum class FillKind : uint8_t { kMean, kMedian, kMode, kConstant };
enum class ScaleKind : uint8_t { kStandard, kMinMax };

// As declared; applied in this order: fill, scale, one-hot. Column "*" means every numeric feature (for scale: that is
// not one-hot), and what names a column wins over it.
struct TransformSpec {
  struct Fill {
    std::string column;
    FillKind kind;
    std::string constant;
  };
  struct Scale {
    std::string column;
    ScaleKind kind;
  };
  std::vector<Fill> fill;
  std::vector<Scale> scale;
  std::vector<std::string> one_hot;
  bool empty() const { return fill.empty() && scale.empty() && one_hot.empty(); }
};

class Transform {
 public:
  Transform() = default;  // the identity over no columns

  // `features` are the raw feature columns, in order; every other column of the table is left out. A column that no
  // step names needs only its type: its values may be left out.
  static base::Result<Transform> fit(const TransformSpec& spec, const Table& train,
                                     const std::vector<std::string>& features);
  static base::Result<Transform> parse(std::string_view json);
  std::string to_json() const;  // canonical: the same transform gives the same bytes

  const std::vector<std::string>& input_columns() const { return inputs_; }
  // A one-hot column stands as "<column>_<category>" in its column's place.
  const std::vector<std::string>& output_columns() const { return outputs_; }
  bool all_inputs_numeric() const;  // apply_dense is possible
  bool input_numeric(size_t input) const { return columns_[input].numeric; }
  bool identity() const;  // no step changes a value
  // What happens to the model's answers; it belongs to the version as its columns do.
  const AnswerRule& answer() const { return answer_; }
  void set_answer(AnswerRule answer) { answer_ = std::move(answer); }

  // Raw rows → model rows. Errors name the column (missing, or of the wrong type). A numeric column where text is
  // expected is read as its shortest text (a file whose categories all look like numbers).
  base::Result<Table> apply(const Table& raw) const;
  // The same for a dense row-major numeric batch in the order of input_columns(); needs all_inputs_numeric(). Values
  // are computed as apply() computes them, in double, and rounded to float once.
  base::Result<std::vector<float>> apply_dense(const double* rows, size_t row_count) const;
  // Into the caller's memory (row_count × output_columns().size()); allocates nothing. Same precondition, asserted.
  void apply_dense(const double* rows, size_t row_count, std::span<float> out) const;

 private:
  // What happens to one input column. Flat on purpose: a missing step is one that changes nothing.
  struct ColumnPlan {
    bool numeric = true;
    std::optional<FillKind> fill;
    double fill_number = 0;
    std::string fill_text;
    std::optional<ScaleKind> scale;
    double offset = 0, factor = 1;  // (x - offset) * factor
    bool one_hot = false;
    std::vector<double> number_categories;     // ascending
    std::vector<std::string> text_categories;  // in byte order
    bool missing_category = false;             // training had missing values left: the last category

    size_t width() const;
  };

  base::Result<void> fit_column(const TransformSpec& spec, const Column& column, ColumnPlan& plan) const;
  base::Result<void> finish();  // output names and the dense arrays; fails if two outputs share a name
  base::Result<Numbers> numbers_of(const Column& column) const;
  Texts texts_of(const Column& column) const;
  static size_t category_of(const ColumnPlan& plan, double value);

  std::vector<std::string> inputs_;
  std::vector<std::string> outputs_;
  std::vector<ColumnPlan> columns_;  // one per input
  // The dense path's view of columns_: the value at i is (isnan(x) ? fill : x) - offset) * factor.
  std::vector<double> dense_fill_, dense_offset_, dense_factor_;
  bool any_one_hot_ = false;
  AnswerRule answer_;
};

}  // namespace stats
