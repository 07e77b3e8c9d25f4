// Bundles: the project's files as one content-addressed tree, so that a run at 3 a.m. executes what was applied,
// lineage names the true code, and another machine can run it. Format: docs/formats/bundle.md.
//
// Files are artifacts under root "bundle/<id>"; an executable file's artifact carries address "x". The id is the
// SHA-256 of the tree, so the same files are the same bundle.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/hash.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"

namespace loop {

inline constexpr size_t kMaxBundleFiles = 20'000;
inline constexpr int64_t kMaxBundleFileBytes = int64_t{1} << 30;
inline constexpr int64_t kMaxBundleBytes = int64_t{4} << 30;
inline constexpr size_t kMaxConfigText = 1 << 20;   // one file that the grammar may read
inline constexpr size_t kMaxConfigTexts = 8 << 20;  // all of them together

struct BundleFile {
  std::string path;
  base::Digest digest;
  int64_t size = 0;
  bool executable = false;
};

struct Bundle {
  std::string id;
  std::string commit;  // "" outside git
  bool dirty = false;  // the files are not exactly that commit's
  int64_t files = 0;
  int64_t bytes = 0;
  int64_t created_us = 0;
};

// --- on the side of the person's folder (CLI) -----------------------------------------------------------------------

struct CollectedBundle {
  std::vector<BundleFile> files;  // by path
  std::string commit;
  bool dirty = false;
  bool git = false;
};
// In git: tracked plus un-ignored files; else every file but caches and environments. Reads and hashes them.
base::Result<CollectedBundle> collect_bundle(const base::Path& folder);

// --- on the server's side -------------------------------------------------------------------------------------------

std::string bundle_id(std::vector<BundleFile> files);
base::Result<void> check_bundle(const std::vector<BundleFile>& files);  // paths, limits, duplicates

// Idempotent. Every blob must be known to the store already (`blobs` answers that before the transaction).
base::Result<Bundle> create_bundle(store::Tx& tx, const std::vector<BundleFile>& files, std::string_view commit,
                                   bool dirty);
base::Result<Bundle> get_bundle(store::Tx& tx, std::string_view id);
std::vector<BundleFile> bundle_files(store::Tx& tx, std::string_view id);

// The YAML and JSON files that lathe.yaml's grammar may read, by path.
base::Result<std::map<std::string, std::string>> read_config_texts(blob::BlobStore& blobs,
                                                                   const std::vector<BundleFile>& files);

}  // namespace loop
