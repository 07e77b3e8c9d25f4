// What differs between two data versions: rows, schema, distributions. Reads their part files from two folders.
// Thread: one at a time. Memory: a few dozen bytes per row, and a few columns of both versions at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "data/row_table.h"

namespace data {

struct DataSide {
  base::Path dir;                  // the parts' files
  std::vector<std::string> parts;  // "train.csv", …: those that the version has
  Layout layout;
};

struct ColumnDiff {
  std::string name;
  std::string change;  // "", "added", "removed", "now text", "now number"
  int64_t missing_before = 0, missing_after = 0;
  double mean_before = 0, mean_after = 0;  // numbers
  double distance = 0;                     // numbers: Kolmogorov–Smirnov's D; text: total variation of the shares
  double p = 1;  // of the two-sample test (KS; chi-square); 1 where there is nothing to compare
};

// Rows are matched by their features (those columns that both versions have).
struct DataDiff {
  int64_t rows_before = 0, rows_after = 0;
  int64_t added = 0, removed = 0;
  int64_t relabelled = 0;  // equal features, another label
  int64_t moved = 0;       // equal row, another part
  std::vector<ColumnDiff> columns;
};

base::Result<DataDiff> diff(const DataSide& before, const DataSide& after);

}  // namespace data
