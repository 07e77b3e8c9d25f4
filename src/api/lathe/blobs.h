// Blobs over HTTP: PUT (streamed, verified), GET, and which of many are missing. A blob that was put lives by the row of
// whoever refers to it; until then by garbage collection's grace period.
#pragma once

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"

namespace api::lathe {

struct BlobDoor {  // all outlive the routes
  blob::BlobStore& blobs;
  net::Offload& offload;
};

void add_blob_routes(net::RouteTable& routes, const BlobDoor& door);

// Streams a blob as the answer. `type`: its Content-Type.
base::Task<void> send_blob(BlobDoor door, base::Digest digest, std::string type, net::Request& request, net::Response& response);

}  // namespace api::lathe
