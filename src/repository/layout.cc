#include "repository/layout.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/hash.h"

namespace repository {
namespace {

namespace fs = std::filesystem;

// A folder named by a positive number without leading zeros; 0: it is none.
int64_t version_of(const std::string& name) {
  int64_t number = 0;
  const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool whole = ec == std::errc() && end == name.data() + name.size() && name.front() != '0';
  return whole && number > 0 ? number : 0;
}

template <class Each>
base::Result<void> walk(const base::Path& folder, Each each) {
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::follow_directory_symlink, error), end;
  size_t files = 0;
  for (; !error && at != end; at.increment(error)) {
    if (at.depth() > kMaxFolders) return base::invalid(folder.string() + " has folders nested too deeply");
    if (++files > kMaxFiles)
      return base::invalid(folder.string() + " has more than " + std::to_string(kMaxFiles) + " files");
    struct stat info{};
    if (::stat(at->path().c_str(), &info) == 0) each(at->path(), info);
  }
  if (error) return base::not_found(folder.string() + ": " + error.message());
  return {};
}

}  // namespace

base::Result<std::map<std::string, base::Path>> list_models(const base::Path& root) {
  std::map<std::string, base::Path> out;
  std::error_code error;
  fs::directory_iterator at(root, error), end;
  if (error) return base::not_found("model repository " + root.string() + ": " + error.message());
  for (; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    std::error_code unknown;
    if (!check_model_name(name) || !at->is_directory(unknown)) continue;
    if (out.size() >= kMaxModels)
      return base::invalid(root.string() + " has more than " + std::to_string(kMaxModels) + " models");
    out.emplace(name, at->path());
  }
  if (error) return base::not_found("model repository " + root.string() + ": " + error.message());
  return out;
}

base::Result<ModelLayout> look_at(const base::Path& folder) {
  ModelLayout out{.folder = folder};
  std::error_code error;
  if (!fs::is_directory(folder, error)) return base::not_found("there is no folder " + folder.string());
  std::vector<std::string> lines;
  TRY(walk(folder, [&](const base::Path& path, const struct stat& info) {
    const int64_t ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
    if (S_ISDIR(info.st_mode) && path.parent_path() == folder) {
      if (const int64_t version = version_of(path.filename().string()); version > 0) out.versions[version] = path;
    }
    if (S_ISREG(info.st_mode))
      lines.push_back(path.string() + '\n' + std::to_string(info.st_size) + '\n' + std::to_string(ns) + '\n' +
                      std::to_string(info.st_ino));
  }));
  std::ranges::sort(lines);
  std::string all;
  for (const auto& entry : out.versions) all += std::to_string(entry.first) + '\n';  // an empty folder counts, too
  for (const std::string& line : lines) all += line + '\n';
  out.stamp = base::sha256(all).hex();
  if (out.versions.empty() && !lines.empty() && !fs::exists(folder / "config.pbtxt", error)) out.versions[1] = folder;
  return out;
}

base::Result<ReadConfig> config_in(const base::Path& folder) {
  auto text = base::read_file(folder / "config.pbtxt", kMaxConfigBytes);
  if (text) return read_config(*text, (folder / "config.pbtxt").string());
  if (text.error().code == base::Code::kNotFound) return ReadConfig();
  return std::unexpected(std::move(text).error());
}

base::Result<std::map<int64_t, base::Path>> chosen_versions(const ModelConfig& config, const ModelLayout& layout) {
  const auto& policy = config.version_policy();
  std::map<int64_t, base::Path> out;
  if (policy.has_all()) {
    out = layout.versions;
  } else if (policy.has_specific()) {
    for (const int64_t version : policy.specific().versions()) {
      if (const auto found = layout.versions.find(version); found != layout.versions.end()) out.insert(*found);
    }
  } else {
    size_t wanted = policy.has_latest() ? policy.latest().num_versions() : 1;
    for (auto at = layout.versions.rbegin(); at != layout.versions.rend() && wanted > 0; ++at, --wanted)
      out.insert(*at);
  }
  if (!out.empty()) return out;
  if (!layout.versions.empty()) return base::invalid("the version policy serves none of the versions that are there");
  if (config.has_ensemble_scheduling()) return std::map<int64_t, base::Path>{{1, layout.folder}};
  return base::invalid("no version is there: a model's files lie in a folder 1, 2, … beside config.pbtxt");
}

uint64_t bytes_in(const base::Path& folder) {
  uint64_t bytes = 0;
  (void)walk(folder, [&](const base::Path&, const struct stat& info) {
    if (S_ISREG(info.st_mode)) bytes += static_cast<uint64_t>(info.st_size);
  });
  return bytes;
}

}  // namespace repository
