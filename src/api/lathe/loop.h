// The loop's routes: what a run's evaluate, gate and promote steps ask for and answer, and what a person looks at.
//   GET /evaluation-plan · POST,GET /evaluations · GET /evaluations/{id} · POST,GET /verdicts · GET /verdicts/{id}
//   POST,GET /promotions · POST /endpoints/{name}/rollback · GET /retrainings · GET /lineage/{id...}?direction=
#pragma once

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace api::lathe {

struct LoopDoor {  // all outlive the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
  serve::Runtime& runtime;
};

void add_loop_routes(net::RouteTable& routes, const LoopDoor& door);

}  // namespace api::lathe
