// Content-addressed files. A blob's identity is the SHA-256 of its bytes; MD5 is computed in the same pass where a data
// set or a stage's output may be asked for it (it takes two and a half times as long as SHA-256). Their home
// is a folder (<dir>/blobs/sha256/<2 hex>/<62 hex>, mode 0444, written by temp + fsync + rename + fsync of the folder),
// or a bucket of S3 with a cache in that folder (s3_store.h). A local file may vanish from a cache at any time: hold a
// LocalFile or an open descriptor.
//
// A blob lives by a row written in its referrer's transaction (blob_refs, artifacts), within the grace period after its
// upload. Garbage collection marks what no row names, waits that period, re-checks in the transaction that deletes.
//
// Thread: BlobStore is safe anywhere (its calls block on disk: use a worker thread from a loop, see net/offload.h);
// a BlobWriter belongs to one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/hash.h"
#include "base/result.h"
#include "store/tx.h"

namespace blob {

struct BlobInfo {
  base::Digest sha256;
  std::optional<base::Digest> md5;  // unknown where only the SHA-256 was ever told
  int64_t size = 0;

  std::string md5_hex() const { return md5 ? md5->hex() : ""; }
};

enum class Hashes : uint8_t { kSha256, kSha256AndMd5 };

class BlobWriter {
 public:
  virtual ~BlobWriter() = default;  // unfinished: nothing remains
  virtual base::Result<void> write(std::string_view bytes) = 0;
  // Durable when it answers. Bytes that are not those of `must_be` are refused (kInvalid) and nothing remains.
  virtual base::Result<BlobInfo> finish(const std::optional<base::Digest>& must_be = std::nullopt) = 0;
};

// A blob's bytes, piece by piece, where there is no local file of it.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  virtual base::Result<std::string> next() = 0;  // "": the end
};

class BlobStore {
 public:
  static base::Result<std::unique_ptr<BlobStore>> open(const base::Path& dir);  // the home is this folder
  virtual ~BlobStore() = default;
  virtual base::Result<std::unique_ptr<BlobWriter>> begin(Hashes hashes) = 0;
  base::Result<std::unique_ptr<BlobWriter>> begin() { return begin(Hashes::kSha256AndMd5); }
  // Finishes many of begin()'s writers with few flushes of the disk; answers in the same order.
  virtual base::Result<std::vector<BlobInfo>> finish_all(std::span<const std::unique_ptr<BlobWriter>> writers) = 0;
  virtual base::Result<base::Fd> open_blob(const base::Digest& sha256) = 0;  // kNotFound
  // A local file of it, for links and for programs that want a name.
  struct LocalFile {
    base::Path path;
    std::shared_ptr<void> keep;  // while it lives, the file stays where it is
  };
  virtual base::Result<LocalFile> local_file(const base::Digest& sha256) = 0;  // kNotFound
  // What is to be sent to somebody: a descriptor of the whole file, or else a reader of just these bytes. A reader of a
  // whole blob fails before its last piece if they are not the digest's.
  struct Source {
    base::Fd fd;
    std::unique_ptr<BlobReader> reader;
  };
  virtual base::Result<Source> open_range(const base::Digest& sha256, uint64_t first, uint64_t length) = 0;
  virtual base::Result<int64_t> size_of(const base::Digest& sha256) const = 0;           // kNotFound
  bool exists(const base::Digest& sha256) const { return size_of(sha256).has_value(); }  // false: or cannot be asked
  virtual base::Result<void> remove(const base::Digest& sha256) = 0;

  base::Result<BlobInfo> put(std::string_view bytes);
  base::Result<BlobInfo> put_file(const base::Path& file);
  base::Result<std::vector<BlobInfo>> put_files(std::span<const base::Path> files);  // in the same order
  base::Result<std::string> get(const base::Digest& sha256, size_t max_bytes = size_t{64} << 20);

  // For garbage collection and fsck (blob/gc.h, blob/fsck.h).
  struct Found {
    base::Digest sha256;
    int64_t size = 0;
    int64_t used_us = 0;  // when it was last written or asked for by an upload
  };
  virtual base::Result<void> for_each(const std::function<void(const Found&)>& visit) = 0;
  // "Somebody is about to refer to them": the grace period begins again. The size of each; nullopt: it is not here.
  virtual base::Result<std::vector<std::optional<int64_t>>> touch(std::span<const base::Digest> digests) = 0;
  // Sets a blob aside if nobody touched it since `before_us` and no Pin is held; false if it stays. Then either
  // discard() it, or put it back (a blob written anew in between wins).
  virtual base::Result<bool> set_aside(const base::Digest& sha256, int64_t before_us) = 0;
  virtual base::Result<void> put_back(const base::Digest& sha256) = 0;
  virtual base::Result<void> discard(const base::Digest& sha256) = 0;
  // While one lives, set_aside() leaves everything where it is: a backup is copying.
  using Pin = std::shared_ptr<void>;
  virtual Pin pin() = 0;

  // Where the blobs are at home: "folder" or "s3://bucket/prefix" (blob/home.h).
  virtual std::string home() const { return "folder"; }
  // This store of rows is the one whose garbage collection rules there; kConflict if another one is.
  virtual base::Result<void> claim(const std::string& /*store_id*/, bool /*take_over*/) { return {}; }
  virtual size_t parallel() const { return 1; }  // how many of its calls at once are of use
  virtual void no_more_retries() {}              // the server goes down
};

// --- rows -----------------------------------------------------------------------------------------------------------

// An artifact: one file under a root. Roots in use: "bundle/<sha>", "data/<version>", "mlflow/<exp>/<run>/artifacts",
// "attempt/<id>/out". `digest` is set for location kBlob.
enum class Location : uint8_t { kBlob, kPlainFolder, kS3, kExternal };
struct Artifact {
  std::string root;
  std::string path;  // safe relative path
  int64_t size = 0;
  base::Digest digest;
  Location location = Location::kBlob;
  std::string address;  // for the other locations
  int64_t at_us = 0;
};

base::Result<void> put_artifact(store::Tx& tx, const Artifact& artifact);  // replaces; registers the blob row
base::Result<Artifact> get_artifact(store::Tx& tx, std::string_view root, std::string_view path);
// Everything under `prefix` (a folder, or "" for all), in path order.
std::vector<Artifact> list_artifacts(store::Tx& tx, std::string_view root, std::string_view prefix = "");
// Roots that lie below a folder of roots, in order: of "mlflow/1" for example "mlflow/1/<run>/artifacts".
std::vector<std::string> list_roots(store::Tx& tx, std::string_view folder);
int64_t delete_artifacts(store::Tx& tx, std::string_view root, std::string_view path_or_folder);

// Registers a blob as known (size, md5) and keeps it alive for (owner_kind, owner).
base::Result<void> hold_blob(store::Tx& tx, const BlobInfo& info, std::string_view owner_kind, std::string_view owner);
// The owner is gone: what only it held becomes garbage.
base::Result<void> release_blobs(store::Tx& tx, std::string_view owner_kind, std::string_view owner);
// Uploaded, not yet held by anybody: known to this project, and garbage after the grace period.
base::Result<void> register_upload(store::Tx& tx, const BlobInfo& info);
base::Result<std::optional<BlobInfo>> find_blob(store::Tx& tx, const base::Digest& sha256);

}  // namespace blob
