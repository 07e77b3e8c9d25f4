// Where the files behind an MLflow URI lie: a root of the artifact table and a path below it.
//
// Everything up to and including the first segment "artifacts" is the root: mlflow-artifacts:/1/<run>/artifacts/a/b is
// root "mlflow/1/<run>/artifacts", path "a/b". Files outside any such folder lie under root "mlflow".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"

namespace track {

struct ArtifactPlace {
  std::string root;
  std::string path;  // "": the root itself
};

ArtifactPlace artifact_place(std::string_view proxied_path);  // a safe relative path, or ""

std::string path_of_artifact(const blob::Artifact& file);  // the way back

// The proxied path of a URI that points into our own store (mlflow-artifacts:/a/b, mlflow-artifacts://host/a/b,
// http://…/api/2.0/mlflow-artifacts/artifacts/a/b); nullopt for any other URI and for an unsafe path.
std::optional<std::string> proxied_path(std::string_view uri);

}  // namespace track
