// The first page and what the shell asks for. GET below /api/lathe/v1/pages:
//   /overview                    the loop of every pipeline and environment, what happened last, how much there is
//   /events?before=&kinds=       what happened, newest first
#pragma once

#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace api::lathe {

struct OverviewDoor {  // all outlive the routes
  store::Store& store;
  serve::Runtime& runtime;
};

void add_pages_overview_routes(net::RouteTable& routes, const OverviewDoor& door);

}  // namespace api::lathe
