// The browser's pages: one fallback route that answers GET and HEAD for every path that no protocol claims.
#pragma once

#include <string_view>

#include "net/router.h"

namespace api::pages {

// Everything the pages load comes from this server; nothing may frame them, and no script is written in a page.
inline constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'";

void add_page_routes(net::RouteTable& routes);                               // the binary's own pages
void add_page_routes(net::RouteTable& routes, std::string_view pack_bytes);  // these; for tests

// Which of "br", "gzip" or "" (as it is) an Accept-Encoding asks for most; a coding with q=0 is refused.
std::string_view choose_coding(std::string_view accept_encoding);

}  // namespace api::pages
