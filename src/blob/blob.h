// Content-addressed files. A blob's identity is the SHA-256 of its bytes; MD5 is computed in the same pass. It lies at
// <dir>/blobs/sha256/<2 hex>/<62 hex>, mode 0444, written by temp + fsync + rename + fsync of the folder.
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

class BlobWriter {
 public:
  virtual ~BlobWriter() = default;                            // unfinished: nothing remains
  virtual base::Result<void> write(std::string_view bytes) = 0;
  // Durable when it answers. Bytes that are not those of `must_be` are refused (kInvalid) and nothing remains.
  virtual base::Result<BlobInfo> finish(const std::optional<base::Digest>& must_be = std::nullopt) = 0;
};

class BlobStore {
 public:
  static base::Result<std::unique_ptr<BlobStore>> open(const base::Path& dir);
  virtual ~BlobStore() = default;
  virtual base::Result<std::unique_ptr<BlobWriter>> begin() = 0;
  // Finishes many of begin()'s writers with few flushes of the disk; answers in the same order.
  virtual base::Result<std::vector<BlobInfo>> finish_all(std::span<const std::unique_ptr<BlobWriter>> writers) = 0;
  virtual base::Result<base::Fd> open_blob(const base::Digest& sha256) = 0;  // kNotFound
  virtual base::Path path_of(const base::Digest& sha256) const = 0;          // local file; for links and dlopen users
  virtual bool exists(const base::Digest& sha256) const = 0;
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
  // "Somebody is about to refer to it": the grace period begins again. False if it is not here.
  virtual bool touch(const base::Digest& sha256) = 0;
  // Sets a blob aside if nobody touched it since `before_us` and no Pin is held; false if it stays. Then either
  // discard() it, or put it back (a blob written anew in between wins).
  virtual base::Result<bool> set_aside(const base::Digest& sha256, int64_t before_us) = 0;
  virtual base::Result<void> put_back(const base::Digest& sha256) = 0;
  virtual base::Result<void> discard(const base::Digest& sha256) = 0;
  // While one lives, set_aside() leaves everything where it is: a backup is copying.
  using Pin = std::shared_ptr<void>;
  virtual Pin pin() = 0;
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

base::Result<void> put_artifact(store::Tx& tx, const Artifact& artifact);           // replaces; registers the blob row
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
