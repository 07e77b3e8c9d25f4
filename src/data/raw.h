// Raw files (CSV, Parquet) as rows of text fields, with what is wrong with a row told apart from the row. Read twice: a
// scan finds columns, types and digests; a visit hands out the rows. A field's text is exact (Parquet's numbers as
// their shortest text), so what is decided about a row never depends on a library's formats.
//
// Thread: one at a time. Memory: a file is mapped, never copied.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "data/duckdb.h"
#include "data/prepare_spec.h"

namespace data {

struct RawFile {
  std::string path;  // as found under the working folder
  base::Digest sha256;
  int64_t size = 0;
  int64_t rows = 0;  // kept
  int64_t rejected = 0;
};

struct RejectedRow {
  std::string_view file;
  int64_t line = 0;         // CSV: of the file; Parquet: number of the row
  std::string_view column;  // "" if the row as a whole is wrong
  std::string reason;
  std::string_view record;  // as it stands in the file
};

// A kept column: a feature, the group or the label (in this order in every part).
struct KeptColumn {
  std::string name;
  bool numeric = false;
};

// Checks the values of one row by the declared rules. Fields are in the order of `columns`.
class RuleChecker {
 public:
  RuleChecker(const PrepareSpec& spec, std::span<const std::string> columns, std::string_view label);
  struct Breach {
    size_t column;
    std::string reason;
  };
  std::optional<Breach> check(std::span<const std::string_view> fields) const;

 private:
  struct Rule {
    size_t column;
    ColumnRule rule;
    std::set<std::string, std::less<>> one_of;  // canonical
  };
  std::vector<Rule> rules_;
};

class RawRows {
 public:
  // Reads every file once. Fails on what makes a file useless: no header, other columns than the first file, columns
  // that the declaration names but nobody has, a nested Parquet type.
  static base::Result<RawRows> scan(DuckDb& db, const std::vector<std::string>& paths, const PrepareSpec& spec,
                                    const std::string& label);

  const std::vector<KeptColumn>& kept() const { return kept_; }
  const std::vector<std::string>& features() const { return features_; }
  const std::vector<RawFile>& files() const { return files_; }

  using OnRow = std::function<base::Result<void>(std::span<const std::string_view> kept_fields)>;
  using OnReject = std::function<base::Result<void>(const RejectedRow&)>;
  base::Result<void> visit(const OnRow& on_row, const OnReject& on_reject);

 private:
  // A row as a file has it: fields in the order of the file's columns, or what is wrong with it.
  struct FileRow {
    int64_t line = 0;
    std::span<const std::string_view> fields;
    std::string_view bad;  // not empty: malformed
    std::string_view record;
  };
  using OnFileRow = std::function<base::Result<void>(const FileRow&)>;

  RawRows(DuckDb& db, const PrepareSpec& spec, const std::string& label) : db_(&db), spec_(&spec), label_(label) {}
  base::Result<void> read_columns(RawFile& file, bool first);
  base::Result<void> settle_columns();
  base::Result<void> infer_types();
  base::Result<void> read_file(const RawFile& file, const OnFileRow& on_row);
  base::Result<void> read_csv(const RawFile& file, const OnFileRow& on_row);
  base::Result<void> read_parquet(const RawFile& file, const OnFileRow& on_row);
  base::Result<void> visit_all(
      const std::function<base::Result<void>(RawFile&, std::span<const std::string_view>)>& on_row,
      const OnReject& on_reject);

  DuckDb* db_;
  const PrepareSpec* spec_;
  std::string label_;
  std::vector<RawFile> files_;
  std::vector<std::string> columns_;  // of the first file, in its order
  std::set<std::string, std::less<>>
      text_;  // columns that are text whatever their values look like (Parquet's VARCHAR)
  std::vector<std::string> features_;
  std::vector<KeptColumn> kept_;
  std::vector<size_t> kept_from_;  // kept column → index into columns_
};

// A file mapped into memory, read-only.
class MappedFile {
 public:
  static base::Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  ~MappedFile();
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  MappedFile(void* data, size_t size) : data_(data), size_(size) {}
  void* data_;
  size_t size_;
};

// Shell patterns (glob(3)) and plain paths → files, sorted, each once. Fails if a pattern matches nothing.
base::Result<std::vector<std::string>> find_files(const std::vector<std::string>& patterns);

}  // namespace data
