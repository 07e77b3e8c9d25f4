#include "api/mlflow/artifact_tree.h"

#include <algorithm>
#include <map>

#include "base/fs.h"
#include "blob/folder.h"
#include "core/event.h"
#include "net/http.h"
#include "track/artifact_root.h"
#include "track/registered.h"

namespace api::mlflow {

using base::Result;
using track::artifact_place;
using track::ArtifactPlace;

namespace {

constexpr std::string_view kTop = "mlflow";

}  // namespace

std::vector<Entry> list_folder(store::Tx& tx, std::string_view path) {
  const ArtifactPlace place = artifact_place(path);
  std::map<std::string, Entry> children;
  for (blob::FolderEntry& entry : blob::list_folder(tx, place.root, place.path))
    children[entry.name] = {.name = entry.name, .is_dir = entry.is_folder, .size = entry.size};
  if (place.root == kTop) {  // above the folders of runs: their roots are what lies below
    const std::string folder = place.path.empty() ? std::string(kTop) : std::string(kTop) + "/" + place.path;
    for (const std::string& root : blob::list_roots(tx, folder)) {
      const std::string name = root.substr(folder.size() + 1, root.find('/', folder.size() + 1) - folder.size() - 1);
      children[name] = {.name = name, .is_dir = true};
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
  if (blob::folder_exists(tx, place.root, place.path)) {
    return base::invalid("Artifact path refers to a directory, not a file: '" + std::string(path) + "'");
  }
  return base::not_found("No such artifact: '" + std::string(path) + "'");
}

Result<std::vector<Entry>> list_spot(store::Tx& tx, const Places& places, const Spot& spot) {
  std::map<std::string, Entry> all;
  const auto& folder = spot.local ? places.local : places.destination;
  if (folder) {
    TRY_SET(auto plain, folder->list(spot.path));
    for (auto& entry : plain) {
      const std::string name = entry.name;
      all[name] = {.name = std::move(entry.name), .is_dir = entry.is_folder, .size = entry.size};
    }
  }
  if (!spot.local) {
    std::vector<Entry> rows = list_folder(tx, spot.path);
    if (!folder) return rows;
    for (Entry& entry : rows) {
      const std::string name = entry.name;
      all[name] = std::move(entry);
    }
  }
  std::vector<Entry> out;
  for (auto& [name, entry] : all) out.push_back(std::move(entry));
  return out;
}

Result<blob::Artifact> find_spot(store::Tx& tx, const Places& places, const Spot& spot) {
  const auto& folder = spot.local ? places.local : places.destination;
  if (!spot.local) {
    auto file = find_file(tx, spot.path);
    if (file || file.error().code != base::Code::kNotFound || !folder) return file;
  }
  const auto found = folder->find(spot.path);
  if (!found && found.error().code == base::Code::kNotFound) {
    return base::not_found("No such artifact: '" + spot.path + "'");
  }
  if (!found) return std::unexpected(found.error());
  if (found->is_folder) {
    return base::invalid("Artifact path refers to a directory, not a file: '" + spot.path + "'");
  }
  blob::Artifact file;
  file.path = spot.path;
  file.size = found->size;
  file.location = blob::Location::kPlainFolder;
  file.address = spot.local ? "local" : "destination";
  return file;
}

Result<void> put_file(store::Tx& tx, std::string_view path, const blob::BlobInfo& info) {
  const ArtifactPlace place = artifact_place(path);
  if (place.path.empty()) return base::invalid("Invalid path: '" + std::string(path) + "' is a folder");
  for (size_t slash = place.path.find('/'); slash != std::string::npos; slash = place.path.find('/', slash + 1)) {
    if (blob::get_artifact(tx, place.root, std::string_view(place.path).substr(0, slash))) {
      return base::invalid("Invalid path: '" + std::string(path) + "' lies below a file");
    }
  }
  if (blob::folder_exists(tx, place.root, place.path)) {
    return base::invalid("Invalid path: '" + std::string(path) + "' is a folder");
  }
  TRY(track::check_root_is_open(tx, place.root));
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
  TRY(track::check_root_is_open(tx, place.root));
  blob::delete_artifacts(tx, place.root, place.path);
  if (place.root == kTop && !place.path.empty()) {
    for (const std::string& root : blob::list_roots(tx, std::string(kTop) + "/" + place.path)) {
      TRY(track::check_root_is_open(tx, root));
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
  const bool control =
      std::ranges::any_of(path, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (control || path.find('#') != std::string::npos || !base::is_safe_relative_path(path)) return bad();
  return path;
}

}  // namespace api::mlflow
