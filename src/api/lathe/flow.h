// Pipelines, their runs and their logs, under /api/lathe/v1: what `lathe run`, `runs`, `logs` and `cancel` talk to, and
// where a stage asks with its own token who it is.
#pragma once

#include "base/fs.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct FlowDoor {  // all outlive the routes
  store::Store& store;
  net::Offload& offload;
  base::Path dir;  // DIR: logs lie in DIR/attempts/<id>/log
};

void add_flow_routes(net::RouteTable& routes, const FlowDoor& door);

}  // namespace api::lathe
