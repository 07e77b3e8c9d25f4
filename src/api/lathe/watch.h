// Monitoring over HTTP: POST /feedback (labels that come late), GET and PUT /monitors[/ENDPOINT], GET
// /monitors/ENDPOINT/windows, /windows/ID, /alerts, /alerts/ID (?replay=true computes it anew from stored numbers).
#pragma once

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "serve/capture.h"
#include "store/store.h"

namespace api::lathe {

struct WatchDoor {  // all outlive the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
  serve::Capture& capture;
};

void add_watch_routes(net::RouteTable& routes, const WatchDoor& door);
// POST …/api/v1.0/feedback, in Seldon's words. `errors` outlives the routes.
void add_seldon_feedback_routes(net::RouteTable& routes, net::ErrorWriters& errors, const WatchDoor& door);

}  // namespace api::lathe
