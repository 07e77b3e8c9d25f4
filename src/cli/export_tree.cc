#include "cli/export_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cli/command.h"

namespace cli {
namespace {

constexpr const char* kMarkFile = ".lathe-export";
constexpr size_t kMarkBytes = 4096;

[[noreturn]] void failed(const base::Path& path) {
  throw Failure(kRefused, base::errno_error(path.string(), errno).error().message);
}

base::Fd open_below(int dir, const std::string& path, int flags, int mode = 0) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = static_cast<uint64_t>(mode);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return base::Fd(static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how)));
}

void check_path(const std::string& path) {
  if (!base::is_safe_relative_path(path))
    throw Failure(kRefused, "'" + path + "' is no path below the export's folder");
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~' || c == '/';
}

}  // namespace

ExportTree::ExportTree(const base::Path& dir, std::string_view mark) {
  std::error_code error;
  path_ = std::filesystem::absolute(dir, error).lexically_normal();
  if (!path_.has_filename()) path_ = path_.parent_path();
  if (auto made = base::make_dirs(path_); !made) throw Failure(kRefused, made.error().message);
  path_ = std::filesystem::canonical(path_, error);
  if (error) throw Failure(kRefused, dir.string() + ": " + error.message());
  root_ = base::Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_) failed(path_);
  const base::Path file = path_ / kMarkFile;
  const bool made_before = std::filesystem::exists(file, error);
  if (!made_before && !std::filesystem::is_empty(path_, error))
    throw Failure(kUsage, path_.string() + " is not empty and no export made it: name a new folder");
  if (made_before) {
    const auto there = base::read_file(file, kMarkBytes);
    if (!there || (!there->empty() && *there != mark))
      throw Failure(kUsage, path_.string() + " holds the export of another store or project: name another folder");
  }
  auto lock = base::FileLock::acquire(file, mark);  // the text that it leaves is the mark
  if (!lock) throw Failure(kRefused, "another export writes to " + path_.string());
  lock_ = std::move(*lock);
}

std::string ExportTree::uri(std::string_view below) const {
  std::string out = "file://";
  for (const char c : path_.string() + "/" + std::string(below)) {
    if (is_unreserved(c)) {
      out += c;
      continue;
    }
    char text[4];
    std::snprintf(text, sizeof text, "%%%02X", static_cast<unsigned char>(c));
    out += text;
  }
  while (out.ends_with('/')) out.pop_back();
  return out;
}

base::Fd ExportTree::parent_of(const std::string& path, std::string& name) const {
  check_path(path);
  const size_t slash = path.rfind('/');
  name = slash == path.npos ? path : path.substr(slash + 1);
  return open_below(root_.get(), slash == path.npos ? "." : path.substr(0, slash), O_RDONLY | O_DIRECTORY);
}

bool ExportTree::exists(const std::string& path) const {
  std::string name;
  const base::Fd parent = parent_of(path, name);
  struct stat info{};
  return parent && ::fstatat(parent.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

void ExportTree::make_dirs(const std::string& path) {
  check_path(path);
  if (open_below(root_.get(), path, O_RDONLY | O_DIRECTORY)) return;
  if (errno != ENOENT) failed(path_ / path);
  if (const size_t slash = path.rfind('/'); slash != path.npos) make_dirs(path.substr(0, slash));
  std::string name;
  const base::Fd parent = parent_of(path, name);
  if (!parent || (::mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST)) failed(path_ / path);
}

base::Result<base::Fd> ExportTree::create(const std::string& path) {
  check_path(path);
  for (const size_t slash = path.rfind('/');;) {
    base::Fd file = open_below(root_.get(), path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (file) return file;
    switch (errno) {
      case EINTR:
      case EAGAIN: continue;
      case ENAMETOOLONG: return base::invalid("its name is too long for a file");
      case EEXIST:
      case EISDIR:
      case ENOTDIR: return base::invalid("another name is in its way as a file or folder");
      case ENOENT: break;
      default: failed(path_ / path);
    }
    if (slash == path.npos) failed(path_ / path);
    // The folders on the way, each of which may be too long itself or a file already.
    for (size_t at = path.find('/'); at != path.npos; at = path.find('/', at + 1)) {
      std::string name;
      const base::Fd parent = parent_of(path.substr(0, at), name);
      if (parent && (::mkdirat(parent.get(), name.c_str(), 0755) == 0 || errno == EEXIST)) continue;
      if (errno == ENAMETOOLONG) return base::invalid("its name is too long for a file");
      if (errno == ENOTDIR) return base::invalid("another name is in its way as a file or folder");
      failed(path_ / path);
    }
  }
}

base::Result<void> ExportTree::write(const std::string& path, std::string_view bytes) {
  TRY_SET(const base::Fd file, create(path));
  if (auto done = base::write_all(file.get(), bytes); !done) throw Failure(kRefused, done.error().message);
  return {};
}

void ExportTree::replace(const std::string& path, std::string_view bytes) {
  const std::string part = path + ".part";
  remove(part);
  if (auto done = write(part, bytes); !done) throw Failure(kRefused, part + ": " + done.error().message);
  move(part, path);
}

void ExportTree::move(const std::string& from, const std::string& to) {
  if (const size_t slash = to.rfind('/'); slash != to.npos) make_dirs(to.substr(0, slash));
  std::string from_name, to_name;
  const base::Fd from_dir = parent_of(from, from_name), to_dir = parent_of(to, to_name);
  if (!from_dir || !to_dir || ::renameat(from_dir.get(), from_name.c_str(), to_dir.get(), to_name.c_str()) != 0)
    failed(path_ / to);
}

void ExportTree::remove(const std::string& path) {
  std::string name;
  const base::Fd parent = parent_of(path, name);
  if (!parent) return;
  struct stat info{};
  if (::fstatat(parent.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (!S_ISDIR(info.st_mode)) {
    if (::unlinkat(parent.get(), name.c_str(), 0) != 0) failed(path_ / path);
    return;
  }
  const base::Path whole = "/proc/self/fd/" + std::to_string(parent.get()) + "/" + name;
  if (auto gone = base::remove_tree(whole); !gone) throw Failure(kRefused, gone.error().message);
}

void ExportTree::sync() {
  if (::syncfs(root_.get()) != 0) failed(path_);
}

}  // namespace cli
