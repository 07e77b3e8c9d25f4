// Evaluation data sets: named lists of records (inputs, outputs, expectations) that several experiments can share. A
// record is known by its inputs: the same inputs again change that record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace traces {

inline constexpr size_t kRequestRecords = 10'000;         // of one upsert
inline constexpr size_t kRecordBytes = size_t{16} << 20;  // of one part of one record
inline constexpr int64_t kRecordPage = 10'000;
inline constexpr int64_t kDatasetPage = 1000;
inline constexpr size_t kDatasetTags = 1000;
inline constexpr size_t kDatasetExperiments = 1000;
inline constexpr size_t kRecordAnswerBytes = size_t{64} << 20;  // a page ends here, if not before

struct EvalDataset {
  int64_t row = 0;
  std::string dataset_id;  // "d-<32 hex>"
  std::string name, digest;
  std::optional<std::string> schema;  // JSON: what its records hold
  int64_t record_count = 0;
  int64_t created_ms = 0, updated_ms = 0;
  std::optional<std::string> created_by, updated_by;
  track::Tags tags;
  std::vector<std::string> experiment_ids;
};

struct NewEvalDataset {
  std::string name;
  std::vector<std::string> experiment_ids;
  track::Tags tags;  // mlflow.user says who makes it
};
base::Result<EvalDataset> create_dataset(store::Tx& tx, const NewEvalDataset& dataset);
base::Result<EvalDataset> get_dataset(store::Tx& tx, std::string_view dataset_id);
base::Result<void> delete_dataset(store::Tx& tx, std::string_view dataset_id);  // gone already: nothing to do

struct DatasetTagEdit {
  std::string dataset_id;
  track::Tags set;
  std::vector<std::string> removed;
};
base::Result<void> edit_dataset_tags(store::Tx& tx, const DatasetTagEdit& edit);
struct DatasetExperiments {
  std::string dataset_id;
  std::vector<std::string> experiment_ids;
};
base::Result<EvalDataset> add_to_experiments(store::Tx& tx, const DatasetExperiments& change);
base::Result<EvalDataset> remove_from_experiments(store::Tx& tx, const DatasetExperiments& change);

struct DatasetSearch {
  std::vector<std::string> experiment_ids;  // none: all
  std::string filter;
  int64_t max_results = kDatasetPage;
  std::vector<std::string> order_by;  // default: created_time DESC
  std::string page_token;
};
base::Result<track::Page<EvalDataset>> search_datasets(store::Tx& tx, const DatasetSearch& search);

// Records as JSON texts; "" and "null": not there. `has_outputs`: outputs were given, if only as null.
struct EvalRecord {
  std::string record_id;  // "dr-<32 hex>"
  std::string inputs, outputs, expectations, tags, source;
  bool has_outputs = false;
  int64_t created_ms = 0, updated_ms = 0;
  std::optional<std::string> created_by, updated_by;
};
struct RecordUpsert {
  std::string dataset_id;
  std::vector<EvalRecord> records;
};
struct Upserted {
  int64_t inserted = 0, updated = 0;
};
base::Result<Upserted> upsert_records(store::Tx& tx, const RecordUpsert& upsert);
// As another server has them, ids and times and all; what is here stays as it is. A data set: whether it was made; its
// records, a part of them or all: the number of those that were made.
base::Result<bool> import_dataset(store::Tx& tx, const EvalDataset& dataset);
struct ImportedRecords {
  std::string dataset_id;
  std::vector<EvalRecord> records;
};
base::Result<int64_t> import_records(store::Tx& tx, const ImportedRecords& imported);
struct RecordDeletion {
  std::string dataset_id;
  std::vector<std::string> record_ids;
};
base::Result<int64_t> delete_records(store::Tx& tx, const RecordDeletion& deletion);
struct RecordPageQuery {
  std::string dataset_id;
  int64_t max_results = 1000;
  std::string page_token;
};
struct RecordPage {
  std::string json;  // a list, as the client reads it
  std::string next_token;
};
base::Result<RecordPage> read_records(store::Tx& tx, const RecordPageQuery& query);

}  // namespace traces
