#include "api/mlflow/places.h"

#include "api/mlflow/artifact_tree.h"
#include "net/http.h"
#include "track/artifact_root.h"

namespace api::mlflow {

using base::Result;

std::optional<std::string> local_path_of(std::string_view uri) {
  std::string path;
  if (uri.starts_with("file:")) {
    uri.remove_prefix(5);
    if (uri.starts_with("//localhost/")) uri.remove_prefix(11);
    if (uri.starts_with("///")) uri.remove_prefix(2);
    if (uri.starts_with("//")) return std::nullopt;  // another host's
    auto plain = net::percent_decode(uri, false);
    if (!plain) return std::nullopt;
    path = std::move(*plain);
  } else {
    path = uri;
  }
  while (path.ends_with('/')) path.pop_back();
  if (!path.starts_with('/') || !base::is_safe_relative_path(std::string_view(path).substr(1))) return std::nullopt;
  return path;
}

Result<Places> Places::make(const std::string& destination, const std::string& root) {
  Places places;
  if (!destination.empty()) {
    const auto path = local_path_of(destination);
    if (!path) return base::invalid("'" + destination + "' is no folder for artifacts");
    TRY_SET(places.destination, blob::PlainFolder::open(*path));
  }
  if (const auto path = local_path_of(root)) {
    TRY_SET(places.local, blob::PlainFolder::open_to_read(*path));
    places.local_path = *path;
  }
  return places;
}

Result<Spot> spot_of(const Places& places, std::string_view uri, std::string_view relative) {
  TRY_SET(const std::string below, safe_path(relative));
  const auto joined = [&](std::string root) {
    if (below.empty()) return root;
    return root.empty() ? below : root + "/" + below;
  };
  if (const auto root = track::proxied_path(uri)) return Spot{false, joined(*root)};
  if (places.local) {
    const auto path = local_path_of(uri);
    if (path && path->size() > places.local_path.size() && path->starts_with(places.local_path) &&
        (*path)[places.local_path.size()] == '/')
      return Spot{true, joined(path->substr(places.local_path.size() + 1))};
  }
  return base::invalid("The artifacts are at " + std::string(uri) +
                       ", which is not in this server's artifact store; ask there.");
}

Result<void> put_plain(const Places& places, blob::BlobStore& blobs, std::string_view path,
                       const base::Digest& digest) {
  if (!places.destination) return {};
  TRY_SET(const base::Fd fd, blobs.open_blob(digest));
  return places.destination->put(path, fd);
}

}  // namespace api::mlflow
