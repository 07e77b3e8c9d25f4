// What an endpoint's graph is made of, and what it means now. Below /api/lathe/v1:
//   GET /endpoints/{name}/graph   nodes and steps as declared; which revision stands behind each; inputs and outputs;
//                                 what each step has answered since the server started, how fast, with how many errors;
//                                 why it cannot answer, if it cannot
#pragma once

#include "api/lathe/loop.h"

namespace api::lathe {

void add_graph_routes(net::RouteTable& routes, const LoopDoor& door);

}  // namespace api::lathe
