// The control plane's side of data planes, /api/lathe/v1/plane/…: a protocol of its own with a right of its own, so
// that a listener may serve nothing else, and a plane's token nothing but this. And for people: /planes, who they are
// and what each of them serves.
#pragma once

#include "api/lathe/blobs.h"
#include "net/broadcast.h"
#include "net/router.h"
#include "serve/runtime.h"

namespace api::lathe {

struct PlaneDoor {  // all outlive the routes
  BlobDoor blobs;   // with the store and the offload
  serve::Runtime& runtime;
  net::Broadcast& commits;
  bool require_login = false;
};

void add_plane_routes(net::RouteTable& routes, const PlaneDoor& door);

}  // namespace api::lathe
