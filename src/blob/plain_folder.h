// A folder of plain files under their own paths, which other programs may read and fill too. Every open is by openat2
// beneath the folder: no "..", no symbolic link (its own or in the middle) and no magic link leads anywhere, whatever
// somebody puts there. What is neither a file nor a folder is not there.
//
// Thread: safe anywhere; calls block on the disk. A file appears whole: temp, fsync, rename, fsync of its folder.
// Errors: kNotFound; kInvalid for a path that is none, or where a file stands in the way of a folder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"

namespace blob {

class PlainFolder {
 public:
  static constexpr size_t kMaxListed = 100'000;  // entries of one listing
  static constexpr int kMaxDepth = 64;           // of a tree that is removed

  // kUnsupported where the kernel has no openat2. The folder is made if it is not there.
  static base::Result<std::shared_ptr<const PlainFolder>> open(const base::Path& dir);
  // Only to be read: nothing is made in it.
  static base::Result<std::shared_ptr<const PlainFolder>> open_to_read(const base::Path& dir);

  struct Entry {
    std::string name;
    bool is_folder = false;
    int64_t size = 0;
  };
  base::Result<Entry> find(std::string_view path) const;
  base::Result<std::vector<Entry>> list(std::string_view path) const;  // by name; empty where there is no folder
  base::Result<base::Fd> open_file(std::string_view path) const;       // to read

  base::Result<void> put(std::string_view path, const base::Fd& from) const;  // a copy of all of `from`
  base::Result<void> remove(std::string_view path) const;                     // a file or a tree; gone already is fine

  const base::Path& dir() const { return dir_; }

 private:
  PlainFolder(base::Path dir, base::Fd root) : dir_(std::move(dir)), root_(std::move(root)) {}
  static base::Result<std::shared_ptr<const PlainFolder>> open_root(const base::Path& dir);
  base::Result<base::Fd> open_below(std::string_view path, int flags) const;
  base::Result<base::Fd> make_folder(std::string_view path) const;

  const base::Path dir_;
  const base::Fd root_;
};

}  // namespace blob
