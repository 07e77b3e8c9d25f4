// What lies in a repository: models, their versions and configuration files, and a stamp that changes when a file does.
// Only looks. Thread: free functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "repository/config.h"

namespace repository {

inline constexpr size_t kMaxModels = 10'000;
inline constexpr size_t kMaxFiles = 10'000;  // of one model
inline constexpr int kMaxFolders = 16;       // within each other

struct ModelLayout {
  base::Path folder;
  std::map<int64_t, base::Path> versions;  // every one there is; a plain model folder is version 1 of itself
  std::string stamp;                       // of all files' names, sizes and times
};

// <root>/<model>/…: by name; what is hidden or no folder is passed over.
base::Result<std::map<std::string, base::Path>> list_models(const base::Path& root);
// <folder>/<version>/… beside config.pbtxt, or a folder that holds a model itself (MLmodel or a model's file).
base::Result<ModelLayout> look_at(const base::Path& folder);
// From config.pbtxt, if there is one; else empty.
base::Result<ReadConfig> config_in(const base::Path& folder);
// Those that the policy serves, of those there are; kInvalid if none is left.
base::Result<std::map<int64_t, base::Path>> chosen_versions(const ModelConfig& config, const ModelLayout& layout);
uint64_t bytes_in(const base::Path& folder);

}  // namespace repository
