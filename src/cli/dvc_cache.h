// DVC's local cache, so that `dvc status`, `dvc push` and `dvc checkout` know what a run made: objects named by MD5,
// folders as lists of their files. Thread: one at a time. Blocks.
#pragma once

#include <string>

#include "base/fs.h"
#include "base/result.h"

namespace cli {

class DvcCache {
 public:
  // Of the project whose folder has `.dvc`: cache.dir of .dvc/config.local, else of .dvc/config, else .dvc/cache.
  static base::Result<DvcCache> open(const base::Path& project);

  const base::Path& dir() const { return dir_; }
  // The file's bytes as an object; kConflict if they are not those of `md5` any more. What is there already stays.
  base::Result<void> add_file(const base::Path& file, const std::string& md5) const;
  base::Result<void> add_folder(const std::string& list) const;  // flow::dvc_folder_object; after its files

 private:
  explicit DvcCache(base::Path dir) : dir_(std::move(dir)) {}
  base::Path object(const std::string& name) const { return dir_ / "files/md5" / name.substr(0, 2) / name.substr(2); }

  base::Path dir_;
};

}  // namespace cli
