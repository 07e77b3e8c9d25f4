// Who is who, under /api/lathe/v1: login and logout (a session in a cookie), me, my password, users with their roles,
// tokens, projects, and the audit lines of it all. Users belong to the whole server: their changes need its
// administrator (net::Scope::kServer); what one does with one's own tokens and password needs a login (kSelf).
#pragma once

#include <string>

#include "gate/gatekeeper.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct AccessDoor {  // all outlive the routes
  store::Store& store;
  gate::Gatekeeper& keeper;
  std::string artifact_root;  // of a new project's Default experiment; "": ours
};

void add_access_routes(net::RouteTable& routes, const AccessDoor& door);

}  // namespace api::lathe
