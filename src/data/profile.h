// What a table's columns look like: profile.json (docs/formats/data.md). Computed from sorted values, exactly and in
// one fixed order of operations, so that the same rows give the same bytes. Thread: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "data/duckdb.h"
#include "data/raw.h"

namespace data {

struct ColumnProfile {
  std::string name;
  bool numeric = false;
  int64_t count = 0;  // present values
  int64_t missing = 0;
  int64_t distinct = 0;
  double min = 0, max = 0, mean = 0, std = 0;  // numbers; std with ddof 0
  std::vector<double> quantiles;               // at kQuantiles, linear between neighbours
  std::vector<double> edges;                   // histogram of equal widths from min to max
  std::vector<int64_t> bins;
  std::vector<std::pair<std::string, int64_t>> top;  // most frequent first; of equals the smaller first
};

inline constexpr double kQuantiles[] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
inline constexpr size_t kHistogramBins = 20;
inline constexpr size_t kTopValues = 20;

// Takes a column's present values in ascending order.
class Profiler {
 public:
  // `min` and `max` of a numeric column must be known before (they place the histogram).
  Profiler(std::string name, bool numeric, int64_t rows, int64_t count, double min, double max);
  void add(double value);
  void add(std::string_view value);
  ColumnProfile finish();

 private:
  void end_run();

  ColumnProfile profile_;
  int64_t seen_ = 0;
  int64_t run_ = 0;  // how often the newest value came
  double number_ = 0;
  std::string text_;
  double m2_ = 0;
  size_t next_quantile_ = 0;
};

// Columns c0, c1, … of `table`, as RowTable names them.
base::Result<std::vector<ColumnProfile>> profile_table(DuckDb& db, const std::string& table,
                                                       const std::vector<KeptColumn>& columns);

// Rows of each part, and how often each label stands in it (left out where there are many labels).
struct PartProfile {
  std::string part;
  int64_t rows = 0;
  std::vector<std::pair<std::string, int64_t>> labels;
};
std::string profile_json(const std::vector<ColumnProfile>& columns, const std::vector<PartProfile>& parts);

}  // namespace data
