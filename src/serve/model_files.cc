#include "serve/model_files.h"

#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "base/hash.h"

namespace serve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 10'000;  // of one model

std::string key_of(const std::vector<blob::Artifact>& files, const std::string& transform) {
  std::string text = transform;
  for (const blob::Artifact& file : files) {
    text += '\n' + file.path + '\0' + file.digest.hex() + file.address + std::to_string(file.size);
  }
  return base::sha256(text).hex().substr(0, 32);
}

}  // namespace

base::Result<void> ModelFiles::place(const blob::Artifact& artifact, const base::Path& folder) {
  if (!base::is_safe_relative_path(artifact.path))
    return base::invalid("model file '" + artifact.path + "' has an unsafe path");
  const base::Path target = folder / artifact.path;
  TRY(base::make_dirs(target.parent_path()));
  base::Path source;
  blob::BlobStore::LocalFile blob;  // held while it is linked or copied
  switch (artifact.location) {
    case blob::Location::kBlob: {
      TRY_SET(blob, source_.local_file(artifact.digest));
      source = blob.path;
      break;
    }
    case blob::Location::kPlainFolder: source = artifact.address; break;
    default:
      return base::fail(base::Code::kUnsupported, "model file '" + artifact.path +
                                                      "' lies outside this server's own storage (" + artifact.address +
                                                      "); only stored files can be served");
  }
  // Blobs never change, so a link is as good as a copy; a plain file may change under us and is copied.
  if (artifact.location == blob::Location::kBlob && ::link(source.c_str(), target.c_str()) == 0) return {};
  std::error_code error;
  if (!fs::copy_file(source, target, error)) {
    return base::internal("model file '" + artifact.path + "' could not be laid out: " + error.message());
  }
  return {};
}

base::Result<ModelFiles::Folder> ModelFiles::materialise(int64_t project, const Revision& revision) {
  TRY_SET(const auto files, source_.files_of(project, revision));
  if (files.empty()) {
    return base::not_found("model " + revision.model_name + " version " + std::to_string(revision.model_version) +
                           " has no files (artifact root '" + revision.artifact_root + "')");
  }
  if (files.size() > kMaxFiles) {
    return base::invalid("the model has " + std::to_string(files.size()) + " files; at most " +
                         std::to_string(kMaxFiles) + " are allowed");
  }
  const std::string key = key_of(files, revision.transform_digest);
  const base::Path folder = dir_ / key;
  Folder out{.key = key, .files = folder / "files", .tried = folder / "tried"};
  if (!revision.transform_digest.empty()) out.transform = folder / "transform.json";
  for (const blob::Artifact& file : files) out.bytes += static_cast<uint64_t>(file.size);
  std::error_code error;
  if (fs::exists(folder, error)) return out;

  TRY(base::make_dirs(dir_));
  TRY_SET(const base::Path temp, base::make_temp_dir(dir_, "new-"));
  const auto laid_out = [&]() -> base::Result<void> {
    for (const blob::Artifact& file : files) TRY(place(file, temp / "files"));
    if (out.transform.empty()) return {};
    TRY_SET(const base::Digest digest, base::Digest::from_hex(base::HashAlgo::kSha256, revision.transform_digest));
    return place({.path = "transform.json", .digest = digest}, temp);
  }();
  if (!laid_out) {
    (void)base::remove_tree(temp);
    return std::unexpected(laid_out.error());
  }
  fs::rename(temp, folder, error);  // not fsynced: after a power cut it is made again from the blobs
  if (error) return base::internal("model folder could not be put in place: " + error.message());
  return out;
}

base::Result<void> ModelFiles::remove_all_but(const std::vector<std::string>& keys) {
  std::error_code error;
  std::vector<base::Path> leftovers;
  for (const auto& entry : fs::directory_iterator(dir_, error)) {
    if (std::ranges::find(keys, entry.path().filename().string()) == keys.end()) leftovers.push_back(entry.path());
  }
  for (const base::Path& path : leftovers) TRY(base::remove_tree(path));
  return {};
}

}  // namespace serve
