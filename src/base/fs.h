// Files that must last: temp, fsync, rename, fsync of the folder. And the small tools around them.
// Thread: free functions are safe anywhere; Fd and FileLock belong to one owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace base {

// Owns a file descriptor. All descriptors of Lathe are O_CLOEXEC.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

using Path = std::filesystem::path;

Result<Fd> open_file(const Path& path, int flags, int mode = 0644);  // adds O_CLOEXEC
Result<std::string> read_file(const Path& path, size_t max_bytes = size_t{64} << 20);
Result<void> write_all(int fd, std::string_view bytes);
Result<void> write_file_durably(const Path& path, std::string_view bytes, int mode = 0644);
Result<void> fsync_dir(const Path& dir);
Result<void> make_dirs(const Path& dir, int mode = 0755);
Result<void> remove_tree(const Path& dir);  // absent is fine; does not follow links
Result<Path> make_temp_dir(const Path& parent, std::string_view prefix);
Result<Path> executable_path();  // of this binary

// "a/b/c": no empty, "." or ".." part, no leading '/', no NUL or backslash. What every path from outside must pass.
bool is_safe_relative_path(std::string_view path);

// An exclusive flock on a file, held until destroyed (or until the process ends, however it ends).
class FileLock {
 public:
  // kConflict if another process holds it; the message then carries the file's text (who holds it).
  static Result<FileLock> acquire(const Path& path, std::string_view holder_text);

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace base
