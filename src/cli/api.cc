#include "cli/api.h"

#include <cstdlib>
#include <filesystem>

#include "base/hash.h"
#include "base/json.h"
#include "cli/credentials.h"

namespace cli {
namespace {

constexpr std::string_view kRoot = "/api/lathe/v1";

std::string normalised(std::string address) {
  if (address.find("://") == std::string::npos) address.insert(0, "http://");
  while (address.ends_with('/')) address.pop_back();
  return address;
}

// The server's own words for a refusal, or the status if there are none.
std::string message_of(const net::ClientResponse& response) {
  if (auto parsed = base::parse_json(response.body); parsed && parsed->is_object()) {
    if (const auto* error = parsed->as_object().if_contains("error"); error != nullptr && error->is_object()) {
      if (const auto* text = error->as_object().if_contains("message"); text != nullptr && text->is_string()) {
        return std::string(text->as_string());
      }
    }
  }
  std::string text = response.body.substr(0, 500);
  while (text.ends_with('\n')) text.pop_back();
  return "HTTP " + std::to_string(response.status) + (text.empty() ? "" : ": " + text);
}

void refuse_errors(const net::ClientResponse& response) {
  if (response.status >= 400) throw Failure(kRefused, message_of(response));
}

boost::json::value parse(const net::ClientResponse& response) {
  if (response.body.empty()) return nullptr;
  auto parsed = base::parse_json(response.body);
  if (!parsed) throw Failure(kRefused, "the server's answer is not JSON: " + parsed.error().message);
  return std::move(*parsed);
}

}  // namespace

namespace {

struct Found {
  std::string address;
  base::Path ca_file;  // beside the address; "": none
};

Found find(const Common& common) {
  if (!common.server.empty()) return {normalised(common.server), {}};
  if (const char* variable = std::getenv("LATHE_SERVER"); variable != nullptr && *variable != '\0')
    return {normalised(variable), {}};
  std::error_code ec;
  for (base::Path dir = std::filesystem::current_path(ec); !dir.empty(); dir = dir.parent_path()) {
    if (auto text = base::read_file(dir / ".lathe" / "address", 4096)) {
      while (!text->empty() && (text->back() == '\n' || text->back() == ' ')) text->pop_back();
      const base::Path ca_file = dir / ".lathe" / "ca.pem";
      return {normalised(*text), std::filesystem::exists(ca_file, ec) ? ca_file : base::Path()};
    }
    if (dir == dir.parent_path()) break;
  }
  throw Failure(kUnreachable,
                "no server found: neither --server nor LATHE_SERVER is given, and no folder from here upward "
                "has .lathe/address (is 'lathe up' running?)");
}

// Whom to trust: as told, else as found beside the address; "": the system's authorities.
base::Path authority(const Common& common, const Found& found) {
  const char* variable = std::getenv("LATHE_CA_CERT");
  base::Path file = common.ca_cert;
  if (file.empty() && variable != nullptr) file = variable;
  if (file.empty()) return found.ca_file;
  std::error_code ec;
  if (!std::filesystem::is_regular_file(file, ec))
    throw Failure(kUsage, "there is no file " + file.string() + " (--ca-cert, LATHE_CA_CERT: PEM of whom to trust)");
  return file;
}

}  // namespace

std::string text_of(const boost::json::object& from, std::string_view key) {
  const auto* found = from.if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
}

std::string find_server(const Common& common) { return find(common).address; }

bool has_server(const Common& common) {
  const char* named = std::getenv("LATHE_SERVER");
  if (!common.server.empty() || (named != nullptr && *named != '\0')) return true;
  net::ClientRequest request;
  try {
    request.url = find_server(common) + "/livez";
  } catch (const Failure&) {
    return false;
  }
  request.timeout_us = 5'000'000;
  net::Client client;
  if (const base::Path ca_file = authority(common, find(common)); !ca_file.empty()) client.trust(ca_file);
  return client.call(request).has_value();  // an address may be left of a server that was killed
}

Api::Api(const Common& common) : project_(common.project) {
  const Found found = find(common);
  server_ = found.address;
  if (const base::Path ca_file = authority(common, found); !ca_file.empty()) client_.trust(ca_file);
  if (const char* token = std::getenv("LATHE_TOKEN"); token != nullptr && *token != '\0') {
    authorization_ = std::string("Bearer ") + token;
  } else if (const auto kept = saved_token(server_)) {
    authorization_ = "Bearer " + *kept;
  }
}

void Api::use_password(std::string_view user, std::string_view password) {
  authorization_ = "Basic " + base::base64_encode(std::string(user).append(":").append(password));
}

void Api::prepare(net::ClientRequest& request, std::string_view path, bool absolute) const {
  request.url = server_;
  if (!absolute) request.url.append(kRoot);
  request.url.append(path);
  if (!authorization_.empty()) request.headers.emplace_back("Authorization", authorization_);
  if (!project_.empty()) request.headers.emplace_back("X-Lathe-Project", project_);
  if (const char* parent = std::getenv("TRACEPARENT"); parent != nullptr && *parent != '\0')
    request.headers.emplace_back("traceparent", parent);
}

net::ClientResponse Api::try_call(net::ClientRequest request, std::string_view path, bool absolute) {
  prepare(request, path, absolute);
  auto response = client_.call(request);
  if (!response) throw Failure(kUnreachable, response.error().message);
  return std::move(*response);
}

net::ClientResponse Api::call(net::ClientRequest request, std::string_view path, bool absolute) {
  auto response = try_call(std::move(request), path, absolute);
  refuse_errors(response);
  return response;
}

boost::json::value Api::get(std::string_view path) { return parse(call({}, path)); }

boost::json::value Api::post(std::string_view path, const boost::json::value& body) { return send("POST", path, body); }
boost::json::value Api::patch(std::string_view path, const boost::json::value& body) {
  return send("PATCH", path, body);
}

boost::json::value Api::send_slowly(const char* method, std::string_view path, std::string body) {
  net::ClientRequest request{.method = method,
                             .headers = {{"Content-Type", "application/json"}},
                             .body = std::move(body),
                             .timeout_us = 300'000'000};
  return parse(call(std::move(request), path));
}

boost::json::value Api::send(const char* method, std::string_view path, const boost::json::value& body) {
  net::ClientRequest request;
  request.method = method;
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = base::to_text(body);
  return parse(call(std::move(request), path));
}

void Api::stream(std::string_view path, const std::function<bool(std::string_view)>& sink) {
  net::ClientRequest request;
  request.timeout_us = 0;
  prepare(request, path, false);
  // A refusal's body is not for the sink; it is known by the status, which comes before it only in the end.
  std::string head;
  auto response = client_.stream(request, [&](std::string_view bytes) {
    if (head.size() < 4096) head.append(bytes.substr(0, 4096 - head.size()));
    return sink(bytes);
  });
  if (!response) throw Failure(kUnreachable, response.error().message);
  response->body = std::move(head);
  refuse_errors(*response);
}

}  // namespace cli
