// Blobs over HTTP: PUT and GET /api/lathe/v1/blobs/{sha256} (streamed, verified), and which of many are missing. A blob
// that was put lives by the row of whoever refers to it; until then by garbage collection's grace period. A project sees
// the blobs that it knows: what another project has uploaded is missing here.
#pragma once

#include <string>

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

}  // namespace api::lathe
