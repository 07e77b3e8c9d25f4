// HTTP client over libcurl. Blocking form for the CLI, workers and plain threads; the server's own outgoing calls
// (webhooks, S3) get an awaitable form when they come. Redirects are not followed. Thread: one Client per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace net {

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  base::Path body_file;              // instead of body: streamed from disk
  int64_t timeout_us = 60'000'000;   // whole call; 0: none (streams)
  size_t max_answer_bytes = size_t{256} << 20;
};

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case names
  std::string body;
  std::string_view header(std::string_view lower_case_name) const;
};

class Client {
 public:
  Client();
  ~Client();
  // Fails only without an HTTP answer (kUnavailable: connection refused, …; kDeadline).
  base::Result<ClientResponse> call(const ClientRequest& request);
  // Streams the answer; `sink` returns false to stop.
  base::Result<ClientResponse> stream(const ClientRequest& request, std::function<bool(std::string_view)> sink);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
