// Files of runs and models of another server, read from folders that the operator named and from nowhere else: paths
// are opened below such a root by the kernel's own check (openat2 RESOLVE_BENEATH), symbolic links are left out.
// Thread: the command's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"

namespace cli {

class ImportTarget;

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

// Hands files to the target; what the artifact table has already is not read again.
class ArtifactImporter {
 public:
  explicit ArtifactImporter(ImportTarget& target) : target_(target) {}
  void add(const ArtifactFolder& from, const std::string& root);
  void flush();
  const ArtifactCounts& counts() const { return counts_; }

 private:
  void walk(int dir, const std::string& prefix, const std::string& root, int depth);
  void take(int dir, const std::string& name, const std::string& path, const std::string& root);

  ImportTarget& target_;
  std::vector<std::string> here_;  // paths of the root that is walked, in order
  ArtifactCounts counts_;
};

}  // namespace cli
