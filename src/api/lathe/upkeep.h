// What looks after the store as a whole: GET /api/lathe/v1/backup (one tar file, docs/formats/backup.md), POST …/gc.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/fs.h"
#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct UpkeepDoor {  // all outlive the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
  const base::Clock& clock;
  base::Path dir;  // the server's folder: a backup's copy of the database lies there meanwhile
  std::string version;
};

void add_upkeep_routes(net::RouteTable& routes, const UpkeepDoor& door);

}  // namespace api::lathe
