// What the source of a new model version may be. A client names a URI; it is taken only where the caller also names the
// run or logged model that holds it, so that a version never points into somebody else's files by accident or intent.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "store/tx.h"
#include "track/artifact_root.h"
#include "track/registered.h"

namespace track {

struct VersionSource {
  std::string source;       // with an alias or stage resolved to a version
  std::string storage_uri;  // where the files are
  std::string run_id;
  std::string model_id;
  std::optional<ArtifactPlace> place;  // of storage_uri, if it is in our store
};

base::Result<VersionSource> resolve_source(store::Tx& tx, const VersionRequest& request);

}  // namespace track
