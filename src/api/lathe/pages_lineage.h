// The browser's page about lineage: GET /api/lathe/v1/pages/lineage?id=&up=&down= answers one object's surroundings,
// both ways, and GET /pages/lineage/start what there is to begin with when nothing was chosen.
#pragma once

#include <vector>

#include "core/lineage.h"
#include "net/offload.h"
#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace api::lathe {

struct LineagePagesDoor {  // all outlive the routes
  store::Store& store;
  serve::Runtime& runtime;
  net::Offload& offload;
};

// What answered a prediction, as an edge: predictions live in the capture segments, not in rows. No edge for nodes of
// other kinds; kNotFound if the project has no such prediction.
base::Task<base::Result<std::vector<core::Edge>>> prediction_edges(serve::Runtime& runtime, net::Offload& offload,
                                                                   int64_t project, const core::Node& node);

void add_pages_lineage_routes(net::RouteTable& routes, const LineagePagesDoor& door);

}  // namespace api::lathe
