#include "loop/evaluated_rows.h"

#include <algorithm>

namespace loop {

namespace {

// 1 for each row of the slice.
base::Result<std::vector<char>> in_slice(const stats::Table* table, size_t rows, const RowFilter& filter) {
  if (table == nullptr)
    return base::fail(base::Code::kConflict, "the rows themselves are not here, so no slice of them");
  const auto* column = table->find(filter.slice_column);
  if (column == nullptr) return base::invalid("the rows have no column '" + filter.slice_column + "'");
  const auto slices = slice_rows(*column);
  const auto slice = slices.find(filter.slice_value);
  if (slice == slices.end())
    return base::invalid("the column '" + filter.slice_column + "' has no slice '" + filter.slice_value + "'");
  std::vector<char> out(rows);
  for (const uint32_t row : slice->second) {
    if (row < rows) out[row] = 1;
  }
  return out;
}

}  // namespace

base::Result<RowPage> evaluated_rows(const ScoredRows& scored, const ScoredRows* other, const stats::Table* table,
                                     const RowFilter& filter, size_t offset, size_t limit) {
  const size_t rows = scored.truth.size();
  if (other != nullptr && other->truth != scored.truth)
    return base::fail(base::Code::kConflict, "the two evaluations were made on different rows");
  std::vector<char> slice;
  if (!filter.slice_column.empty()) {
    TRY_SET(slice, in_slice(table, rows, filter));
  }
  std::vector<size_t> found;
  for (size_t i = 0; i < rows; ++i) {
    if (filter.truth && scored.truth[i] != *filter.truth) continue;
    if (filter.predicted && scored.predicted[i] != *filter.predicted) continue;
    if (filter.wrong && scored.truth[i] == scored.predicted[i]) continue;
    if (filter.disagree && (other == nullptr || other->predicted[i] == scored.predicted[i])) continue;
    if (!slice.empty() && slice[i] == 0) continue;
    found.push_back(i);
  }
  const auto rank = [&](size_t i) {
    const bool wrong = scored.truth[i] != scored.predicted[i];
    const double score = wrong && !scored.scores.empty() ? scored.scores[i] : 0;
    return std::tuple(!wrong, -score, i);
  };
  std::ranges::sort(found, {}, rank);
  RowPage out{.matches = static_cast<int64_t>(found.size()), .rows = {}};
  for (size_t at = offset; at < found.size() && out.rows.size() < limit; ++at) {
    const size_t i = found[at];
    RowView& view = out.rows.emplace_back();
    view.row = static_cast<int64_t>(i);
    view.truth = scored.truth[i];
    view.predicted = scored.predicted[i];
    if (!scored.scores.empty()) view.score = scored.scores[i];
    if (other == nullptr) continue;
    view.other = other->predicted[i];
    if (!other->scores.empty()) view.other_score = other->scores[i];
  }
  return out;
}

}  // namespace loop
