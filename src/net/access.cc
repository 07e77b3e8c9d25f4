#include "net/access.h"

#include <array>

#include "net/text.h"

namespace net {
namespace {

// Of "host[:port]" or "[v6][:port]".
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    return close == authority.npos ? authority : authority.substr(0, close + 1);
  }
  return authority.substr(0, authority.find(':'));
}

bool is_loopback_name(std::string_view host) {
  if (equals_ignoring_case(host, "localhost") || host == "[::1]") return true;
  if (!host.starts_with("127.")) return false;
  int dots = 0;
  for (char c : host) {
    if (c == '.') {
      ++dots;
    } else if (c < '0' || c > '9') {
      return false;
    }
  }
  return dots == 3;
}

bool valid_port(std::string_view authority, std::string_view host) {
  std::string_view port = authority.substr(host.size());
  if (port.empty()) return true;
  port.remove_prefix(1);
  if (authority[host.size()] != ':' || port.size() > 5) return false;
  for (char c : port) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

}  // namespace

base::Result<void> check_local_headers(const Request& request) {
  using base::Code;
  std::string_view site;
  std::string_view mode;
  const std::string* origin = nullptr;
  const std::string* host = nullptr;
  for (const auto& [name, value] : request.headers) {
    switch (name.size()) {
      case 4:
        if (name == "host") host = &value;
        break;
      case 6:
        if (name == "origin") origin = &value;
        break;
      case 9:
        if (name != "forwarded" && name != "x-real-ip") break;
        return base::fail(Code::kForbidden, "a proxy stands before this server (" + name +
                                                "), but it serves its own machine's user only; connect to it directly");
      case 14:
        if (name == "sec-fetch-site") site = value;
        if (name == "sec-fetch-mode") mode = value;
        break;
      default: break;
    }
    if (name.size() > 12 && name.starts_with("x-forwarded-")) {
      return base::fail(Code::kForbidden, "a proxy stands before this server (" + name +
                                              "), but it serves its own machine's user only; connect to it directly");
    }
  }
  if (host != nullptr) {
    const std::string_view name = host_of(*host);
    if (!is_loopback_name(name) || !valid_port(*host, name)) {
      return base::fail(Code::kForbidden, "the Host header is '" + *host +
                                              "', but this server answers to localhost, 127.0.0.1 and [::1] only");
    }
  }
  if (origin != nullptr) {
    const bool same = host != nullptr && origin->starts_with("http://") &&
                      equals_ignoring_case(std::string_view(*origin).substr(7), *host);
    if (!same) {
      return base::fail(Code::kForbidden, "a page of the origin '" + *origin + "' may not speak to this server");
    }
  }
  const bool navigation = mode == "navigate" && (request.method == Method::kGet || request.method == Method::kHead);
  if ((site == "cross-site" || site == "same-site") && !navigation) {
    return base::fail(Code::kForbidden, "a page of another site may not speak to this server");
  }
  return {};
}

std::string_view bearer_secret(const Request& request) {
  const std::string_view value = request.header("authorization");
  const size_t space = value.find(' ');
  if (space == value.npos || !equals_ignoring_case(value.substr(0, space), "bearer")) return {};
  return trim(value.substr(space + 1));
}

namespace {

base::Result<void> check_permission(const Access& access, const Request& request, base::Permission permission) {
  const base::Actor& actor = request.ctx.actor;
  if (permission == base::Permission::kNone || access.may(actor.kind, permission)) return {};
  return base::fail(base::Code::kForbidden, "'" + actor.name + "' has no permission for this");
}

}  // namespace

base::Result<void> authorise_local(const Access& access, Request& request, base::Permission permission, bool same_user) {
  if (permission == base::Permission::kNone) return {};
  if (!same_user) {
    return base::fail(base::Code::kForbidden,
                      "this server serves its own user, and this connection comes from another user's process; send a "
                      "bearer token, or connect as the server's user");
  }
  request.ctx.actor.kind = base::ActorKind::kLocal;
  request.ctx.actor.name.assign("local");
  return check_permission(access, request, permission);
}

base::Task<base::Result<void>> authorise_token(const Access& access, Request& request, base::Permission permission) {
  auto caller = co_await access.find_token(std::string(bearer_secret(request)));
  if (!caller) co_return std::unexpected(std::move(caller).error());
  if (!*caller) {
    co_return base::fail(base::Code::kUnauthenticated,
                         "this bearer token is unknown, has expired or was revoked (a stage's token ends with its attempt)");
  }
  request.ctx.actor = std::move((*caller)->actor);
  request.ctx.project = (*caller)->project;
  co_return check_permission(access, request, permission);
}

}  // namespace net
