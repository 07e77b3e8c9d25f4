// The rows of an evaluation one by one: what was true, what was said, with which score, and the input itself; all of
// them, the wrong ones, a cell of the confusion matrix, a slice, or where two evaluations of the same rows disagree.
// Thread: pure functions on values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/scoring.h"
#include "stats/table.h"

namespace loop {

inline constexpr size_t kMaxShownRows = 500;
inline constexpr size_t kMaxShownPartBytes = size_t{256} << 20;  // of the rows' own file; past it inputs are not shown

struct RowFilter {
  std::optional<std::string> truth, predicted;  // of the evaluation
  bool wrong = false;
  bool disagree = false;  // with the other evaluation
  std::string slice_column, slice_value;
};

struct RowView {
  int64_t row = 0;  // of the part, from 0
  std::string truth, predicted;
  std::optional<double> score;
  std::string other;  // what the other evaluation predicted
  std::optional<double> other_score;
};
struct RowPage {
  int64_t matches = 0;
  std::vector<RowView> rows;  // wrong ones first, the most confident of them first; then by row
};

// `other`: predictions of another model on the same rows, or null. `table`: the part, needed for slices only.
base::Result<RowPage> evaluated_rows(const ScoredRows& scored, const ScoredRows* other, const stats::Table* table,
                                     const RowFilter& filter, size_t offset, size_t limit);

}  // namespace loop
