// HTTP client over libcurl. Blocking form for the CLI, workers and plain threads; the server's own outgoing calls
// (webhooks, S3) get an awaitable form when they come. Redirects are not followed. Thread: one Client per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

struct sockaddr;

namespace net {

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case names
  std::string body;
  std::string_view header(std::string_view lower_case_name) const;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  base::Path body_file;                // instead of body: streamed from disk
  uint64_t body_offset = 0;            // of body_file: where it begins,
  std::optional<uint64_t> body_bytes;  // and how much of it; default: to its end
  int64_t timeout_us = 60'000'000;     // whole call; 0: none (streams)
  int64_t stall_us = 0;                // no byte either way for so long (whole seconds): kDeadline; 0: no such limit
  size_t max_answer_bytes = size_t{256} << 20;
  // stream(): looks at status and headers before the first byte of a body. False: not for the sink; the body becomes
  // ClientResponse::body (up to max_answer_bytes).
  std::function<bool(const ClientResponse&)> accept;
  base::Path unix_socket;  // connect there, whatever the URL's host
  // Asked of each address before a connection to it is opened, so that what was checked is what is used; then no proxy
  // is used either. kForbidden when no address of the host passes.
  std::function<bool(const sockaddr&)> may_connect;
  std::stop_token cancelled;  // kCancelled within a second
};

// Who the client is, to servers that ask for a certificate (mutual TLS). PEM files, the key without a passphrase.
struct ClientCertificate {
  base::Path certificate, key;
};

class Client {
 public:
  Client();
  ~Client();
  void present(ClientCertificate certificate);
  // PEM: instead of the system's authorities. `how` is told to whom a certificate is refused.
  void trust(const base::Path& ca_file, std::string how = "--ca-cert or LATHE_CA_CERT") {
    ca_file_ = ca_file;
    how_to_trust_ = std::move(how);
  }
  // Fails only without an HTTP answer (kUnavailable: connection refused, …; kDeadline).
  base::Result<ClientResponse> call(const ClientRequest& request);
  // Streams the answer; `sink` returns false to stop.
  base::Result<ClientResponse> stream(const ClientRequest& request, std::function<bool(std::string_view)> sink);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  base::Path ca_file_;
  std::string how_to_trust_ = "--ca-cert or LATHE_CA_CERT";
};

}  // namespace net
