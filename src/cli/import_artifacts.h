// Files of runs and models of another server, read from folders that the operator named and from nowhere else: paths
// are opened below such a root by the kernel's own check (openat2 RESOLVE_BENEATH), symbolic links are left out.
// Thread: the command's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "blob/blob.h"
#include "store/store.h"

namespace cli {

struct ArtifactFolder {
  base::Path root;   // one of the roots
  std::string path;  // below it; "": the root itself
};

class ArtifactRoots {
 public:
  // `relative_to`: what a relative path of the source means.
  ArtifactRoots(std::vector<base::Path> roots, base::Path relative_to);
  // Where the files behind an artifact URI lie; none: outside of all roots, or on another machine.
  std::optional<ArtifactFolder> find(std::string_view uri) const;
  bool empty() const { return roots_.empty(); }

 private:
  std::vector<base::Path> roots_;
  base::Path relative_to_;
};

// Whether a URI names a path of a machine (file:, or no scheme).
bool is_local_uri(std::string_view uri);

struct ArtifactCounts {
  int64_t found = 0, present = 0;  // files there, and those of them that were here
  int64_t stored = 0, bytes = 0;   // now
  int64_t links = 0;               // symbolic links, sockets, …: left out
};

// Stores files as blobs, many at a flush of the disk; what the artifact table has already is not read again.
class ArtifactImporter {
 public:
  ArtifactImporter(store::Store& store, blob::BlobStore& blobs, std::function<base::Context()> context)
      : store_(store), blobs_(blobs), context_(std::move(context)) {}
  void add(const ArtifactFolder& from, const std::string& root);
  void flush();
  const ArtifactCounts& counts() const { return counts_; }

 private:
  struct Pending {
    std::string root, path;
    std::unique_ptr<blob::BlobWriter> writer;
  };
  void walk(int dir, const std::string& prefix, const std::string& root, int depth);
  void take(int dir, const std::string& name, const std::string& path, const std::string& root);

  store::Store& store_;
  blob::BlobStore& blobs_;
  std::function<base::Context()> context_;
  std::vector<Pending> pending_;
  int64_t pending_bytes_ = 0;
  std::vector<std::pair<std::string, int64_t>> here_;  // of the root that is walked, by path
  ArtifactCounts counts_;
};

}  // namespace cli
