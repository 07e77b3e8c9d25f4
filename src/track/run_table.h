// Runs as a table shows them: windows of rows with chosen columns only, however many keys the runs have; which keys
// there are; and many runs side by side. Searching itself is search.h's. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/search.h"

namespace track {

inline constexpr int64_t kMaxWindow = 500;       // rows of one window
inline constexpr size_t kMaxColumns = 100;       // of one window
inline constexpr int64_t kMaxListedKeys = 500;   // names or values offered at once
inline constexpr size_t kMaxCompared = 500;      // runs side by side
inline constexpr int64_t kMaxCounted = 10'000;   // matches of a filter; past it a count is "at least"
inline constexpr int64_t kMaxRows = 20'000'000;  // runs without a filter: counted on an index alone

struct Cell {  // a number (perhaps NaN), a text, or nothing
  enum class Kind : uint8_t { kNone, kNumber, kText };
  Kind kind = Kind::kNone;
  double number = 0;
  std::string text;
};
struct TableRow {
  RunInfo info;
  std::vector<Cell> cells;        // one per column
  std::vector<std::string> data;  // "name@digest" of what it logged as input
};
// `search` without page_token and offset is the list's head.
base::Result<Page<TableRow>> run_window(store::Tx& tx, const RunSearch& search, const std::vector<Column>& columns);
// Rows for runs named by their ids, in that order; unknown ones are left out.
base::Result<std::vector<TableRow>> run_rows(store::Tx& tx, const std::vector<std::string>& ids,
                                             const std::vector<Column>& columns);
int64_t newest_run_row(store::Tx& tx);  // 0: none

struct KeySearch {
  std::vector<std::string> experiment_ids;
  Field field = Field::kMetric;  // kMetric, kParam, kTag
  std::string contains;          // part of the name, any case; "": all
  int64_t limit = 50;
};
// Names that runs of these experiments use, in order.
base::Result<std::vector<std::string>> list_keys(store::Tx& tx, const KeySearch& search);
// Values of one parameter or tag, in order; at most 100 characters of each.
base::Result<std::vector<std::string>> list_values(store::Tx& tx, const KeySearch& search, std::string_view key);

struct MetricSummary {
  std::string key;
  double last = 0;  // NaN is possible
  int64_t step = 0;
  int64_t at_ms = 0;
  std::optional<double> least, greatest;
};
std::vector<MetricSummary> metric_summaries(store::Tx& tx, const RunInfo& run);

// Children of a run (tag mlflow.parentRunId), newest first.
std::vector<RunInfo> child_runs(store::Tx& tx, std::string_view run_id, int64_t limit);
// Logged models that a run made, oldest first.
std::vector<ModelInfo> models_of_run(store::Tx& tx, std::string_view run_id, int64_t limit);
// What was registered from a run or a logged model, newest first.
std::vector<ModelVersion> versions_of(store::Tx& tx, std::string_view run_id, std::string_view model_id);

}  // namespace track
