// Content-addressed bytes over HTTP.
//   PUT /blobs/{sha256} (streamed, verified) · GET /blobs/{sha256} · POST /blobs/missing {digests} → {missing}
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

}  // namespace api::lathe
