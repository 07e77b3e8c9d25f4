#include "cli/import_artifacts.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cli/command.h"
#include "cli/import_target.h"
#include "net/http.h"
#include "track/artifact_root.h"

namespace cli {
namespace {

constexpr int kMaxDepth = 64;  // folders in folders

base::Fd open_below(int dir, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NONBLOCK);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return base::Fd(static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how)));
}

std::string scheme_of(std::string_view uri) {
  const size_t colon = uri.find(':');
  return colon == uri.npos || colon == 0 || uri.substr(0, colon).find('/') != uri.npos
             ? ""
             : std::string(uri.substr(0, colon));
}

}  // namespace

bool is_local_uri(std::string_view uri) {
  const std::string scheme = scheme_of(uri);
  return scheme.empty() || scheme == "file";
}

ArtifactRoots::ArtifactRoots(std::vector<base::Path> roots, base::Path relative_to)
    : relative_to_(std::move(relative_to)) {
  for (const base::Path& root : roots) {
    std::error_code error;
    const base::Path whole = std::filesystem::absolute(root, error).lexically_normal();
    if (!std::filesystem::is_directory(whole, error))
      throw Failure(kUsage, "--artifacts-root " + root.string() + " is no folder");
    roots_.push_back(whole.has_filename() ? whole : whole.parent_path());
  }
}

std::optional<ArtifactFolder> ArtifactRoots::find(std::string_view uri) const {
  if (const auto proxied = track::proxied_path(uri)) {
    for (const base::Path& root : roots_) {
      std::error_code error;
      if (std::filesystem::exists(root / *proxied, error)) return ArtifactFolder{root, *proxied};
    }
    return std::nullopt;
  }
  if (!is_local_uri(uri)) return std::nullopt;
  std::string text(uri);
  if (text.starts_with("file:")) {
    text.erase(0, 5);
    if (text.starts_with("//")) text.erase(0, std::min(text.find('/', 2), text.size()));  // and a host
    text = net::percent_decode(text, false).value_or("");
  }
  if (text.empty() || text.find('\0') != text.npos) return std::nullopt;
  base::Path path = base::Path(text).is_absolute() || relative_to_.empty() ? base::Path(text) : relative_to_ / text;
  path = path.lexically_normal();
  for (const base::Path& root : roots_) {
    const base::Path below = path.lexically_relative(root);
    std::string rest = below.generic_string();
    if (rest == ".") rest.clear();
    while (rest.ends_with('/')) rest.pop_back();
    if (below.empty() || (!rest.empty() && !base::is_safe_relative_path(rest))) continue;
    return ArtifactFolder{root, rest};
  }
  return std::nullopt;
}

void ArtifactImporter::add(const ArtifactFolder& from, const std::string& root) {
  const base::Fd top(::open(from.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) need<void>(base::errno_error(from.root.string(), errno));
  const base::Fd dir = open_below(top.get(), from.path.empty() ? "." : from.path, O_RDONLY | O_DIRECTORY);
  if (!dir) {
    if (errno == ENOENT || errno == ENOTDIR) return;  // nothing was ever logged there
    if (errno == ELOOP || errno == EXDEV) {
      ++counts_.links;
      return;
    }
    need<void>(base::errno_error((from.root / from.path).string(), errno));
  }
  here_.clear();
  for (takeover::FileHere& file : target_.ask(takeover::kFilesHere, root)) here_.push_back(std::move(file.path));
  walk(dir.get(), "", root, 0);
}

void ArtifactImporter::walk(int dir, const std::string& prefix, const std::string& root, int depth) {
  if (depth > kMaxDepth)
    throw Failure(kRefused, "folders of artifacts are nested more than " + std::to_string(kMaxDepth) + " deep at " +
                                root + "/" + prefix);
  std::vector<std::string> names;
  {
    DIR* list = ::fdopendir(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (list == nullptr) need<void>(base::errno_error(prefix, errno));
    while (const dirent* entry = ::readdir(list)) names.emplace_back(entry->d_name);
    ::closedir(list);
  }
  std::ranges::sort(names);
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string path = prefix + name;
    struct stat info{};
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    if (S_ISDIR(info.st_mode)) {
      const base::Fd below = open_below(dir, name, O_RDONLY | O_DIRECTORY);
      if (!below) need<void>(base::errno_error(path, errno));
      walk(below.get(), path + "/", root, depth + 1);
    } else if (S_ISREG(info.st_mode) && base::is_safe_relative_path(path)) {
      ++counts_.found;
      if (std::ranges::binary_search(here_, path)) {  // what is here stays
        ++counts_.present;
        continue;
      }
      take(dir, name, path, root);
    } else {
      ++counts_.links;
    }
  }
}

void ArtifactImporter::take(int dir, const std::string& name, const std::string& path, const std::string& root) {
  base::Fd file = open_below(dir, name, O_RDONLY);
  if (!file) need<void>(base::errno_error(path, errno));
  counts_.bytes += target_.add_file(std::move(file), root, path);
  ++counts_.stored;
}

void ArtifactImporter::flush() { target_.flush(); }

}  // namespace cli
