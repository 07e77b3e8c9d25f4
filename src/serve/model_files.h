// Model files as plain folders: the artifacts of a version laid out under DIR/models/<key>/files (hard links to their
// blobs), beside its transform.json. The key is a hash of what lies inside, so equal versions share one folder, and a
// folder that exists is complete. A marker says that the model was tried in a child and did not crash.
//
// Thread: one caller at a time (the runtime's lock).
#pragma once

#include <string>

#include "base/fs.h"
#include "base/result.h"
#include "serve/endpoint.h"
#include "serve/source.h"

namespace serve {

class ModelFiles {
 public:
  ModelFiles(Source& source, base::Path dir) : source_(source), dir_(std::move(dir)) {}

  struct Folder {
    std::string key;
    base::Path files;
    base::Path transform;  // "" if the revision has none
    base::Path tried;      // the marker
    uint64_t bytes = 0;    // of the files
  };
  base::Result<Folder> materialise(int64_t project, const Revision& revision);
  base::Result<void> remove(const std::string& key) { return base::remove_tree(dir_ / key); }
  base::Result<void> remove_all_but(const std::vector<std::string>& keys);  // at start: leftovers of a former process

 private:
  base::Result<void> place(const blob::Artifact& artifact, const base::Path& folder);
  Source& source_;
  const base::Path dir_;
};

}  // namespace serve
