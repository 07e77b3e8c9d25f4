// BlobStore whose home is a bucket of S3: a blob is the object <prefix>/sha256/<2 hex>/<62 hex>, the layout of the
// folder store. A write is durable when S3 has answered; what is read is fetched into a cache in the local folder
// (once, however many wait), verified by its digest, and evicted by the budget. docs/design/blobs-s3.md has the
// reasons.
//
// One server owns a prefix, and says so by the object <prefix>/lathe-store.json (claim()): garbage collection of
// another one would delete what it does not know. Thread: safe anywhere; calls block on the network.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "blob/blob.h"

namespace s3 {
class Client;
}

namespace blob {

struct S3StoreOptions {
  std::string prefix;  // in the bucket; a safe relative path, or ""
  base::Path dir;      // cache, temporary files, what must be known between starts
  int64_t cache_bytes = int64_t{10} << 30;
  // A tool beside the server that owns the place: nothing is cached, nothing is left in `dir`'s shared files.
  bool beside_server = false;
};

base::Result<std::unique_ptr<BlobStore>> open_s3_store(std::unique_ptr<s3::Client> client, S3StoreOptions options,
                                                       const base::Clock& clock, base::Registry* metrics = nullptr);

// A URL by which anybody can GET a blob for a while. kUnsupported: the store is none of these, and only this server can
// give its blobs out.
base::Result<std::string> presigned(BlobStore& store, const base::Digest& sha256, int64_t seconds);

}  // namespace blob
