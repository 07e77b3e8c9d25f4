#include "track/artifact_root.h"

#include "base/fs.h"

namespace track {

ArtifactPlace artifact_place(std::string_view path) {
  constexpr std::string_view kFolder = "artifacts";
  size_t at = 0;
  while (at < path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    // "artifacts" alone at the top is an ordinary folder: it belongs to no run.
    if (at > 0 && path.substr(at, slash - at) == kFolder) {
      return {.root = "mlflow/" + std::string(path.substr(0, slash)),
              .path = std::string(slash < path.size() ? path.substr(slash + 1) : "")};
    }
    at = slash + 1;
  }
  return {.root = "mlflow", .path = std::string(path)};
}

std::string path_of_artifact(const blob::Artifact& file) {
  constexpr std::string_view kTop = "mlflow/";
  return file.root.starts_with(kTop) ? file.root.substr(kTop.size()) + "/" + file.path : file.path;
}

std::optional<std::string> proxied_path(std::string_view uri) {
  constexpr std::string_view kScheme = "mlflow-artifacts:";
  constexpr std::string_view kRoute = "/api/2.0/mlflow-artifacts/artifacts/";
  std::string_view path;
  if (uri.starts_with(kScheme)) {
    path = uri.substr(kScheme.size());
    if (path.starts_with("//")) {  // a host: it can only be this server
      const size_t slash = path.find('/', 2);
      path = slash == path.npos ? std::string_view() : path.substr(slash);
    }
  } else if (uri.starts_with("http://") || uri.starts_with("https://")) {
    const size_t route = uri.find(kRoute);
    if (route == uri.npos) return std::nullopt;
    path = uri.substr(route + kRoute.size());
  } else {
    return std::nullopt;
  }
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (!path.empty() && !base::is_safe_relative_path(path)) return std::nullopt;
  return std::string(path);
}

}  // namespace track
