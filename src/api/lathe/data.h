// Data versions over HTTP: lists, one version, its files, and making one of uploaded blobs (`lathe step prepare`).
#pragma once

#include "api/lathe/blobs.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct DataDoor {  // all outlive the routes
  store::Store& store;
  BlobDoor blobs;
};

void add_data_routes(net::RouteTable& routes, const DataDoor& door);

}  // namespace api::lathe
