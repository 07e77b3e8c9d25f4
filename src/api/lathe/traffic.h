// How an endpoint's traffic is divided, and what came of it. Below /api/lathe/v1:
//   GET  /endpoints/{name}/traffic?since_us=   weights, shadow and its agreement, accuracy by labels with its test,
//                                               rollouts
//   PUT  /endpoints/{name}/traffic             {"weights": {"1": 90, "2": 10}, "shadow": 3, "shadow_percent": 50,
//                                               "sticky": "x-user", "rules": [{"when", "revision"}],
//                                               "bandit": {"floor": 5, "seed", "every_s"}, "outcome": "accuracy|error|
//                                               reward", "generation": 7}; no weights: all to the live one
//   GET  /model-files?model=                   what `lathe score` lays out: files by digest, and the preparation
//   POST /replays                              {"endpoint" | "prediction", "version" | "revision", "since_us",
//                                               "until_us", "limit"}: captured requests once more, in a child process
#pragma once

#include "api/lathe/loop.h"
#include "base/fs.h"

namespace api::lathe {

struct TrafficDoor {  // all outlive the routes
  LoopDoor loop;
  base::Path binary;  // of this server: replays run in its children
};

void add_traffic_routes(net::RouteTable& routes, const TrafficDoor& door);

}  // namespace api::lathe
