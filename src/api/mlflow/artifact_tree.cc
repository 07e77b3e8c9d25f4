#include "api/mlflow/artifact_tree.h"

#include <algorithm>
#include <map>

#include "base/fs.h"
#include "core/event.h"
#include "net/http.h"
#include "track/artifact_root.h"

namespace api::mlflow {

using base::Result;
using track::artifact_place;
using track::ArtifactPlace;

namespace {

constexpr std::string_view kTop = "mlflow";

// Adds the first part of a path below a folder: a file if it is the whole of it.
void add_child(std::map<std::string, Entry>& children, std::string_view below, int64_t size) {
  const size_t slash = below.find('/');
  const std::string name(below.substr(0, slash));
  Entry& entry = children[name];
  entry.name = name;
  if (slash != below.npos) {
    entry.is_dir = true;
  } else {
    entry.size = size;
  }
}

}  // namespace

std::vector<Entry> list_folder(store::Tx& tx, std::string_view path) {
  const ArtifactPlace place = artifact_place(path);
  std::map<std::string, Entry> children;
  const size_t skip = place.path.empty() ? 0 : place.path.size() + 1;
  for (const blob::Artifact& file : blob::list_artifacts(tx, place.root, place.path)) {
    add_child(children, std::string_view(file.path).substr(skip), file.size);
  }
  if (place.root == kTop) {  // above the folders of runs: their roots are what lies below
    const std::string folder = place.path.empty() ? std::string(kTop) : std::string(kTop) + "/" + place.path;
    for (const std::string& root : blob::list_roots(tx, folder)) {
      add_child(children, root.substr(folder.size() + 1) + "/", 0);
    }
  }
  std::vector<Entry> out;
  for (auto& [name, entry] : children) out.push_back(std::move(entry));
  return out;
}

Result<blob::Artifact> find_file(store::Tx& tx, std::string_view path) {
  const ArtifactPlace place = artifact_place(path);
  auto file = blob::get_artifact(tx, place.root, place.path);
  if (file) return file;
  if (!list_folder(tx, path).empty()) {
    return base::invalid("Artifact path refers to a directory, not a file: '" + std::string(path) + "'");
  }
  return base::not_found("No such artifact: '" + std::string(path) + "'");
}

Result<void> put_file(store::Tx& tx, std::string_view path, const blob::BlobInfo& info) {
  const ArtifactPlace place = artifact_place(path);
  if (place.path.empty()) return base::invalid("Invalid path: '" + std::string(path) + "' is a folder");
  for (size_t slash = place.path.find('/'); slash != std::string::npos; slash = place.path.find('/', slash + 1)) {
    if (blob::get_artifact(tx, place.root, std::string_view(place.path).substr(0, slash))) {
      return base::invalid("Invalid path: '" + std::string(path) + "' lies below a file");
    }
  }
  if (!blob::list_artifacts(tx, place.root, place.path).empty()) {
    return base::invalid("Invalid path: '" + std::string(path) + "' is a folder");
  }
  blob::Artifact file;
  file.root = place.root;
  file.path = place.path;
  file.size = info.size;
  file.digest = info.sha256;
  TRY(blob::register_upload(tx, info));  // its MD5 too
  TRY(blob::put_artifact(tx, file));
  core::emit(tx, "artifact.stored", "artifact", place.root, "{\"size\":" + std::to_string(info.size) + "}");
  return {};
}

Result<void> delete_tree(store::Tx& tx, std::string_view path) {
  const ArtifactPlace place = artifact_place(path);
  blob::delete_artifacts(tx, place.root, place.path);
  if (place.root == kTop && !place.path.empty()) {
    for (const std::string& root : blob::list_roots(tx, std::string(kTop) + "/" + place.path)) {
      blob::delete_artifacts(tx, root, "");
    }
  }
  core::emit(tx, "artifact.deleted", "artifact", place.root);
  return {};
}

Result<std::string> safe_path(std::string_view given) {
  const auto bad = [] { return base::invalid("Invalid path"); };
  // Whatever is still percent-encoded is decoded before it is judged.
  std::string path(given);
  for (int round = 0; path.find('%') != std::string::npos && round < 8; ++round) {
    const auto decoded = net::percent_decode(path, false);
    if (!decoded || *decoded == path) break;
    path = *decoded;
  }
  while (path.ends_with('/')) path.pop_back();
  if (path.empty()) return path;
  const bool control = std::ranges::any_of(path, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (control || path.find('#') != std::string::npos || !base::is_safe_relative_path(path)) return bad();
  return path;
}

}  // namespace api::mlflow
