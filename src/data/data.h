// Data versions: immutable snapshots of a named data set, split into parts. A version's id is the SHA-256 of its
// canonical manifest (path → blob digest), so the same bytes are the same version. See docs/formats/data.md.
//
// Parts are CSV files of raw features + label + group (if declared): "train.csv", "valid.csv", "test.csv"; a retraining's
// version adds "recent.csv" (labelled traffic that no model trained on). Beside them: "rejects.csv", "profile.json",
// "schema.json", "transform.json" (fitted on train). Files are artifacts under root "data/<version>".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"

namespace data {

struct DataVersion {
  std::string id;         // hex SHA-256 of the manifest
  std::string name;       // data set's name within the project
  int64_t number = 0;     // 1, 2, … within the name, for people
  int64_t created_us = 0;
  std::string label;      // label column
  std::vector<std::string> features;  // raw feature columns in order
  std::map<std::string, int64_t> rows;  // part → rows; also "rejected", "duplicates"
  std::string source;     // JSON: raw files with digests, preparation, seed, captured rows taken
};

struct NewDataVersion {
  std::string name;
  std::string label;
  std::vector<std::string> features;
  std::map<std::string, int64_t> rows;
  std::string source = "{}";
  std::vector<blob::Artifact> files;           // root is filled in; blobs are in the BlobStore already
  std::vector<std::string> raw_files;          // "name/path@sha256" nodes for lineage edges file → data_version
};

std::string manifest_id(const std::vector<blob::Artifact>& files);  // over the sorted "path\0sha256\n" lines

base::Result<DataVersion> create_version(store::Tx& tx, const NewDataVersion& version);  // idempotent by manifest
base::Result<DataVersion> get_version(store::Tx& tx, std::string_view id);
base::Result<std::optional<DataVersion>> newest_version(store::Tx& tx, std::string_view name);
std::vector<DataVersion> list_versions(store::Tx& tx, std::string_view name, size_t limit = 100);  // newest first

}  // namespace data
