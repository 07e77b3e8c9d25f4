// A search of runs over their columns in memory (run_columns.h): the same runs in the same order, and the same page
// tokens, as the SQL of search_runs.cc. Thread: pure functions on immutable snapshots.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "track/page_token.h"
#include "track/run_columns.h"
#include "track/search_ast.h"
#include "track/types.h"

namespace track {

struct ColumnQuery {
  const Filter& filter;
  const std::vector<Order>& order;
  View view = View::kActive;
  std::optional<int64_t> until_row, above_row;
  int64_t offset = 0, limit = 0;
  std::vector<Value> after;                      // of a page token
  std::function<int64_t(std::string_view)> key;  // of track_keys; one that nobody used is not there
};

// The columns that a filter and an order look at; none if they ask for what no column holds (data sets).
std::optional<std::vector<ColumnKey>> needed_columns(const ColumnQuery& query);

struct ColumnPage {
  std::vector<int64_t> rows;
  std::vector<Value> next;  // sort values of the last one, when more follow
};
base::Result<ColumnPage> search_columns(std::span<const RunSnapshotPtr> experiments, const ColumnQuery& query);
int64_t count_columns(std::span<const RunSnapshotPtr> experiments, const ColumnQuery& query);

const Dialect& run_dialect();  // search_runs.cc

// A pattern of LIKE: % is any text, _ one character; nothing else is special. `ignore_case`: of ASCII letters.
class LikePattern {
 public:
  LikePattern(std::string_view pattern, bool ignore_case);
  bool matches(std::string_view text) const;

 private:
  enum class Shape : uint8_t { kWhole, kPrefix, kSuffix, kWithin, kAny };
  bool matches_folded(std::string_view text) const;
  bool matches_any(std::string_view text) const;

  std::string pattern_;  // of kAny as it was given, else its text
  Shape shape_ = Shape::kAny;
  bool ignore_case_;
};

}  // namespace track
