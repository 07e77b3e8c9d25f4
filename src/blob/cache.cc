#include "blob/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/log.h"

namespace blob {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 1 << 20;

base::Result<base::Digest> digest_of_file(const base::Path& path) {
  TRY_SET(const base::Fd fd, base::open_file(path, O_RDONLY));
  base::Hasher hasher(base::HashAlgo::kSha256);
  std::string buffer(kReadBytes, '\0');
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::errno_error(path.string(), errno);
    if (n == 0) return hasher.finish();
    hasher.update({buffer.data(), static_cast<size_t>(n)});
  }
}

}  // namespace

size_t Cache::HashOf::operator()(const base::Digest& digest) const {
  size_t hash = 0;
  std::memcpy(&hash, digest.bytes.data(), sizeof hash);
  return hash;
}

base::Result<std::shared_ptr<Cache>> Cache::open(const base::Path& dir, int64_t budget_bytes, base::Registry* metrics) {
  const std::shared_ptr<Cache> cache(new Cache(dir, budget_bytes));
  for (const base::Path& folder : {cache->root_, cache->tmp_}) TRY(base::make_dirs(folder));
  TRY(remove_leftovers(cache->tmp_));
  TRY(cache->load());
  if (metrics == nullptr) return cache;
  cache->hits_ = &metrics->counter("lathe_blob_cache_hits_total", "Blobs read from the local cache of a remote store");
  metrics->gauge_fn("lathe_blob_cache_bytes", "Bytes in the local cache of a remote blob store",
                    [weak = std::weak_ptr(cache)] {
                      const auto alive = weak.lock();
                      if (!alive) return 0.0;
                      const std::lock_guard lock(alive->mutex_);
                      return static_cast<double>(alive->bytes_);
                    });
  return cache;
}

base::Path Cache::path_of(const base::Digest& sha256) const {
  const std::string hex = sha256.hex();
  return root_ / hex.substr(0, 2) / hex.substr(2);
}

base::Result<void> Cache::load() {
  struct Found {
    Entry entry;
    timespec used;
  };
  std::vector<Found> found;
  std::error_code error;
  for (fs::recursive_directory_iterator at(root_, error), end; !error && at != end; at.increment(error)) {
    struct stat info;
    const base::Path& path = at->path();
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const auto digest = base::Digest::from_hex(base::HashAlgo::kSha256,
                                               path.parent_path().filename().string() + path.filename().string());
    if (digest) found.push_back({{.sha256 = *digest, .size = info.st_size}, info.st_atim});
  }
  if (error) return base::errno_error(root_.string(), error.value());
  std::ranges::sort(found, [](const Found& a, const Found& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) > std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  const std::lock_guard lock(mutex_);
  for (const Found& file : found) {
    entries_.push_back(file.entry);
    index_[file.entry.sha256] = std::prev(entries_.end());
    bytes_ += file.entry.size;
  }
  evict_locked();
  return {};
}

base::Result<BlobStore::LocalFile> Cache::keep(TempFile file, const base::Digest& sha256, int64_t size) {
  if (::fchmod(file.fd.get(), 0444) != 0) return base::errno_error(file.path.string(), errno);
  if (size > budget_) {
    return BlobStore::LocalFile{file.path,
                                std::shared_ptr<void>(nullptr, [path = file.path](void*) { ::unlink(path.c_str()); })};
  }
  const base::Path path = path_of(sha256);
  const std::lock_guard lock(mutex_);
  if (const auto known = index_.find(sha256); known != index_.end()) {  // brought here twice at once
    ::unlink(file.path.c_str());
    return hold_locked(known->second);
  }
  TRY(base::make_dirs(path.parent_path()));
  if (::rename(file.path.c_str(), path.c_str()) != 0) return base::errno_error(path.string(), errno);
  entries_.push_front({.sha256 = sha256, .size = size, .verified = true});
  index_[sha256] = entries_.begin();
  bytes_ += size;
  auto held = hold_locked(entries_.begin());
  evict_locked();
  return held;
}

std::optional<BlobStore::LocalFile> Cache::hold(const base::Digest& sha256) {
  BlobStore::LocalFile held;
  {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(sha256);
    if (found == index_.end()) return std::nullopt;
    held = hold_locked(found->second);
    if (found->second->verified) {
      if (hits_ != nullptr) hits_->add();
      return held;
    }
  }
  const auto digest = digest_of_file(held.path);  // without the lock: it is held
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(sha256);
  if (found == index_.end()) return std::nullopt;
  if (digest && *digest == sha256) {
    found->second->verified = true;
    return held;
  }
  base::log::warn("a cached blob is damaged and fetched anew", {{"sha256", sha256.hex()}});
  drop_locked(found->second);
  return std::nullopt;
}

std::optional<int64_t> Cache::size_of(const base::Digest& sha256) const {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(sha256);
  return found == index_.end() ? std::nullopt : std::optional(found->second->size);
}

void Cache::drop(const base::Digest& sha256) {
  const std::lock_guard lock(mutex_);
  if (const auto found = index_.find(sha256); found != index_.end()) drop_locked(found->second);
}

BlobStore::LocalFile Cache::hold_locked(Entries::iterator at) {
  entries_.splice(entries_.begin(), entries_, at);
  ++at->holders;
  return {path_of(at->sha256),
          std::shared_ptr<void>(nullptr, [self = shared_from_this(), at](void*) { self->release(at); })};
}

void Cache::release(Entries::iterator at) {
  const std::lock_guard lock(mutex_);
  if (--at->holders > 0) return;
  if (at->dropped) {
    dropped_.erase(at);
  } else if (bytes_ > budget_) {
    evict_locked();  // it may have been what held up an eviction
  }
}

// The name goes at once, also of a held file: it is garbage or damaged, and not to be found again.
void Cache::drop_locked(Entries::iterator at) {
  ::unlink(path_of(at->sha256).c_str());
  bytes_ -= at->size;
  index_.erase(at->sha256);
  at->dropped = true;
  if (at->holders > 0) {
    dropped_.splice(dropped_.begin(), entries_, at);
  } else {
    entries_.erase(at);
  }
}

void Cache::evict_locked() {
  for (auto at = entries_.end(); bytes_ > budget_ && at != entries_.begin();) {
    --at;
    if (at->holders > 0) continue;
    const auto victim = at++;
    drop_locked(victim);
  }
}

}  // namespace blob
