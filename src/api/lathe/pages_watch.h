// What the browser's pages about monitors ask for. GET below /api/lathe/v1/pages:
//   /monitors                                        every monitor with its newest windows and open alerts
//   /monitors/{endpoint}?from_us=&to_us=&windows=&features=   windows, drift per feature over them, accuracy, alerts
//   and
//                                                    what they started
//   /monitors/{endpoint}/feature?name=&window=       one feature: its baseline beside a window
#pragma once

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct MonitorPagesDoor {  // all outlive the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
};

void add_pages_watch_routes(net::RouteTable& routes, const MonitorPagesDoor& door);

}  // namespace api::lathe
