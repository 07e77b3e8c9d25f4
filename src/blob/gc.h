// Garbage collection of blobs. A blob is garbage when for the whole grace period no artifact and no holder referred to
// it in any project, and no upload asked for it. The row goes in a transaction that checks this again; then the file is
// set aside, and goes for good only if still no row names it. A referrer that uploads, or asks what is missing, within
// the grace period before its commit can therefore rely on the blob. A cancelled context ends it early with kCancelled;
// what it had set aside is back in its place. Thread: any that may block.
#pragma once

#include <cstdint>

#include "base/context.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/store.h"

namespace blob {

inline constexpr int64_t kGraceUs = 24 * int64_t{3'600'000'000};

struct GcReport {
  int64_t marked = 0;     // blobs seen unused for the first time
  int64_t forgotten = 0;  // rows removed
  int64_t removed = 0;    // files removed
  int64_t bytes = 0;      // … and their size
};

base::Result<GcReport> collect_garbage(store::Store& store, BlobStore& blobs, const base::Context& ctx,
                                       int64_t grace_us = kGraceUs);

}  // namespace blob
