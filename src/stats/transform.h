// Fitted transforms: what preparation fits on the training part (fill, scale, one-hot), as one value attached to the
// model version and applied by the one inference core at training export, evaluation and serving, so that the three
// cannot skew. Definitions follow scikit-learn's SimpleImputer, StandardScaler (ddof 0), MinMaxScaler and OneHotEncoder
// (unknown category: all zeros), against which the tests prove them.
//
// Format: docs/formats/transform.md. Thread: immutable after fit or parse; apply is const and safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/table.h"

namespace stats {

enum class FillKind : uint8_t { kMean, kMedian, kMode, kConstant };
enum class ScaleKind : uint8_t { kStandard, kMinMax };

struct TransformSpec {  // as declared; applied in this order: fill, scale, one-hot
  struct Fill { std::string column; FillKind kind; std::string constant; };
  struct Scale { std::string column; ScaleKind kind; };
  std::vector<Fill> fill;     // column "*": every numeric feature
  std::vector<Scale> scale;
  std::vector<std::string> one_hot;
  bool empty() const { return fill.empty() && scale.empty() && one_hot.empty(); }
};

class Transform {
 public:
  Transform() = default;  // the identity over no columns

  // `features` are the raw feature columns, in order; every other column of the table is left out.
  static base::Result<Transform> fit(const TransformSpec& spec, const Table& train, const std::vector<std::string>& features);
  static base::Result<Transform> parse(std::string_view json);
  std::string to_json() const;  // canonical: the same transform gives the same bytes

  const std::vector<std::string>& input_columns() const { return inputs_; }
  const std::vector<std::string>& output_columns() const { return outputs_; }
  bool all_inputs_numeric() const;
  bool identity() const { return steps_.empty(); }

  // Raw rows → model rows. Errors name the column (missing, or of the wrong type).
  base::Result<Table> apply(const Table& raw) const;
  // The same for a dense row-major numeric batch in the order of input_columns(); needs all_inputs_numeric().
  base::Result<std::vector<float>> apply_dense(const double* rows, size_t row_count) const;

 private:
  struct Step {
    std::string column;
    size_t input = 0;
    enum class Kind : uint8_t { kFill, kScale, kOneHot } kind;
    double fill_number = 0, offset = 0, factor = 1;  // scale: (x - offset) * factor
    std::string fill_text;
    std::vector<std::string> categories;             // sorted
  };
  std::vector<std::string> inputs_;
  std::vector<bool> input_numeric_;
  std::vector<std::string> outputs_;
  std::vector<Step> steps_;
};

}  // namespace stats
