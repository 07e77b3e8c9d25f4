// Moving a data version's files between a folder and the server, for the commands on data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "cli/api.h"

namespace cli {

// A folder that goes when the command ends, however it ends.
class ScratchDir {
 public:
  explicit ScratchDir(std::string_view prefix);
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  const base::Path& path() const { return path_; }

 private:
  base::Path path_;
};

struct UploadedFile {
  std::string path, digest;
  int64_t size = 0;
};
// Puts what the server does not have yet; answers all, in the order given.
std::vector<UploadedFile> upload(Api& api, const base::Path& dir, const std::vector<std::string>& paths);

// One file of a version ("digits", "latest"), to `to`.
void download(Api& api, const std::string& name, const std::string& version, const std::string& path,
              const base::Path& to);

}  // namespace cli
