// Blobs over HTTP: PUT and GET /api/lathe/v1/blobs/{sha256} (streamed, verified), and which of many are missing. A blob
// that was put lives by the row of whoever refers to it; until then by garbage collection's grace period. A project
// sees the blobs that it knows: what another project has uploaded is missing here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct BlobDoor {  // all outlive the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
};

void add_blob_routes(net::RouteTable& routes, const BlobDoor& door);

// Streams a blob as the answer; that the caller may see it is settled. `type`: its Content-Type.
base::Task<void> send_blob(BlobDoor door, base::Digest digest, std::string type, net::Request& request,
                           net::Response& response);

struct UploadedFile {
  std::string_view path;
  base::Digest digest;
  int64_t size = 0;
};
// Every file's bytes are here, and as long as they are said to be; else an error that names files. Blocks.
base::Result<void> check_uploaded(blob::BlobStore& blobs, std::span<const UploadedFile> files);
template <class File>
base::Result<void> check_uploaded(blob::BlobStore& blobs, const std::vector<File>& files) {
  std::vector<UploadedFile> uploaded;
  for (const auto& file : files) uploaded.push_back({file.path, file.digest, file.size});
  return check_uploaded(blobs, std::span<const UploadedFile>(uploaded));
}

}  // namespace api::lathe
