// GET /api/lathe/v1/search?q=: any object by a piece of its name or by its id, across all domains; what a palette asks.
#pragma once

#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct SearchDoor {  // outlives the routes
  store::Store& store;
};

void add_search_routes(net::RouteTable& routes, const SearchDoor& door);

}  // namespace api::lathe
