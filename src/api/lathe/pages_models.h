// What the browser's pages about models ask for, each page in one request. GET below /api/lathe/v1/pages:
//   /models · /models/{name} · /models/{name}/{version} · /promotion · /rollback        pages_models.cc
//   /evaluations · /evaluations/{id} · /evaluations/{id}/rows                           pages_evaluations.cc
#pragma once

#include "api/lathe/loop.h"

namespace api::lathe {

void add_pages_models_routes(net::RouteTable& routes, const LoopDoor& door);
void add_pages_evaluations_routes(net::RouteTable& routes, const LoopDoor& door);

}  // namespace api::lathe
