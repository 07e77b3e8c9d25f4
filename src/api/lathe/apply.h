// Bundles, apply and the schema of lathe.yaml.
//   POST /bundles · GET /bundles/{id} · POST /apply · GET /config[?pipeline=] · GET /schema
#pragma once

#include <string>

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace api::lathe {

struct ApplyDoor {  // all outlive the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
  serve::Runtime& runtime;
  std::string artifact_root;  // --default-artifact-root
};

void add_apply_routes(net::RouteTable& routes, const ApplyDoor& door);

}  // namespace api::lathe
