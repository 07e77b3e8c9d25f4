#include "flow/workspace.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/utf8.h"

namespace flow {
namespace {

namespace fs = std::filesystem;

base::Result<void> copy_bytes(int from, int to, int64_t size, const base::Path& path) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  for (int64_t left = size; left > 0;) {
    const ssize_t n = ::copy_file_range(from, nullptr, to, nullptr, static_cast<size_t>(left), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0) {
      left -= n;
      continue;
    }
    if (n < 0 && left == size && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) break;
    return base::errno_error(path.string(), n < 0 ? errno : EIO);
  }
  if (::lseek(to, 0, SEEK_END) == size) return {};
  // The two file systems do not do it in the kernel.
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::errno_error(path.string(), errno);
    if (n == 0) return {};
    TRY(base::write_all(to, {buffer, static_cast<size_t>(n)}));
  }
}

class Builder {
 public:
  Builder(base::Path root, blob::BlobStore& blobs) : root_(std::move(root)), blobs_(blobs) {}

  base::Result<void> folder(const base::Path& relative) {
    if (relative.empty() || !made_.insert(relative.string()).second) return {};
    return base::make_dirs(root_ / relative);
  }

  base::Result<void> file(const WorkFile& file) {
    const base::Path relative(file.path);
    TRY(folder(relative.parent_path()));
    const base::Path target = root_ / relative;
    TRY_SET(const auto blob, blobs_.local_file(file.sha256));
    TRY_SET(const base::Fd from, base::open_file(blob.path, O_RDONLY));
    struct stat info{};
    if (::fstat(from.get(), &info) != 0) return base::errno_error(file.path, errno);
    if (info.st_size > kCopyLimit && ::link(blob.path.c_str(), target.c_str()) == 0) return {};
    TRY_SET(const base::Fd to, base::open_file(target, O_WRONLY | O_CREAT | O_EXCL, file.executable ? 0755 : 0644));
    return copy_bytes(from.get(), to.get(), info.st_size, target);
  }

 private:
  base::Path root_;
  blob::BlobStore& blobs_;
  std::set<std::string> made_;
};

bool is_under_any(std::string_view path, const std::vector<std::string>& folders) {
  return std::ranges::any_of(folders, [&](const std::string& folder) { return is_within(path, folder); });
}

class Collector {
 public:
  explicit Collector(base::Path root) : root_(std::move(root)) {}

  base::Result<void> add(const std::string& relative, size_t depth);
  base::Result<std::vector<OutFile>> take(blob::BlobStore& blobs);

 private:
  base::Result<void> add_folder(const std::string& relative, size_t depth);

  base::Path root_;
  std::vector<OutFile> files_;
  std::vector<base::Path> paths_;
  std::set<std::string> seen_;
};

base::Result<void> Collector::add(const std::string& relative, size_t depth) {
  const base::Path path = root_ / relative;
  std::error_code error;
  const base::Path real = fs::canonical(path, error);  // follows links, which may not lead out of the workspace
  if (error) return base::invalid("out '" + relative + "' was not made");
  if (!is_within(real.string(), root_.string()))
    return base::invalid("out '" + relative + "' is a link that leads out of the workspace, to " + real.string());
  struct stat info{};
  if (::stat(real.c_str(), &info) != 0) return base::errno_error(relative, errno);
  if (S_ISDIR(info.st_mode)) return add_folder(relative, depth);
  if (!S_ISREG(info.st_mode)) return base::invalid("out '" + relative + "' is neither a file nor a folder");
  if (!base::is_safe_relative_path(relative) || !base::is_utf8(relative))
    return base::invalid("an out's file name must be UTF-8 without backslashes, found '" +
                         relative.substr(0, base::utf8_valid_prefix(relative)) + "…'");
  if (!seen_.insert(relative).second) return {};
  if (files_.size() == kMaxOutFiles)
    return base::invalid("the outs have more than " + std::to_string(kMaxOutFiles) + " files; pack them");
  files_.push_back({.path = relative, .blob = {}, .executable = (info.st_mode & S_IXUSR) != 0});
  paths_.push_back(real);
  return {};
}

base::Result<void> Collector::add_folder(const std::string& relative, size_t depth) {
  if (depth > kMaxOutDepth)
    return base::invalid("out '" + relative + "' is deeper than " + std::to_string(kMaxOutDepth) + " folders");
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(root_ / relative, error), end; !error && at != end; at.increment(error))
    names.push_back(at->path().filename().string());
  if (error) return base::errno_error(relative, error.value());
  std::ranges::sort(names);
  for (const std::string& name : names) TRY(add(relative + "/" + name, depth + 1));
  return {};
}

base::Result<std::vector<OutFile>> Collector::take(blob::BlobStore& blobs) {
  TRY_SET(const std::vector<blob::BlobInfo> infos, blobs.put_files(paths_));
  for (size_t i = 0; i < files_.size(); ++i) files_[i].blob = infos[i];
  return std::move(files_);
}

}  // namespace

bool is_within(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

base::Result<void> build_workspace(const base::Path& root, const AttemptSpec& spec, blob::BlobStore& blobs) {
  TRY(base::remove_tree(root));
  TRY(base::make_dirs(root, 0700));
  Builder builder(root, blobs);
  TRY(builder.folder(spec.wdir));
  for (const std::string& out : spec.outs) TRY(builder.folder(base::Path(out).parent_path()));
  std::set<std::string_view> given;
  for (const WorkFile& input : spec.inputs) given.insert(input.path);
  if (spec.bundle)
    for (const WorkFile& file : *spec.bundle)
      if (!given.contains(file.path) && !is_under_any(file.path, spec.outs)) TRY(builder.file(file));
  for (const WorkFile& input : spec.inputs) TRY(builder.file(input));
  return {};
}

base::Result<std::vector<OutFile>> collect_outs(const base::Path& root, const std::vector<std::string>& outs,
                                                blob::BlobStore& blobs) {
  if (outs.empty()) return std::vector<OutFile>{};
  std::error_code error;
  Collector collector(fs::canonical(root, error));
  if (error) return base::errno_error(root.string(), error.value());
  for (const std::string& out : outs) TRY(collector.add(out, 0));
  return collector.take(blobs);
}

}  // namespace flow
