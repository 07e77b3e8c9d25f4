// What the browser's pages about endpoints ask for. GET below /api/lathe/v1/pages:
//   /endpoints                           every endpoint with its last quarter of an hour
//   /endpoints/{name}?from_us=&to_us=    what serves, its signature, traffic and latency, what happened to it; without
//                                        from_us the range suits the traffic of the last hours
//   /loaded                              every model in memory: state, size, queue, last use (pages_loaded.cc)
//   /endpoints/{name}/requests?after=    captured requests, newest first, with their labels, filtered
#pragma once

#include "net/offload.h"
#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace api::lathe {

struct EndpointPagesDoor {  // all outlive the routes
  store::Store& store;
  serve::Runtime& runtime;
  net::Offload& offload;
};

void add_pages_serve_routes(net::RouteTable& routes, const EndpointPagesDoor& door);
void add_pages_loaded_routes(net::RouteTable& routes, const EndpointPagesDoor& door);

}  // namespace api::lathe
