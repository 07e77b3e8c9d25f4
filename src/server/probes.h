// What a process that only serves models answers about itself: is it alive, is it ready, its numbers.
#pragma once

#include "base/metrics.h"
#include "net/router.h"
#include "serve/routes.h"

namespace server {

void add_probes(net::RouteTable& routes, const base::Registry& metrics, const serve::Routes& models);

}  // namespace server
