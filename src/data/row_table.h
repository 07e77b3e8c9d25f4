// RowTable: the kept rows of a data version being made, in DuckDB, and the files that come out of them. Both kinds of
// preparation (from raw files; again, with labelled traffic) fill one and let it write.
// Thread: one at a time. Memory: bounded by DuckDB's limit and, for fitting, the training columns that a step names.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "data/duckdb.h"
#include "data/prepare_spec.h"
#include "data/profile.h"
#include "data/raw.h"
#include "data/split.h"
#include "stats/transform.h"

namespace data {

// What the rows are about: which columns, in the order of every part's file: features, group, label.
struct Layout {
  std::vector<KeptColumn> columns;
  std::vector<std::string> features;
  std::string group;  // "" if none
  std::string label;  // "" if none
};

class RowTable {
 public:
  static base::Result<RowTable> create(DuckDb& db, Layout layout);

  const Layout& layout() const { return layout_; }
  // Values in the order of layout().columns; "" is missing. A numeric column's value must be a number.
  base::Result<void> add(std::span<const std::string_view> fields, uint64_t group_hash, uint64_t row_key, Part part);
  base::Result<void> end_of_rows();

  base::Result<int64_t> drop_duplicates(const std::vector<std::string>& keys);  // how many went; no keys: every column
  base::Result<void> stratify(const PrepareSpec& spec);

  // Writes a part as CSV, rows in the order of (group hash, row key, bytes): the same rows give the same file.
  base::Result<int64_t> write_part(Part part, const base::Path& file);

  // After the parts: the transform fitted on `train_csv` (transform.json), the one without steps
  // (identity.json, for models that contain their own preparation), exports, profile.json, schema.json.
  base::Result<void> write_descriptions(const PrepareSpec& spec, const base::Path& dir, const std::vector<Part>& parts);

 private:
  RowTable(DuckDb& db, Layout layout) : db_(&db), layout_(std::move(layout)) {}
  size_t index_of(std::string_view column) const;
  std::string schema_json(const PrepareSpec& spec, const std::vector<ColumnProfile>& columns) const;
  base::Result<PartProfile> part_profile(Part part) const;

  DuckDb* db_;
  Layout layout_;
  std::optional<DuckDb::Appender> appender_;
};

// A part's columns as a table; a column that `wanted` refuses keeps its type and loses its values.
base::Result<stats::Table> read_columns(const base::Path& part_csv, const Layout& layout,
                                        const std::function<bool(const KeptColumn&)>& wanted);
// The rows of `part_csv` after the transform, label kept, written to `export_csv` piece by piece.
base::Result<void> export_part(const base::Path& part_csv, const base::Path& export_csv, const Layout& layout,
                               const stats::Transform& transform);

// Buffered writing of a file that becomes a blob.
class FileWriter {
 public:
  static base::Result<FileWriter> create(const base::Path& path);
  std::string& buffer() { return buffer_; }
  base::Result<void> flush_if_full() { return buffer_.size() < kFlushBytes ? base::Result<void>() : flush(); }
  base::Result<void> flush();

 private:
  static constexpr size_t kFlushBytes = size_t{1} << 20;
  explicit FileWriter(base::Fd fd) : fd_(std::move(fd)) {}
  base::Fd fd_;
  std::string buffer_;
};

}  // namespace data
