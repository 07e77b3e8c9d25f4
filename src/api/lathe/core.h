// The server's own routes: /health, /metrics, and under /api/lathe/v1 audit lines, events (JSON pages, or a
// live stream of server-sent events that goes on where Last-Event-ID says), the table of all routes and openapi.json.
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/broadcast.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct CoreDoor {  // all outlive the routes
  store::Store& store;
  const base::Clock& clock;
  base::Registry& metrics;
  net::Broadcast& commits;                              // notified after each commit that left an event
  std::function<void(std::string&)> more_metrics = {};  // appends to the text of /metrics
};

void add_core_routes(net::RouteTable& routes, const CoreDoor& door);

}  // namespace api::lathe
