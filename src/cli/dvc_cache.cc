#include "cli/dvc_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include "base/hash.h"

namespace cli {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// `dir` of section [cache]; "" if it is not set.
std::string cache_dir_of(std::string_view config) {
  bool in_cache = false;
  std::string found;
  while (!config.empty()) {
    const size_t end = std::min(config.find('\n'), config.size());
    const std::string_view line = trimmed(config.substr(0, end));
    config.remove_prefix(std::min(end + 1, config.size()));
    if (line.starts_with('[')) in_cache = line == "[cache]";
    const size_t equals = line.find('=');
    if (!in_cache || equals == std::string_view::npos || trimmed(line.substr(0, equals)) != "dir") continue;
    std::string_view value = trimmed(line.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    found = value;
  }
  return found;
}

// DVC trusts an object without reading it only if its mode is exactly 0444.
base::Result<void> into_place(const base::Fd& fd, const base::Path& partial, const base::Path& object) {
  if (::fchmod(fd.get(), 0444) != 0 || ::fsync(fd.get()) != 0 || ::rename(partial.c_str(), object.c_str()) != 0)
    return base::errno_error(object.string(), errno);
  return base::fsync_dir(object.parent_path());
}

base::Result<base::Fd> open_partial(const base::Path& partial) {
  TRY(base::make_dirs(partial.parent_path()));
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  return base::open_file(partial, O_WRONLY | O_CREAT | O_EXCL, 0600);
}

}  // namespace

base::Result<DvcCache> DvcCache::open(const base::Path& project) {
  const base::Path dvc = project / ".dvc";
  for (const char* name : {"config.local", "config"}) {
    const auto text = base::read_file(dvc / name, kMaxConfigBytes);
    if (!text && text.error().code != base::Code::kNotFound) return std::unexpected(text.error());
    if (const std::string dir = text ? cache_dir_of(*text) : ""; !dir.empty())
      return DvcCache((dvc / dir).lexically_normal());  // relative to .dvc, where the configuration lies
  }
  return DvcCache(dvc / "cache");
}

base::Result<void> DvcCache::add_file(const base::Path& file, const std::string& md5) const {
  const base::Path target = object(md5), partial = target.string() + ".lathe-partial";
  std::error_code error;
  if (std::filesystem::exists(target, error)) return {};
  TRY_SET(const base::Fd from, base::open_file(file, O_RDONLY));
  TRY_SET(const base::Fd to, open_partial(partial));
  base::Hasher hasher(base::HashAlgo::kMd5);
  std::string buffer(size_t{1} << 18, 0);
  for (ssize_t n = 0; (n = ::read(from.get(), buffer.data(), buffer.size())) != 0;) {
    if (n < 0) return base::errno_error(file.string(), errno);
    const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
    hasher.update(bytes);
    TRY(base::write_all(to.get(), bytes));
  }
  if (hasher.finish().hex() != md5) {
    std::filesystem::remove(partial, error);
    return base::fail(base::Code::kConflict, file.string() + " is changed while it is copied to DVC's cache");
  }
  return into_place(to, partial, target);
}

base::Result<void> DvcCache::add_folder(const std::string& list) const {
  const base::Path target = object(base::md5(list).hex() + ".dir"), partial = target.string() + ".lathe-partial";
  std::error_code error;
  if (std::filesystem::exists(target, error)) return {};
  TRY_SET(const base::Fd to, open_partial(partial));
  TRY(base::write_all(to.get(), list));
  return into_place(to, partial, target);
}

}  // namespace cli
