// Files of a store that lies elsewhere, kept in a folder up to a number of bytes; the least recently used go first.
// <dir>/<2 hex>/<62 hex>, read-only, not flushed: what was here before this start is hashed at its first use.
// Thread: safe anywhere. A held file outlives its Cache.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/hash.h"
#include "base/metrics.h"
#include "base/result.h"
#include "blob/blob.h"
#include "blob/temp_file.h"

namespace blob {

class Cache : public std::enable_shared_from_this<Cache> {
 public:
  // Files lie in dir/cache, those being written in dir/tmp.
  static base::Result<std::shared_ptr<Cache>> open(const base::Path& dir, int64_t budget_bytes,
                                                   base::Registry* metrics = nullptr);

  base::Result<TempFile> begin() { return make_temp_file(tmp_); }
  // Takes over a whole and verified temporary file. One that is larger than the budget goes with its last holder.
  base::Result<BlobStore::LocalFile> keep(TempFile file, const base::Digest& sha256, int64_t size);
  std::optional<BlobStore::LocalFile> hold(const base::Digest& sha256);
  std::optional<int64_t> size_of(const base::Digest& sha256) const;
  void drop(const base::Digest& sha256);
  int64_t budget() const { return budget_; }

 private:
  struct Entry {
    base::Digest sha256;
    int64_t size = 0;
    int holders = 0;
    bool verified = false;
    bool dropped = false;  // its name is gone from the index; the entry lives for its holders
  };
  using Entries = std::list<Entry>;  // most recently used first
  struct HashOf {
    size_t operator()(const base::Digest& digest) const;
  };

  Cache(const base::Path& dir, int64_t budget_bytes) : root_(dir / "cache"), tmp_(dir / "tmp"), budget_(budget_bytes) {}
  base::Result<void> load();
  base::Path path_of(const base::Digest& sha256) const;
  BlobStore::LocalFile hold_locked(Entries::iterator at);
  void release(Entries::iterator at);
  void drop_locked(Entries::iterator at);
  void evict_locked();

  const base::Path root_, tmp_;
  const int64_t budget_;
  base::Counter* hits_ = nullptr;
  mutable std::mutex mutex_;
  Entries entries_, dropped_;
  std::unordered_map<base::Digest, Entries::iterator, HashOf> index_;
  int64_t bytes_ = 0;
};

}  // namespace blob
