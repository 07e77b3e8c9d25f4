// Routes of one door below /api/lathe/v1. A handler is a coroutine (door, request, response); its route keeps a copy of
// the door, whose references outlive all routes.
#pragma once

#include <string>
#include <string_view>

#include "net/router.h"

namespace api::lathe {

inline constexpr net::RouteLimits kNoBody{.body_bytes = 0};

template <class Door>
auto route_adder(net::RouteTable& routes, const Door& door, net::Scope scope = net::Scope::kProject) {
  return [&routes, door, scope](net::Method method, std::string_view path, base::Permission permission,
                                net::RouteLimits limits, auto handler) {
    routes.add(
        {method, "/api/lathe/v1" + std::string(path), net::Protocol::kLathe, permission, limits,
         [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); },
         scope});
  };
}

// The same for what a page of the browser reads: GET /api/lathe/v1/pages….
template <class Door>
auto page_adder(net::RouteTable& routes, const Door& door) {
  return [add = route_adder(routes, door)](std::string_view path, auto handler, net::RouteLimits limits = kNoBody) {
    add(net::Method::kGet, "/pages" + std::string(path), base::Permission::kRead, limits, handler);
  };
}

}  // namespace api::lathe
