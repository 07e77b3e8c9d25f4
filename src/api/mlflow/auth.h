// The routes of MLflow's own AuthServiceClient: users, and what they may do with single experiments and registered
// models. Users are Lathe's (core/users.h); one made here is a contributor to the project: he reads all, and manages
// what he makes, as MLflow's users do.
#pragma once

#include "blob/blob.h"
#include "gate/gatekeeper.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::mlflow {

void add_auth_routes(net::RouteTable& routes, store::Store& store, blob::BlobStore& blobs, net::Offload& offload,
                     gate::Gatekeeper& keeper);

}  // namespace api::mlflow
