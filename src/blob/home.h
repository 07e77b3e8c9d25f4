// Where a store's blobs are at home: one row of the database, so that a server started with other settings says so
// instead of missing every file. Thread: any that may block.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/store.h"

namespace blob {

struct Home {
  std::string home;      // BlobStore::home()
  std::string store_id;  // by which the store owns that place
};
// nullopt: never said, or `dir` was restored.
base::Result<std::optional<Home>> read_home(store::Store& store, const base::Context& ctx, const base::Path& dir);

// A folder that was restored from a backup holds this file until a server has settled: its database is a copy, and may
// not own the bucket that the original owns.
inline constexpr std::string_view kRestoredMark = "blobs/restored";

// At a server's start: the blobs are where they were (or there are none yet), and the place is this store's alone.
// kConflict with what to do about it.
base::Result<void> settle_home(store::Store& store, BlobStore& blobs, const base::Context& ctx, const base::Path& dir);

// The same without changing anything, for tools beside a server.
base::Result<void> check_home(store::Store& store, const BlobStore& blobs, const base::Context& ctx,
                              const base::Path& dir);

struct CopyReport {
  int64_t copied = 0, bytes = 0;
  int64_t present = 0;               // that were there before
  std::vector<std::string> missing;  // digests that rows name, and that lie in neither place
};
// Every blob of `from` into `to`, which may hold some already: a broken copy goes on. Nothing of `from` is removed.
base::Result<CopyReport> copy_blobs(store::Store& store, BlobStore& from, BlobStore& to, const base::Context& ctx);
// From now on they are at home in `to`. No server may run on the store.
base::Result<void> move_home(store::Store& store, BlobStore& to, const base::Context& ctx, const base::Path& dir,
                             bool take_over);

}  // namespace blob
