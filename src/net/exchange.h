// What every version of HTTP does alike with a request before its handler and after it. Free functions on a Request;
// the connection keeps the state. Thread: the connection's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/access.h"
#include "net/connection.h"
#include "net/http.h"
#include "net/router.h"

namespace net {

// What a request's context is before anybody is known: nobody, now.
void begin_context(const ServerShared& shared, base::Context& ctx);

// request.target → path and query; kInvalid for what can be read in two ways (dot segments, bad escapes, no UTF-8).
base::Result<void> read_target(Request& request);

// The caller's X-Request-Id if it is harmless, or a new one.
void take_request_id(Request& request);

// The route that a request asks for, its parameters in the request. Without one either `refusal` says why (`status` 0:
// the error's own), or it was OPTIONS, which is answered here.
struct Routing {
  const Route* route = nullptr;
  std::optional<Protocol> protocol;  // of the route, also when the request is more than the route takes
  std::optional<base::Error> refusal;
  int status = 0;
};
Routing find_route(const RouteTable& routes, Request& request, Response& response);

// Puts the grant's actor and project into the request, and checks the route's permission.
base::Result<void> use_grant(const Grant& grant, const Presented& presented, const Route& route, Request& request);

// Whether it matters whose the peer's socket is: nobody has said who he is, or a browser may have said it for him.
inline bool trusts_peer(const Presented& presented) {
  return presented.kind != Presented::Kind::kBearer && presented.kind != Presented::Kind::kBasic;
}

// Counts the request among those in flight. kUnavailable (and Retry-After is set) when there are too many.
base::Result<void> take_slot(ServerShared& shared, Response& response);

// The grant of the last request that needed one: the next that presents the same is not asked about.
struct KeptGrant {
  std::shared_ptr<const Grant> grant;
  Fingerprint fingerprint;
  // Null: the gate must be asked, and what it grants kept.
  const Grant* recall(const Access& access, const Presented& presented) const {
    const bool same = grant && access.fingerprint(presented) == fingerprint && access.is_current(*grant);
    return same ? grant.get() : nullptr;
  }
  void keep(const Access& access, const Presented& presented, std::shared_ptr<const Grant> given) {
    grant = std::move(given);
    fingerprint = access.fingerprint(presented);
  }
};

// "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", made anew once a second and thread; and its value alone.
std::string_view date_line();
std::string_view http_date();

// A browser that is sent to an answer of the API shows text: nothing runs, nothing is fetched, nobody frames it. Pages
// and artifacts say for themselves what they may do.
inline constexpr std::string_view kNoPage =
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n"
    "Referrer-Policy: same-origin\r\nX-Frame-Options: DENY\r\n";
bool wants_no_page(const Request& request, std::optional<Protocol> protocol, std::string_view header_lines);

}  // namespace net
