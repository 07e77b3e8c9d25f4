// Preparation: raw files → the files of a data version, in a folder. No server, no network: `lathe step prepare` calls
// it in a child process and uploads what lies in the folder. See docs/formats/prepare.md and data.md.
// Thread: one at a time. Blocks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "data/prepare_spec.h"
#include "data/row_table.h"

namespace data {

struct Prepared {
  std::string label;
  std::vector<std::string> features;
  std::map<std::string, int64_t> rows;  // part → rows; "rejected", "duplicates"
  std::string source;                   // JSON object: where the rows came from
  std::vector<std::string> files;       // relative paths under the folder, sorted
  std::vector<std::string> raw_files;   // "path@sha256", for lineage
};

struct PrepareRequest {
  std::vector<std::string> patterns;  // of raw files, relative to the working folder
  std::string label;                  // "" for data without one
  PrepareSpec spec;
  std::string spec_sha256;             // of prepare.yaml, "" if there is none; noted in the source
  base::Path out_dir;                  // exists and is empty
  std::string memory_limit = "512MB";  // DuckDB's; past it it spills to disk
};
base::Result<Prepared> prepare(const PrepareRequest& request);

// A retraining: the champion's rows as they are, plus labelled traffic split by its hash into train, valid and recent.
// Rows that the champion trained on never become recent, rows of the frozen test set are never trained on, and test.csv
// stays byte for byte what it was.
struct RetrainRequest {
  base::Path base_dir;  // train.csv, valid.csv, test.csv and schema.json of the champion's version
  std::string base_version;
  base::Path traffic;  // lines of JSON: {id, row, at_us, features: {name: value}, label}
  std::string endpoint;
  PrepareSpec spec;
  std::string spec_sha256;
  base::Path out_dir;
  std::string memory_limit = "512MB";
};
base::Result<Prepared> prepare_again(const RetrainRequest& request);

// schema.json → the layout of the parts beside it.
base::Result<Layout> parse_schema(std::string_view json);

// rejects.csv: file, line, column, reason, row (as it stands in the file; bytes that are not UTF-8 replaced).
class RejectsWriter {
 public:
  static base::Result<RejectsWriter> create(const base::Path& path);
  base::Result<void> add(const RejectedRow& row);
  int64_t count() const { return count_; }
  const std::string& first() const { return first_; }  // the first one in words, "" if there is none
  base::Result<void> finish() { return writer_.flush(); }

 private:
  explicit RejectsWriter(FileWriter writer) : writer_(std::move(writer)) {}
  FileWriter writer_;
  int64_t count_ = 0;
  std::string first_;
};

}  // namespace data
