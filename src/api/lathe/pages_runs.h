// What the browser's pages about runs ask for, each page in one request. GET below /api/lathe/v1/pages:
//   /experiments · /experiments/folder · /runs · /runs/count · /runs/keys · /runs/values · /runs.csv     pages_runs.cc
//   /runs/curves · /runs/compare · /runs/history · /runs/{id}                                          pages_run.cc
//   /runs/groups · /runs/rows                                                                   pages_run_groups.cc
#pragma once

#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct PageDoor {  // outlives the routes
  store::Store& store;
};

void add_pages_runs_routes(net::RouteTable& routes, const PageDoor& door);
void add_pages_run_routes(net::RouteTable& routes, const PageDoor& door);
void add_pages_run_group_routes(net::RouteTable& routes, const PageDoor& door);

}  // namespace api::lathe
