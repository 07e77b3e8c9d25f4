// POST /api/lathe/v1/import/{act}: what `lathe import` asks of a running server (src/takeover). Questions and answers
// are packed bytes for a command of the same version, not an interface for others. For administrators of the server:
// rows get the ids, times and owners of another server.
#pragma once

#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct ImportDoor {  // all outlive the routes
  store::Store& store;
  net::Offload& offload;
};

void add_import_routes(net::RouteTable& routes, const ImportDoor& door);

}  // namespace api::lathe
