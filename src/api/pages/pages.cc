#include "api/pages/pages.h"

#include <memory>

#include "api/pages/pack.h"
#include "base/assert.h"

namespace api::pages {

namespace {

constexpr std::string_view kIndex = "/index.html";
constexpr std::string_view kNoPages =
    "This lathe was built without its browser pages: the packages of web/ were not installed when it was compiled.\n"
    "Run ./dev setup, then ./dev build. The API and the command line work as they are.\n";

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// "0", "0.", "0.000": a quality of nothing. Among what is allowed the better compression wins, whatever its quality:
// browsers send none, and other clients do not care.
bool is_zero_quality(std::string_view parameters) {
  const size_t at = parameters.find("q=");
  if (at == parameters.npos) return false;
  const std::string_view q = trim(parameters.substr(at + 2));
  return q.starts_with('0') && q.find_first_of("123456789") == q.npos;
}

bool accepts_html(std::string_view accept) {
  return accept.find("text/html") != accept.npos || accept.find("application/xhtml") != accept.npos;
}

// If-None-Match compares weakly: W/"x" equals "x".
bool matches(std::string_view if_none_match, std::string_view etag) {
  while (!if_none_match.empty()) {
    const size_t comma = if_none_match.find(',');
    std::string_view one = trim(if_none_match.substr(0, comma));
    if_none_match = comma == if_none_match.npos ? std::string_view() : if_none_match.substr(comma + 1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

void protect(net::Response& response) {
  response.header("Content-Security-Policy", std::string(kContentSecurityPolicy));
  response.header("X-Frame-Options", "DENY");
  response.header("Referrer-Policy", "same-origin");
  response.header("Cross-Origin-Opener-Policy", "same-origin");
  response.header("Cross-Origin-Resource-Policy", "same-origin");
}

void send_file(const net::Request& request, net::Response& response, const File& file) {
  std::string_view coding = choose_coding(request.header("accept-encoding"));
  if (coding == "br" && file.brotli.empty()) coding = file.gzip.empty() ? "" : "gzip";
  if (coding == "gzip" && file.gzip.empty()) coding = "";
  const std::string_view body = coding == "br" ? file.brotli : coding == "gzip" ? file.gzip : file.raw;

  std::string etag = "\"";
  etag.append(file.digest).append(coding.empty() ? "" : "-").append(coding).append("\"");
  protect(response);
  response.header("Cache-Control", file.immutable ? "public, max-age=31536000, immutable" : "no-cache");
  response.header("Vary", "Accept-Encoding");
  response.header("ETag", etag);
  if (matches(request.header("if-none-match"), etag)) return response.send(304, "", "");
  if (!coding.empty()) response.header("Content-Encoding", std::string(coding));
  response.send(200, file.media_type, std::string(body));
}

void answer(const Pack& pack, const net::Request& request, net::Response& response) {
  if (pack.empty()) {
    protect(response);
    return response.send(request.path == "/" ? 200 : 404, "text/plain; charset=utf-8", std::string(kNoPages));
  }
  if (const File* file = pack.find(request.path == "/" ? kIndex : std::string_view(request.path)))
    return send_file(request, response, *file);
  // A missing script must not answer with a page, so names under /assets/ never fall back.
  const bool navigates = accepts_html(request.header("accept")) && !request.path.starts_with("/assets/");
  if (navigates) return send_file(request, response, *pack.find(kIndex));
  protect(response);
  response.header("Cache-Control", "no-store");
  response.send(404, "text/plain; charset=utf-8", "nothing is served at " + request.path + "\n");
}

}  // namespace

std::string_view choose_coding(std::string_view accept_encoding) {
  bool br = false;
  bool gzip = false;
  while (!accept_encoding.empty()) {
    const size_t comma = accept_encoding.find(',');
    std::string_view one = trim(accept_encoding.substr(0, comma));
    accept_encoding = comma == accept_encoding.npos ? std::string_view() : accept_encoding.substr(comma + 1);
    const size_t semicolon = one.find(';');
    const std::string_view name = trim(one.substr(0, semicolon));
    if (semicolon != one.npos && is_zero_quality(one.substr(semicolon + 1))) continue;
    br = br || name == "br";
    gzip = gzip || name == "gzip" || name == "x-gzip";
  }
  return br ? "br" : gzip ? "gzip" : "";
}

void add_page_routes(net::RouteTable& routes) { add_page_routes(routes, embedded_pack()); }

void add_page_routes(net::RouteTable& routes, std::string_view pack_bytes) {
  auto loaded = Pack::load(pack_bytes);
  ASSERT_ALWAYS(loaded && (loaded->empty() || loaded->find(kIndex) != nullptr));
  auto pack = std::make_shared<const Pack>(*std::move(loaded));
  routes.add_fallback({net::Method::kGet,
                       "/{path...}",
                       net::Protocol::kPage,
                       base::Permission::kNone,
                       {.body_bytes = 0},
                       [pack](net::Request& request, net::Response& response) -> base::Task<void> {
                         answer(*pack, request, response);
                         co_return;
                       }});
}

}  // namespace api::pages
