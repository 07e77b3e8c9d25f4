// Where files may lie besides the content-addressed store: the destination of proxied files, as plain files, and
// folders that the configuration names and clients write to themselves (--default-artifact-root file:///…). What a
// client names is only ever opened beneath one of these (blob/plain_folder.h).
//
// Proxied files are blobs first, wherever they lie: their rows and digests are what listings, copies, registered
// versions and inference read. With a destination each is also a plain file there before its upload is answered, and
// what others have put there is listed and read like an upload, as long as no upload has that path.
//
// Thread: immutable once the server listens; calls block on the disk.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "blob/blob.h"
#include "blob/plain_folder.h"

namespace api::mlflow {

struct Places {
  std::shared_ptr<const blob::PlainFolder> destination;  // null: proxied files are blobs alone
  std::shared_ptr<const blob::PlainFolder> local;        // null: none is named
  std::string local_path;                                // of it, as its URIs have it, without "/" at the end

  // `destination`: a folder or file:///…, "" for none; `root`: what new experiments' files lie below.
  static base::Result<Places> make(const std::string& destination, const std::string& root);
};

// The folder that "/a/b", "file:/a/b", "file:///a/b" and "file://localhost/a/b" name, without "/" at the end.
std::optional<std::string> local_path_of(std::string_view uri);

// Where a URI and a path below it lead: a path in our own store, or in the local folder. kInvalid: neither.
struct Spot {
  bool local = false;
  std::string path;
};
base::Result<Spot> spot_of(const Places& places, std::string_view uri, std::string_view relative);

// After the row is committed: the plain file is made what the row says.
base::Result<void> put_plain(const Places& places, blob::BlobStore& blobs, std::string_view path,
                             const base::Digest& digest);

}  // namespace api::mlflow
