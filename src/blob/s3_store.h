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
#include <vector>

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

// Uploads whose parts clients bring to the bucket themselves, past this server. An upload is named by its caller
// (lower-case letters and digits, never twice). Thread: safe anywhere; calls block.
class DirectUploads {
 public:
  struct Upload {
    std::string name;
    std::string remote;  // the bucket's own id of it, which begin_upload() answers
  };
  virtual ~DirectUploads() = default;
  virtual base::Result<std::string> begin_upload(const std::string& name) = 0;
  // Where part `number` (from 1) may be PUT, by anybody.
  virtual base::Result<std::string> part_url(const Upload& upload, int64_t number, int64_t seconds) = 0;
  // Joins the parts, named by the ETags that their PUTs answered, reads what came of them, and makes it a blob. May be
  // called again after a failure. kInvalid: not those parts; kNotFound: no such upload; kTooLarge.
  virtual base::Result<BlobInfo> complete_upload(const Upload& upload, const std::vector<std::string>& etags,
                                                 uint64_t max_bytes) = 0;
  // Nothing of it remains but the blob that it became, if any.
  virtual base::Result<void> drop_upload(const Upload& upload) = 0;
  // Nor of those that nobody has ended for long; what cannot be asked is logged.
  virtual void drop_stale_uploads() = 0;
};
DirectUploads* direct_uploads(BlobStore& store);  // null: bytes come through this server

// A URL by which anybody can GET a blob for a while. kUnsupported: the store is none of these, and only this server can
// give its blobs out.
base::Result<std::string> presigned(BlobStore& store, const base::Digest& sha256, int64_t seconds);

}  // namespace blob
