// A request's target: percent-decoding, query, route search.
#include "fuzz.h"
#include "net/router.h"
#include "net/text.h"
#include "request.h"

namespace {

const net::RouteTable& table() {
  static const net::RouteTable* made = [] {
    auto* routes = new net::RouteTable();
    for (const char* pattern : {"/", "/v1/models/{name}:predict", "/v1/models/{name}", "/v2/models/{name}/versions/{v}",
                                "/api/lathe/v1/blobs/{digest}", "/files/{path...}", "/files/list"}) {
      routes->add({.method = net::Method::kGet,
                   .pattern = pattern,
                   .protocol = net::Protocol::kLathe,
                   .permission = base::Permission::kRead,
                   .limits = {},
                   .handler = {}});
    }
    return routes;
  }();
  return *made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto decoded = net::percent_decode(text, false)) {
    REQUIRE(decoded->size() <= text.size());
    REQUIRE(decoded->find('\0') == decoded->npos || text.find('\0') != text.npos);
    REQUIRE(net::percent_decode(net::percent_encode(*decoded), false) == *decoded);
    const auto match = table().find(net::Method::kGet, *decoded);
    if (match.route) {
      for (const auto& [name, value] : match.params) REQUIRE(decoded->find(value) != decoded->npos);
    }
    REQUIRE(!net::name(net::protocol_of(*decoded)).empty());
  }
  fuzz::HeadOnly request;
  request.query = text;
  const auto all = request.query_values("a");
  const auto first = request.query_value("a");
  REQUIRE(!first || (!all.empty() && all.front() == *first));
  (void)net::is_utf8(text);
  return 0;
}
