// GET /api/lathe/v1/status: how the server is, in one answer: itself, its disk, what serves, what runs, what alarms.
#pragma once

#include <functional>

#include "base/fs.h"
#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace base {
class JsonWriter;
}

namespace api::lathe {

struct StatusDoor {  // all outlive the routes
  store::Store& store;
  const serve::Runtime& runtime;
  base::Path dir;                                  // the server's folder, whose disk is told
  std::function<void(base::JsonWriter&)> process;  // fields about the process: version, pid, store …
};

void add_status_route(net::RouteTable& routes, const StatusDoor& door);

}  // namespace api::lathe
