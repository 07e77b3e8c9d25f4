// The folder that an export writes: every path is resolved below it by the kernel (openat2 RESOLVE_BENEATH, no symbolic
// links), so that no name that a store holds and no link that lies there leads outside. Files are new or replaced
// whole; what belongs together is made in a part folder and moved to its place by one rename. Errors of the disk are
// thrown as Failure; a name that a folder cannot hold is answered. Thread: the command's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "base/result.h"

namespace cli {

class ExportTree {
 public:
  // Made if absent. One that holds anything is taken only if an export of the same source (`mark`) made it.
  ExportTree(const base::Path& dir, std::string_view mark);

  const base::Path& path() const { return path_; }  // absolute
  std::string uri(std::string_view below) const;    // file:///…

  bool exists(const std::string& path) const;
  void make_dirs(const std::string& path);
  // A new file, its folders made. kInvalid: the name is too long, or another name is in its way.
  base::Result<base::Fd> create(const std::string& path);
  base::Result<void> write(const std::string& path, std::string_view bytes);
  // Appears at once or not at all; a file that is there already is replaced.
  void replace(const std::string& path, std::string_view bytes);
  void move(const std::string& from, const std::string& to);
  void remove(const std::string& path);  // a folder with all that is in it; absent is fine
  void sync();                           // everything so far is on disk

 private:
  base::Fd parent_of(const std::string& path, std::string& name) const;  // none: errno says why

  base::Path path_;
  base::Fd root_;
  std::optional<base::FileLock> lock_;  // one export at a time
};

}  // namespace cli
