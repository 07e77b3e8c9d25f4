// Notebook servers: /api/lathe/v1/lab starts, shows and stops one's own, and /user/NAME/… is it, through the proxy.
#pragma once

#include "lab/keeper.h"
#include "net/offload.h"
#include "net/proxy.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct LabDoor {  // all outlive the routes
  store::Store& store;
  net::Offload& offload;
  net::Proxy& proxy;
  lab::Keeper& keeper;
  base::Path root;   // what a server shows when its start names no folder
  std::string path;  // the PATH to look for JupyterLab on
};

void add_lab_routes(net::RouteTable& routes, const LabDoor& door);

}  // namespace api::lathe
