// MLflow's webhook routes → src/hooks and back. Deliveries and Lathe's own events: api/lathe/hooks.h.
#pragma once

#include "blob/blob.h"
#include "hooks/courier.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::mlflow {

// `outgoing` runs what waits for other hosts: name look-ups and tests.
void add_webhook_routes(net::RouteTable& routes, store::Store& store, blob::BlobStore& blobs, hooks::Courier& courier,
                        net::Offload& outgoing);

}  // namespace api::mlflow
