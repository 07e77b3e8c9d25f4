#include "net/exchange.h"

#include <array>
#include <ctime>

#include "base/ids.h"
#include "net/text.h"

namespace net {
namespace {

constexpr size_t kRequestIdBytes = 128;

bool is_sane_request_id(std::string_view id) {
  if (id.empty() || id.size() > kRequestIdBytes) return false;
  for (char c : id) {
    const bool sane = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      std::string_view("-_.:/+=@").find(c) != std::string_view::npos;
    if (!sane) return false;
  }
  return true;
}

// "GET, POST, OPTIONS": for 405 and OPTIONS.
std::string allowed_methods(const RouteTable& routes, std::string_view path) {
  std::string allowed;
  for (Method m : {Method::kGet, Method::kHead, Method::kPost, Method::kPut, Method::kPatch, Method::kDelete}) {
    if (routes.find(m, path).route != nullptr) allowed.append(name(m)).append(", ");
  }
  return allowed + "OPTIONS";
}

// A path that reads the same decoded or not, and has no dot segment nor query: almost every target is one.
bool is_plain_path(std::string_view target) {
  static constexpr auto kPlain = [] {
    std::array<bool, 256> plain{};
    for (int c = 'a'; c <= 'z'; ++c) plain[static_cast<size_t>(c)] = plain[static_cast<size_t>(c - 32)] = true;
    for (int c = '0'; c <= '9'; ++c) plain[static_cast<size_t>(c)] = true;
    for (char c : std::string_view("/-_.~:")) plain[static_cast<size_t>(c)] = true;
    return plain;
  }();
  if (target.empty() || target.front() != '/') return false;
  char before = 0;
  for (char c : target) {
    if (!kPlain[static_cast<unsigned char>(c)] || (c == '.' && before == '/')) return false;
    before = c;
  }
  return true;
}

}  // namespace

base::Result<void> read_target(Request& request) {
  std::string_view target = request.target;
  if (is_plain_path(target)) {
    request.path = target;
    request.query.clear();
    return {};
  }
  if (target.starts_with("http://") || target.starts_with("https://")) {  // absolute form: its authority is the host
    target.remove_prefix(target.find("//") + 2);
    const size_t slash = target.find_first_of("/?");
    const std::string_view authority = target.substr(0, slash);
    for (auto& [name, value] : request.headers) {
      if (name == "host") value = authority;
    }
    target = slash == target.npos ? std::string_view("/") : target.substr(slash);
  }
  if (target == "*" && request.method == Method::kOptions) target = "/";
  const size_t mark = target.find('?');
  request.query.clear();
  if (mark != target.npos) request.query = target.substr(mark + 1);
  const std::string_view raw = target.substr(0, mark);
  request.path.clear();
  if (raw.empty() || raw.front() != '/') return base::invalid("the request target must begin with '/'");
  if (!percent_decode_into(raw, false, request.path)) {
    return base::invalid("the path has a '%' that is not followed by two hex digits, or a NUL");
  }
  if (!is_utf8(request.path)) return base::invalid("the path is not UTF-8");
  std::string_view rest = std::string_view(request.path).substr(1);
  for (size_t at = rest.find("."); at != rest.npos; at = rest.find(".", at + 1)) {
    if (at != 0 && rest[at - 1] != '/') continue;
    const std::string_view segment = rest.substr(at, rest.find('/', at) - at);
    if (segment == "." || segment == "..")
      return base::invalid("the path has a '" + std::string(segment) + "' segment");
  }
  if (request.path.find('\\') != std::string::npos) return base::invalid("the path has a backslash");
  if (request.query.find_first_of("%+") != std::string::npos) {
    auto decoded = percent_decode(request.query, true);
    if (!decoded) return base::invalid("the query has a '%' that is not followed by two hex digits, or a NUL");
    if (!is_utf8(*decoded)) return base::invalid("the query is not UTF-8");
  } else if (!is_utf8(request.query)) {
    return base::invalid("the query is not UTF-8");
  }
  return {};
}

void take_request_id(Request& request) {
  std::string& id = request.ctx.request_id;
  const std::string_view given = request.header("x-request-id");
  if (is_sane_request_id(given)) {
    id = given;
  } else {
    id.assign(std::string_view(base::make_id("rq", *request.ctx.random, request.ctx.now_us)));
  }
}

void begin_context(const ServerShared& shared, base::Context& ctx) {
  ctx.actor.kind = base::ActorKind::kSystem;
  ctx.actor.name.assign("nobody");
  ctx.actor.attempt.clear();
  ctx.project = base::kDefaultProject;
  ctx.now_us = shared.clock.wall_us();
  ctx.deadline_mono_us = 0;
  ctx.trace = {};
}

base::Result<void> take_slot(ServerShared& shared, Response& response) {
  if (shared.in_flight.fetch_add(1, std::memory_order_relaxed) < shared.limits.requests_in_flight) return {};
  shared.in_flight.fetch_sub(1, std::memory_order_relaxed);
  shared.refused_requests.add();
  response.header("Retry-After", "1");
  return base::fail(base::Code::kUnavailable, "too many requests are being answered; try again");
}

bool wants_no_page(const Request& request, std::optional<Protocol> protocol, std::string_view header_lines) {
  if (request.method != Method::kGet && request.method != Method::kHead) return false;
  if (protocol == Protocol::kPage || protocol == Protocol::kHub) return false;
  return header_lines.find("Content-Security-Policy: ") == header_lines.npos;
}

Routing find_route(const RouteTable& routes, Request& request, Response& response) {
  RouteTable::Match match = routes.find(request.method, request.path);
  if (match.route == nullptr && !match.path_known) {
    return {.refusal = base::Error{base::Code::kNotFound, std::string(kNothingServed) + request.path}};
  }
  if (match.route == nullptr) {
    const std::string allowed = allowed_methods(routes, request.path);
    response.header("Allow", allowed);
    if (request.method == Method::kOptions) {
      response.send(204, "", "");
      return {};
    }
    return {.refusal = base::Error{base::Code::kInvalid, std::string(name(request.method)) + " is not served at " +
                                                             request.path + "; allowed: " + allowed},
            .status = 405};
  }
  request.params = std::move(match.params);
  Routing found{.route = match.route, .protocol = match.route->protocol};
  if (request.content_length && *request.content_length > match.route->limits.body_bytes) {
    found.route = nullptr;
    found.refusal = base::Error{base::Code::kTooLarge, "the body has " + std::to_string(*request.content_length) +
                                                           " bytes; this route takes at most " +
                                                           std::to_string(match.route->limits.body_bytes)};
  }
  return found;
}

base::Result<void> use_grant(const Grant& grant, const Presented& presented, const Route& route, Request& request) {
  const bool reads = request.method == Method::kGet || request.method == Method::kHead;
  if (presented.kind == Presented::Kind::kSession && !reads && !presented.same_origin) {
    return base::fail(base::Code::kForbidden,
                      "a request with a session cookie that changes something must come from a page of this server "
                      "(an Origin header that names it, or Sec-Fetch-Site: same-origin); programs use a token");
  }
  if (route.protocol == Protocol::kPlane && request.peer.wants_certificate && !request.peer.certified) {
    return base::fail(base::Code::kForbidden,
                      "this server takes data planes with a certificate of its client authority only (lathe serve "
                      "--client-cert, --client-key), over https");
  }
  request.ctx.actor = grant.actor;
  request.ctx.project = grant.project;
  request.grant = &grant;
  return check_permission(grant, route);
}

std::string_view date_line() {
  thread_local time_t at = 0;
  thread_local char line[48];
  thread_local size_t size = 0;
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != at || size == 0) {
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    at = now.tv_sec;
    size = strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
  }
  return {line, size};
}

std::string_view http_date() {
  std::string_view line = date_line();
  line.remove_prefix(std::string_view("Date: ").size());
  line.remove_suffix(2);
  return line;
}

}  // namespace net
