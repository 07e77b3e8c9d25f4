#include "base/fs.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "base/ids.h"

namespace base {

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Fd> open_file(const Path& path, int flags, int mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return errno_error(path.string(), errno);
  return Fd(fd);
}

Result<std::string> read_file(const Path& path, size_t max_bytes) {
  TRY_SET(Fd fd, open_file(path, O_RDONLY));
  std::string out;
  struct stat info;
  if (fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode)) {
    if (size_t(info.st_size) > max_bytes) {
      return fail(Code::kTooLarge, path.string() + " has " + std::to_string(info.st_size) + " bytes, at most " +
                                       std::to_string(max_bytes) + " are read");
    }
    out.reserve(size_t(info.st_size));
  }
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(path.string(), errno);
    if (n == 0) return out;
    if (out.size() + size_t(n) > max_bytes)
      return fail(Code::kTooLarge, path.string() + " has more than " + std::to_string(max_bytes) + " bytes");
    out.append(buffer, size_t(n));
  }
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("write", errno);
    bytes.remove_prefix(size_t(n));
  }
  return {};
}

Result<void> fsync_dir(const Path& dir) {
  TRY_SET(Fd fd, open_file(dir, O_RDONLY | O_DIRECTORY));
  if (fsync(fd.get()) != 0) return errno_error(dir.string(), errno);
  return {};
}

Result<void> write_file_durably(const Path& path, std::string_view bytes, int mode) {
  const Path temp = path.string() + ".tmp." + random_hex(system_random(), 6);
  const auto write = [&]() -> Result<void> {
    TRY_SET(Fd fd, open_file(temp, O_WRONLY | O_CREAT | O_EXCL, mode));
    TRY(write_all(fd.get(), bytes));
    if (fsync(fd.get()) != 0) return errno_error(temp.string(), errno);
    if (::rename(temp.c_str(), path.c_str()) != 0) return errno_error(path.string(), errno);
    return fsync_dir(path.has_parent_path() ? path.parent_path() : Path("."));
  };
  auto done = write();
  if (!done) ::unlink(temp.c_str());
  return done;
}

Result<void> make_dirs(const Path& dir, int mode) {
  std::error_code error;
  if (std::filesystem::is_directory(dir, error)) return {};
  if (dir.has_parent_path() && dir.parent_path() != dir) TRY(make_dirs(dir.parent_path(), mode));
  if (::mkdir(dir.c_str(), mode_t(mode)) != 0 && errno != EEXIST) return errno_error(dir.string(), errno);
  return {};
}

Result<void> remove_tree(const Path& dir) {
  std::error_code error;
  std::filesystem::remove_all(dir, error);
  if (error) return errno_error(dir.string(), error.value());
  return {};
}

Result<Path> make_temp_dir(const Path& parent, std::string_view prefix) {
  std::string pattern = (parent / (std::string(prefix) + "XXXXXX")).string();
  if (!::mkdtemp(pattern.data())) return errno_error(pattern, errno);
  return Path(pattern);
}

Result<Path> executable_path() {
  std::error_code error;
  Path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return errno_error("/proc/self/exe", error.value());
  return path;
}

bool is_safe_relative_path(std::string_view path) {
  if (path.empty() || path.size() > 4096 || path.front() == '/') return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return path.find('\0') == std::string_view::npos && path.find('\\') == std::string_view::npos;
}

Result<FileLock> FileLock::acquire(const Path& path, std::string_view holder_text) {
  TRY_SET(Fd fd, open_file(path, O_RDWR | O_CREAT, 0644));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error(path.string(), errno);
    auto holder = read_file(path, 4096);
    return fail(Code::kConflict,
                path.string() + " is held by " + (holder && !holder->empty() ? *holder : "another process"));
  }
  if (ftruncate(fd.get(), 0) != 0) return errno_error(path.string(), errno);
  TRY(write_all(fd.get(), holder_text));
  return FileLock(std::move(fd));
}

}  // namespace base
