#include "net/proxy_headers.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "net/text.h"

namespace net {
namespace {

// Of one connection, not of the message (RFC 9110, 7.6.1).
constexpr std::string_view kHopByHop[] = {
    "connection",        "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade"};
// Made anew for the backend, or not for its eyes.
constexpr std::string_view kNotForBackend[] = {"authorization", "content-length", "cookie",    "expect",
                                               "forwarded",     "host",           "x-real-ip", "x-request-id"};
// This server writes them itself.
constexpr std::string_view kNotForClient[] = {"content-length", "content-type", "date", "x-content-type-options",
                                              "x-request-id"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view n) { return equals_ignoring_case(n, name); });
}

bool is_our_cookie(std::string_view pair) {
  const std::string_view name = trim(pair.substr(0, pair.find('=')));
  return name.starts_with("lathe_") || name.starts_with("__Host-lathe_");
}

std::string_view find(std::span<const Header> headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

void append(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  const size_t begin = out.size();
  out.append(value).append("\r\n");
  for (size_t i = begin; i + 2 < out.size(); ++i) {
    if (out[i] == '\r' || out[i] == '\n' || out[i] == '\0') out[i] = ' ';
  }
}

// Every cookie but ours, as one header.
void append_cookies(std::string& out, const Request& request) {
  std::string kept;
  for (const auto& [name, value] : request.headers) {
    if (name != "cookie") continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::string_view pair = rest.substr(0, rest.find(';'));
      rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
      if (trim(pair).empty() || is_our_cookie(pair)) continue;
      kept.append(kept.empty() ? "" : "; ").append(trim(pair));
    }
  }
  if (!kept.empty()) append(out, "Cookie", kept);
}

std::string_view address_of(const Peer& peer) {
  std::string_view address = peer.address;
  if (address.starts_with('[')) return address.substr(1, address.find(']') - 1);
  return address.substr(0, address.find(':'));
}

// A proxy of ours in front has said who the client is; anybody else's word on that counts for nothing.
void append_forwarded(std::string& out, const Request& request) {
  const auto told = [&](std::string_view name) {
    return request.peer.is_proxy ? request.header(name) : std::string_view();
  };
  std::string chain(told("x-forwarded-for"));
  chain.append(chain.empty() ? "" : ", ").append(address_of(request.peer));
  append(out, "X-Forwarded-For", chain);
  const std::string_view proto = told("x-forwarded-proto");
  append(out, "X-Forwarded-Proto", !proto.empty() ? proto : request.peer.secure ? "https" : "http");
  const std::string_view host = told("x-forwarded-host");
  append(out, "X-Forwarded-Host", !host.empty() ? host : request.header("host"));
  append(out, "Host", !host.empty() ? host : request.header("host"));
}

std::string_view origin_form(std::string_view target) {
  if (!target.starts_with("http://") && !target.starts_with("https://")) return target;
  const size_t path = target.find_first_of("/?", target.find("//") + 2);
  return path == target.npos ? "/" : target.substr(path);
}

}  // namespace

bool asks_for_upgrade(const Request& request) {
  return request.method == Method::kGet && request.content_length == 0 && !request.header("upgrade").empty() &&
         lists_token(request.header("connection"), "upgrade");
}

void write_request_head(std::string& out, const Request& request, std::span<const Header> set, bool upgrade) {
  const std::string_view named = request.header("connection");
  const std::string_view target = origin_form(request.target);
  out.append(name(request.method)).append(target.starts_with('/') ? " " : " /").append(target).append(" HTTP/1.1\r\n");
  append_forwarded(out, request);
  for (const auto& [name, value] : request.headers) {
    if (is_one_of(name, kNotForBackend) || is_one_of(name, kHopByHop) || name.starts_with("x-forwarded-")) continue;
    if (!named.empty() && lists_token(named, name)) continue;
    if (!find(set, name).empty()) continue;
    append(out, name, value);
  }
  append_cookies(out, request);
  append(out, "X-Request-Id", request.ctx.request_id);
  for (const auto& [name, value] : set) append(out, name, value);
  if (upgrade) {
    append(out, "Connection", "Upgrade");
    append(out, "Upgrade", request.header("upgrade"));
  } else if (!request.content_length) {
    append(out, "Transfer-Encoding", "chunked");
  } else if (*request.content_length != 0 || request.method == Method::kPost || request.method == Method::kPut ||
             request.method == Method::kPatch) {
    append(out, "Content-Length", std::to_string(*request.content_length));
  }
  out.append("\r\n");
}

void append_chunk_size(std::string& out, size_t bytes) {
  char digits[20];
  out.append(digits, static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, bytes, 16).ptr - digits));
  out.append("\r\n");
}

std::string copy_answer_headers(std::span<const Header> headers, Response& response) {
  const std::string_view named = find(headers, "connection");
  for (const auto& [name, value] : headers) {
    if (is_one_of(name, kNotForClient) || is_one_of(name, kHopByHop)) continue;
    if (!named.empty() && lists_token(named, name)) continue;
    if (equals_ignoring_case(name, "set-cookie") && is_our_cookie(value)) continue;
    response.header(name, value);
  }
  return std::string(find(headers, "content-type"));
}

void copy_upgrade_headers(std::span<const Header> headers, Response& response) {
  const std::string_view protocol = find(headers, "upgrade");
  copy_answer_headers(headers, response);
  response.header("Upgrade", std::string(protocol));
}

}  // namespace net
