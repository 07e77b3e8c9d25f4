// Data versions: immutable snapshots of a named data set, split into parts. A version's id is the SHA-256 of its
// canonical manifest (path → blob digest), so the same bytes are the same version. See docs/formats/data.md.
//
// Parts are CSV files of raw features + group (if declared) + label: "train.csv", "valid.csv", "test.csv"; a
// retraining's version adds "recent.csv" (labelled traffic that no model trained on) and "traffic.csv" (which
// predictions were taken). Beside them: "rejects.csv", "profile.json", "schema.json", "transform.json" (fitted on
// train) and "export/train.csv", "export/valid.csv" (after the transform). Files are artifacts under root
// "data/<version>".
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
  std::string id;      // hex SHA-256 of the manifest
  std::string name;    // data set's name within the project
  int64_t number = 0;  // 1, 2, … within the name, for people
  int64_t created_us = 0;
  std::string label;                    // label column
  std::vector<std::string> features;    // raw feature columns in order
  std::map<std::string, int64_t> rows;  // part → rows; also "rejected", "duplicates"
  std::string source;                   // JSON: raw files with digests, preparation, seed, captured rows taken
};

struct NewDataVersion {
  std::string name;
  std::string label;
  std::vector<std::string> features;
  std::map<std::string, int64_t> rows;
  std::string source = "{}";
  std::vector<blob::Artifact> files;   // root is filled in; blobs are in the BlobStore already
  std::vector<std::string> raw_files;  // "path@sha256": lineage edges file "name/path@sha256" → data_version
  std::string base_version;            // a retraining's: the version whose rows it carries on
};

inline constexpr size_t kMaxVersionFiles = 10'000;
inline constexpr size_t kMaxFeatures = 16'384;

std::string manifest_id(const std::vector<blob::Artifact>& files);  // over the sorted "path\0sha256\n" lines

base::Result<DataVersion> create_version(store::Tx& tx, const NewDataVersion& version);  // idempotent by manifest
base::Result<DataVersion> get_version(store::Tx& tx, std::string_view id);
// Within a name: "latest", a number, an id, or at least 6 characters of one that no other version begins with.
base::Result<DataVersion> find_version(store::Tx& tx, std::string_view name, std::string_view which);
base::Result<std::optional<DataVersion>> newest_version(store::Tx& tx, std::string_view name);
std::vector<DataVersion> list_versions(store::Tx& tx, std::string_view name, size_t limit = 100);  // newest first
std::vector<DataVersion> list_newest(store::Tx& tx);  // the newest version of every name, by name
std::vector<blob::Artifact> version_files(store::Tx& tx, std::string_view id);

}  // namespace data
