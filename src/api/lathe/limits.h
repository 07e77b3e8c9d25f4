// Callers whose rights are by experiment and model (base/resource_access.h), on those of our own routes that are about
// named runs, one experiment or one registered model. Such a route is added with guarded_route_adder(); all others are
// closed to them, but for what only reads where nothing is hidden from them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/resource_access.h"
#include "net/http.h"
#include "net/router.h"
#include "store/tx.h"

namespace api::lathe {

using Limits = std::shared_ptr<const base::ResourceAccess>;
Limits limits_of(const net::Request& request);  // null, nearly always: the caller has none

// kForbidden unless the caller has that level on it. What does not exist is left to the call itself.
base::Result<void> check_runs(store::Tx& tx, const Limits& limits, const std::vector<std::string>& run_ids,
                              base::Level least);
base::Result<void> check_model(store::Tx& tx, const Limits& limits, std::string_view name, base::Level least);
base::Result<void> check_experiment(store::Tx& tx, const Limits& limits, const std::string& id, base::Level least);

template <class Door>
auto guarded_route_adder(net::RouteTable& routes, const Door& door) {
  return [&routes, door](net::Method method, std::string_view path, base::Permission permission,
                         net::RouteLimits limits, auto handler) {
    routes.add(
        {method, "/api/lathe/v1" + std::string(path), net::Protocol::kLathe, permission, limits,
         [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); },
         net::Scope::kProject, true});
  };
}

}  // namespace api::lathe
