// What the pages share: routes below /api/lathe/v1/pages, and text of unknown bytes as JSON. Thread: plain functions.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "api/lathe/errors.h"
#include "base/utf8.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

// Text that came from outside may be any bytes; what is not UTF-8 is shown as U+FFFD.
inline std::string clean_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t good = base::utf8_valid_prefix(text);
    out.append(text.substr(0, good));
    text.remove_prefix(good);
    if (text.empty()) break;
    out += "\xef\xbf\xbd";
    text.remove_prefix(1);
  }
  return out;
}

// Answers the JSON body that a read of the store makes, or its error.
template <class F>
base::Task<void> answer_read(store::Store& store, net::Request& request, net::Response& response, F read) {
  auto body = co_await store.read(request.ctx, std::move(read));
  if (!body) co_return fail(response, request, body.error());
  response.send_json(std::move(*body));
}

// GET below /api/lathe/v1/pages; `handler(door, request, response)` gets a copy of the door.
template <class Door, class Handler>
void add_page(net::RouteTable& routes, const Door& door, std::string_view path, Handler handler) {
  routes.add(
      {net::Method::kGet, "/api/lathe/v1/pages" + std::string(path), net::Protocol::kLathe, base::Permission::kRead,
       net::RouteLimits{.body_bytes = 0},
       [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); }});
}

}  // namespace api::lathe
