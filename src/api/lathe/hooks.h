// Webhooks beyond MLflow's routes: what became of deliveries, dead letters, and hooks that listen to Lathe's own
// events.
#pragma once

#include "hooks/courier.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct HookDoor {
  store::Store& store;
  hooks::Courier& courier;
  net::Offload& outgoing;  // runs what waits for other hosts
};

void add_hook_routes(net::RouteTable& routes, const HookDoor& door);

}  // namespace api::lathe
