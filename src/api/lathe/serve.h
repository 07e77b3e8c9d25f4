// Endpoints and what they were asked: GET /endpoints[/NAME], /endpoints/NAME/requests (captured rows with their labels,
// one JSON object a line), /predictions/ID.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "net/offload.h"
#include "net/router.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace api::lathe {

struct ServeDoor {  // all outlive the routes
  store::Store& store;
  serve::Runtime& runtime;
  net::Offload& offload;
  // The label that arrived for a row of a prediction, if any (watch::label_of).
  std::function<std::optional<std::string>(store::Tx&, std::string_view prediction, int64_t row)> label_of;
};

void add_serve_routes(net::RouteTable& routes, const ServeDoor& door);

}  // namespace api::lathe
