#include "blob/plain_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/ids.h"
#include "blob/temp_file.h"

namespace blob {

using base::Fd;
using base::Result;

namespace {

constexpr std::string_view kUploads = ".lathe-uploads";  // files being written; never listed, found or removed
constexpr size_t kCopyBytes = size_t{1} << 20;

Result<Fd> open_beneath(int folder, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0;; ++tries) {
    const long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // A rename elsewhere in the tree while the path was walked.
    if ((errno == EAGAIN || errno == EINTR) && tries < 100) continue;
    const int error = errno;
    if (error == ENOSYS)
      return base::fail(base::Code::kUnsupported, "plain folders of files need Linux 5.6 or newer (openat2)");
    if (error == ENOENT || error == ELOOP || error == EXDEV || error == ENOTDIR || error == ENXIO)
      return base::not_found("there is no '" + path + "'");
    return base::errno_error("opening '" + path + "'", error);
  }
}

bool is_hidden(std::string_view path) { return path.substr(0, path.find('/')) == kUploads; }

Result<std::string> checked(std::string_view path) {
  if (path.empty()) return std::string(".");
  if (!base::is_safe_relative_path(path)) return base::invalid("'" + std::string(path) + "' is not a path");
  if (is_hidden(path)) return base::not_found("there is no '" + std::string(path) + "'");
  return std::string(path);
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<std::vector<std::string>> names_in(Fd folder) {
  const std::unique_ptr<DIR, DirCloser> dir(::fdopendir(folder.get()));
  if (!dir) return base::errno_error("reading a folder", errno);
  (void)folder.release();  // closed with the DIR
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || name == kUploads) continue;
    names.emplace_back(name);
    if (names.size() > PlainFolder::kMaxListed)
      return base::fail(base::Code::kTooLarge,
                        "a folder with more than " + std::to_string(PlainFolder::kMaxListed) + " entries");
  }
  std::ranges::sort(names);
  return names;
}

std::optional<PlainFolder::Entry> entry_of(std::string name, const struct stat& info) {
  if (S_ISDIR(info.st_mode)) return PlainFolder::Entry{std::move(name), true, 0};
  if (S_ISREG(info.st_mode)) return PlainFolder::Entry{std::move(name), false, info.st_size};
  return std::nullopt;
}

Result<void> copy(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};  // a file system that shares the bytes until one is changed
  off_t at = 0;
  std::string buffer(kCopyBytes, 0);
  while (true) {
    const ssize_t n = ::pread(from, buffer.data(), buffer.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::errno_error("reading an upload", errno);
    if (n == 0) return {};
    TRY(base::write_all(to, {buffer.data(), static_cast<size_t>(n)}));
    at += n;
  }
}

Result<void> remove_below(int folder, const std::string& name, int depth) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return base::errno_error("removing '" + name + "'", errno);
  if (depth == 0) return base::invalid("the folder is deeper than " + std::to_string(PlainFolder::kMaxDepth));
  auto below = open_beneath(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!below) return std::unexpected(below.error());
  Fd reading(::fcntl(below->get(), F_DUPFD_CLOEXEC, 0));
  if (!reading) return base::errno_error("reading a folder", errno);
  TRY_SET(const auto names, names_in(std::move(reading)));
  for (const std::string& one : names) TRY(remove_below(below->get(), one, depth - 1));
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && errno != ENOTEMPTY)
    return base::errno_error("removing '" + name + "'", errno);
  return {};
}

}  // namespace

Result<std::shared_ptr<const PlainFolder>> PlainFolder::open_root(const base::Path& dir) {
  // The operator's own path may lead through links; what lies below it may not.
  TRY_SET(Fd root, base::open_file(dir, O_RDONLY | O_DIRECTORY));
  TRY(open_beneath(root.get(), ".", O_PATH | O_DIRECTORY));
  return std::shared_ptr<const PlainFolder>(new PlainFolder(dir, std::move(root)));
}

Result<std::shared_ptr<const PlainFolder>> PlainFolder::open(const base::Path& dir) {
  TRY(base::make_dirs(dir / kUploads));
  TRY(remove_leftovers(dir / kUploads));
  return open_root(dir);
}

Result<std::shared_ptr<const PlainFolder>> PlainFolder::open_to_read(const base::Path& dir) {
  TRY(base::make_dirs(dir));
  return open_root(dir);
}

Result<Fd> PlainFolder::open_below(std::string_view path, int flags) const {
  TRY_SET(const std::string below, checked(path));
  return open_beneath(root_.get(), below, flags);
}

Result<PlainFolder::Entry> PlainFolder::find(std::string_view path) const {
  TRY_SET(const Fd fd, open_below(path, O_PATH | O_NOFOLLOW));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return base::errno_error("looking at a file", errno);
  auto entry = entry_of(std::string(path.substr(path.rfind('/') + 1)), info);
  if (!entry) return base::not_found("there is no '" + std::string(path) + "'");
  return std::move(*entry);
}

Result<std::vector<PlainFolder::Entry>> PlainFolder::list(std::string_view path) const {
  auto folder = open_below(path, O_RDONLY | O_DIRECTORY);
  if (!folder && folder.error().code == base::Code::kNotFound) return std::vector<Entry>();
  if (!folder) return std::unexpected(folder.error());
  Fd reading(::fcntl(folder->get(), F_DUPFD_CLOEXEC, 0));
  if (!reading) return base::errno_error("reading a folder", errno);
  TRY_SET(auto names, names_in(std::move(reading)));
  std::vector<Entry> out;
  for (std::string& name : names) {
    struct stat info{};
    if (::fstatat(folder->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    if (auto entry = entry_of(std::move(name), info)) out.push_back(std::move(*entry));
  }
  return out;
}

Result<Fd> PlainFolder::open_file(std::string_view path) const {
  // Without O_NONBLOCK a pipe that somebody put there would hold this thread for ever.
  TRY_SET(Fd fd, open_below(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return base::errno_error("looking at a file", errno);
  if (!S_ISREG(info.st_mode)) return base::not_found("there is no file '" + std::string(path) + "'");
  return fd;
}

Result<Fd> PlainFolder::make_folder(std::string_view path) const {
  TRY_SET(Fd at, open_beneath(root_.get(), ".", O_RDONLY | O_DIRECTORY));
  while (!path.empty()) {
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    const bool made = ::mkdirat(at.get(), name.c_str(), 0777) == 0;
    if (!made && errno != EEXIST) return base::errno_error("making the folder '" + name + "'", errno);
    if (made && ::fsync(at.get()) != 0) return base::errno_error("making the folder '" + name + "'", errno);
    auto below = open_beneath(at.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!below && below.error().code == base::Code::kNotFound)
      return base::invalid("'" + name + "' is no folder in the artifacts' destination");
    if (!below) return std::unexpected(below.error());
    at = std::move(*below);
  }
  return at;
}

Result<void> PlainFolder::put(std::string_view path, const Fd& from) const {
  if (path.empty()) return base::invalid("a file needs a name");
  TRY_SET(const std::string whole, checked(path));
  const size_t slash = whole.rfind('/');
  const std::string name = slash == whole.npos ? whole : whole.substr(slash + 1);
  TRY_SET(const Fd folder, make_folder(slash == whole.npos ? "" : std::string_view(whole).substr(0, slash)));
  TRY_SET(const TempFile temp, make_temp_file(dir_ / kUploads));
  const auto give_up = [&](base::Error error) -> Result<void> {
    ::unlink(temp.path.c_str());
    return std::unexpected(std::move(error));
  };
  if (auto copied = copy(from.get(), temp.fd.get()); !copied) return give_up(copied.error());
  if (::fchmod(temp.fd.get(), 0644) != 0 || ::fsync(temp.fd.get()) != 0 ||
      ::renameat(AT_FDCWD, temp.path.c_str(), folder.get(), name.c_str()) != 0) {
    const int error = errno;
    if (error == EISDIR) return give_up(base::invalid("'" + whole + "' is a folder").error());
    return give_up(base::errno_error("writing '" + whole + "'", error).error());
  }
  if (::fsync(folder.get()) != 0) return base::errno_error("writing '" + whole + "'", errno);
  return {};
}

Result<void> PlainFolder::remove(std::string_view path) const {
  if (path.empty()) return base::invalid("the whole destination is not removed");
  TRY_SET(const std::string whole, checked(path));
  const size_t slash = whole.rfind('/');
  auto folder = open_below(slash == whole.npos ? "" : std::string_view(whole).substr(0, slash), O_RDONLY | O_DIRECTORY);
  if (!folder && folder.error().code == base::Code::kNotFound) return {};
  if (!folder) return std::unexpected(folder.error());
  TRY(remove_below(folder->get(), slash == whole.npos ? whole : whole.substr(slash + 1), kMaxDepth));
  if (::fsync(folder->get()) != 0) return base::errno_error("removing '" + whole + "'", errno);
  return {};
}

}  // namespace blob
