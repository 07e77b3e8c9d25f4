#include "net/access.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/resource_access.h"
#include "net/text.h"

namespace net {
namespace {

using base::Code;

// Of "host[:port]" or "[v6][:port]".
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    return close == authority.npos ? authority : authority.substr(0, close + 1);
  }
  return authority.substr(0, authority.find(':'));
}

bool valid_port(std::string_view authority, std::string_view host) {
  std::string_view port = authority.substr(host.size());
  if (port.empty()) return true;
  port.remove_prefix(1);
  if (authority[host.size()] != ':' || port.empty() || port.size() > 5) return false;
  return std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_address(std::string_view host, bool* loopback) {
  if (host.front() != '[' && (host.front() < '0' || host.front() > '9')) return false;
  in6_addr v6{};
  in_addr v4{};
  std::string text(host);
  if (text.size() > 2 && text.front() == '[') {
    text = text.substr(1, text.size() - 2);
    if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
    *loopback = IN6_IS_ADDR_LOOPBACK(&v6);
    return true;
  }
  if (inet_pton(AF_INET, text.c_str(), &v4) != 1) return false;
  *loopback = (ntohl(v4.s_addr) >> 24) == 127;
  return true;
}

bool is_listed(const AccessPolicy& policy, std::string_view host) {
  std::string name(host);
  std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (name.size() > 1 && name.back() == '.') name.pop_back();
  return std::ranges::any_of(policy.allowed_hosts, [&](const std::string& allowed) {
    if (allowed == "*" || allowed == name) return true;
    return allowed.starts_with("*.") && name.size() > allowed.size() - 1 &&
           std::string_view(name).ends_with(std::string_view(allowed).substr(1));
  });
}

// "a, b, c" → "c": what the proxy next to us has added itself; all before it is hearsay.
std::string_view last_of(std::string_view list) {
  const size_t comma = list.rfind(',');
  return trim(comma == list.npos ? list : list.substr(comma + 1));
}

// The value of a cookie; the first of that name.
std::string_view cookie_value(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(';'), header.size());
    const std::string_view pair = trim(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const size_t equals = pair.find('=');
    if (equals != pair.npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
  }
  return {};
}

struct Headers {  // those that matter here, found in one pass
  const std::string* host = nullptr;
  const std::string* forwarded_host = nullptr;
  const std::string* origin = nullptr;
  const std::string* authorization = nullptr;
  const std::string* project = nullptr;
  std::string_view site, mode, cookie, forwarded_for, forwarded_proto;
  const std::string* proxy = nullptr;  // name of a header that only proxies set
};

base::Result<void> once(const std::string*& slot, const Header& header) {
  if (slot != nullptr && *slot != header.second)
    return base::invalid("the header '" + header.first + "' comes twice, with two values");
  slot = &header.second;
  return {};
}

base::Result<Headers> find_headers(const Request& request) {
  Headers found;
  for (const auto& header : request.headers) {
    const auto& [name, value] = header;
    switch (name.size()) {
      case 4:
        if (name == "host") found.host = &value;
        break;
      case 6:
        if (name == "origin") TRY(once(found.origin, header));
        if (name == "cookie" && found.cookie.empty()) found.cookie = value;
        break;
      case 9:
        if (name == "forwarded" || name == "x-real-ip") found.proxy = &name;
        break;
      case 13:
        if (name == "authorization") TRY(once(found.authorization, header));
        break;
      case 14:
        if (name == "sec-fetch-site") found.site = value;
        if (name == "sec-fetch-mode") found.mode = value;
        break;
      case 15:
        if (name == "x-lathe-project") TRY(once(found.project, header));
        if (name == "x-forwarded-for") found.forwarded_for = value;
        break;
      case 17:
        if (name == "x-forwarded-proto") found.forwarded_proto = value;
        break;
      case 18:
        if (name == "x-mlflow-workspace") TRY(once(found.project, header));
        break;
      case 16:
        if (name == "x-forwarded-host") found.forwarded_host = &value;
        break;
      default: break;
    }
    if (name.size() > 12 && name.starts_with("x-forwarded-")) found.proxy = &name;
  }
  return found;
}

base::Result<void> check_host(const AccessPolicy& policy, const Headers& headers) {
  if (headers.host == nullptr || is_allowed_host(policy, *headers.host)) return {};
  std::string allowed = policy.loopback_only ? "localhost, 127.0.0.1 and [::1]" : "its addresses and localhost";
  for (const auto& host : policy.allowed_hosts) allowed.append(", ").append(host);
  return base::fail(Code::kForbidden, "the Host header is '" + headers.host->substr(0, 200) +
                                          "', but this server answers to " + allowed +
                                          " only; further names are allowed with --allowed-host");
}

// Whether `origin` is this server as the browser sees it. A proxy that does not say how it was reached may be either.
bool is_own_origin(const AccessPolicy& policy, const Headers& headers, std::string_view origin, bool secure,
                   bool behind_proxy) {
  std::string_view rest;
  if (origin.starts_with("https://")) {
    if (!secure && !(behind_proxy && headers.forwarded_proto.empty())) return false;
    rest = origin.substr(8);
  } else if (origin.starts_with("http://")) {
    if (secure) return false;
    rest = origin.substr(7);
  } else {
    return false;
  }
  if (headers.host != nullptr && equals_ignoring_case(rest, *headers.host)) return true;
  // A proxy may speak to us under another name than the browser to it; then the name must be one that was announced.
  if (!behind_proxy || rest.empty()) return false;
  AccessPolicy listed;
  for (const auto& host : policy.allowed_hosts) {
    if (host != "*") listed.allowed_hosts.push_back(host);
  }
  return is_listed(listed, host_of(rest));
}

// A proxy's word for the client's address, without a port; "" if it is none.
std::string_view forwarded_address(std::string_view header) {
  std::string_view text = last_of(header);
  if (text.starts_with('[')) return host_of(text).size() > 2 ? host_of(text) : std::string_view();
  if (std::ranges::count(text, ':') == 1) text = text.substr(0, text.find(':'));
  const bool sane =
      text.size() <= 45 && std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' || c == ':';
      });
  return sane ? text : std::string_view();
}

// AWS's clients can only sign: one that is ours has a token of ours as its access key id,
// "Credential=lathe_…/20300101/…". The token is the credential, as a bearer's is; the signature adds nothing to it. ""
// if it is somebody else's.
std::string_view token_of_signature(std::string_view parameters) {
  constexpr std::string_view kKey = "Credential=";
  constexpr std::string_view kToken = "lathe_";  // core::kTokenPrefix
  const size_t at = parameters.find(kKey);
  if (at == parameters.npos) return {};
  parameters.remove_prefix(at + kKey.size());
  const std::string_view id = parameters.substr(0, parameters.find_first_of("/, "));
  return id.starts_with(kToken) ? id : std::string_view();
}

void read_credential(const Headers& headers, Presented& out) {
  if (headers.authorization != nullptr) {
    const std::string_view value = *headers.authorization;
    const size_t space = std::min(value.find(' '), value.size());
    const std::string_view scheme = value.substr(0, space);
    if (equals_ignoring_case(scheme, "bearer")) {
      out.kind = Presented::Kind::kBearer;
    } else if (equals_ignoring_case(scheme, "basic")) {
      out.kind = Presented::Kind::kBasic;
    }
    if (scheme == "AWS4-HMAC-SHA256") out.secret = token_of_signature(value.substr(space));
    if (!out.secret.empty()) {
      out.kind = Presented::Kind::kBearer;
      return;
    }
    // Another scheme signs for another service, as a notebook page does for its own server; it says nothing to us.
    if (out.kind != Presented::Kind::kNothing) {
      out.secret = trim(value.substr(space));
      return;
    }
  }
  if (headers.cookie.empty()) return;
  const std::string_view session = cookie_value(headers.cookie, out.secure ? kSecureSessionCookie : kSessionCookie);
  if (!session.empty()) {
    out.kind = Presented::Kind::kSession;
    out.secret = session;
  }
}

}  // namespace

bool is_allowed_host(const AccessPolicy& policy, std::string_view authority) {
  const std::string_view host = host_of(authority);
  if (host.empty() || !valid_port(authority, host)) return false;
  if (host == "127.0.0.1" || host == "[::1]" || equals_ignoring_case(host, "localhost")) return true;
  // Rebinding needs a name: an address in the Host header was typed by the user, or is what a page's own server has.
  bool loopback = false;
  if (is_address(host, &loopback) && (loopback || !policy.loopback_only)) return true;
  return is_listed(policy, host);
}

base::Result<Presented> read_presented(const AccessPolicy& policy, const Request& request) {
  TRY_SET(Headers headers, find_headers(request));
  const bool behind_proxy = request.peer.is_proxy;
  if (headers.proxy != nullptr && !behind_proxy) {
    return base::fail(Code::kForbidden, "a proxy stands before this server (" + *headers.proxy +
                                            "), but none was announced at its address; start the server with "
                                            "--behind-proxy ADDRESS, or connect to it directly");
  }
  if (!policy.encrypted && !request.peer.loopback && !behind_proxy) {
    return base::fail(Code::kForbidden,
                      "in the clear this server answers other machines only through the proxies that "
                      "--behind-proxy names; use the proxy's address");
  }
  if (behind_proxy && headers.forwarded_host != nullptr) headers.host = headers.forwarded_host;
  TRY(check_host(policy, headers));
  Presented out;
  out.secure = request.peer.secure;
  if (behind_proxy && !headers.forwarded_proto.empty())
    out.secure = equals_ignoring_case(last_of(headers.forwarded_proto), "https");
  if (headers.origin != nullptr) {
    out.same_origin = is_own_origin(policy, headers, *headers.origin, out.secure, behind_proxy);
    if (!out.same_origin) {
      return base::fail(Code::kForbidden,
                        "a page of the origin '" + headers.origin->substr(0, 200) + "' may not speak to this server");
    }
  } else {
    out.same_origin = headers.site == "same-origin";
  }
  const bool reads = request.method == Method::kGet || request.method == Method::kHead;
  out.asks_for_page = headers.mode == "navigate" && reads;
  if ((headers.site == "cross-site" || headers.site == "same-site") && !out.asks_for_page)
    return base::fail(Code::kForbidden, "a page of another site may not speak to this server");

  const std::string_view peer = request.peer.address;
  out.address = host_of(peer).size() == peer.size() ? peer : host_of(peer);
  if (behind_proxy && !headers.forwarded_for.empty()) {
    const std::string_view client = forwarded_address(headers.forwarded_for);
    if (!client.empty()) out.address = client;
  }
  if (headers.project != nullptr) {
    out.project = *headers.project;
  } else if (request.query.find("project=") != std::string::npos) {
    out.project = request.query_value("project").value_or("");
  }
  read_credential(headers, out);
  return out;
}

std::string origin_of_server(const Request& request) {
  const auto told = [&](std::string_view name) {
    return request.peer.is_proxy ? last_of(request.header(name)) : std::string_view();
  };
  const std::string_view proto = told("x-forwarded-proto"), host = told("x-forwarded-host");
  const bool secure = proto.empty() ? request.peer.secure : equals_ignoring_case(proto, "https");
  return std::string(secure ? "https://" : "http://").append(host.empty() ? request.header("host") : host);
}

std::string session_cookie(std::string_view secret, bool secure, int64_t max_age_s) {
  std::string out(secure ? kSecureSessionCookie : kSessionCookie);
  out.append("=").append(secret).append("; Path=/; HttpOnly; SameSite=Lax; Max-Age=");
  out.append(std::to_string(secret.empty() ? 0 : max_age_s));
  if (secure) out.append("; Secure");
  return out;
}

base::Result<void> check_permission(const Grant& grant, base::Permission permission, Scope scope) {
  switch (scope) {
    case Scope::kSelf: return {};
    case Scope::kServer:
      if (grant.rules_server) return {};
      return base::fail(Code::kForbidden, "'" + grant.actor.name + "' is no administrator of this server");
    case Scope::kProject: break;
  }
  if (!grant.project_known) {
    return base::not_found("project '" + grant.project_name.substr(0, 80) + "' does not exist, or '" +
                           grant.actor.name +
                           "' has no role in it; a request names its project in the header X-Lathe-Project");
  }
  if (grant.permissions.has(permission)) return {};
  static constexpr std::string_view kWhat[] = {
      "", "read", "write in", "run code in", "ask models of", "administer", "be a data plane of"};
  return base::fail(Code::kForbidden, "'" + grant.actor.name + "' has no permission to " +
                                          std::string(kWhat[static_cast<size_t>(permission)]) + " project '" +
                                          grant.project_name + "'");
}

base::Result<void> check_permission(const Grant& grant, const Route& route) {
  const bool looks = route.permission == base::Permission::kRead || route.permission == base::Permission::kWrite;
  if (!grant.limited || !looks || route.scope != Scope::kProject || !grant.project_known)
    return check_permission(grant, route.permission, route.scope);
  if (route.checks_resources) return {};
  if (route.protocol == Protocol::kInference || route.protocol == Protocol::kGrpc ||
      route.protocol == Protocol::kKserveV1)
    return check_permission(grant, route.permission, route.scope);
  // It may show or change what belongs to any experiment.
  const auto resources = grant.resources.load();
  if (route.permission == base::Permission::kRead && resources && resources->reads_all())
    return check_permission(grant, route.permission, route.scope);
  return base::fail(Code::kForbidden, "'" + grant.actor.name + "' has rights by experiment and model in project '" +
                                          grant.project_name + "'; this is about the whole project");
}

}  // namespace net
