#include "net/client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "net/text.h"

namespace net {
namespace {

void start_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

struct Exchange {
  ClientResponse response;
  const std::function<bool(std::string_view)>* sink = nullptr;
  size_t max_bytes = 0;
  bool too_large = false;
  bool stopped = false;
  std::string_view body;  // left to send
  base::Fd file;
};

size_t on_header(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    exchange.response.headers.clear();  // of an interim answer
    return size;
  }
  const size_t colon = line.find(':');
  if (colon == line.npos) return size;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), ascii_lower);
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.remove_suffix(1);
  exchange.response.headers.emplace_back(std::move(name), trim(value));
  return size;
}

size_t on_body(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (exchange.sink != nullptr) {
    if ((*exchange.sink)({data, size})) return size;
    exchange.stopped = true;
    return 0;
  }
  if (exchange.response.body.size() + size > exchange.max_bytes) {
    exchange.too_large = true;
    return 0;
  }
  exchange.response.body.append(data, size);
  return size;
}

size_t on_send(char* into, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (exchange.file) {
    const ssize_t n = ::read(exchange.file.get(), into, size);
    return n < 0 ? CURL_READFUNC_ABORT : static_cast<size_t>(n);
  }
  const size_t n = std::min(size, exchange.body.size());
  std::memcpy(into, exchange.body.data(), n);
  exchange.body.remove_prefix(n);
  return n;
}

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
};

}  // namespace

std::string_view ClientResponse::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

struct Client::Impl {
  CURL* curl = nullptr;
  base::Result<ClientResponse> perform(const ClientRequest& request, const std::function<bool(std::string_view)>* sink);
  base::Result<uint64_t> open_body(const ClientRequest& request, Exchange& exchange);
};

Client::Client() : impl_(std::make_unique<Impl>()) {
  start_curl_once();
  impl_->curl = curl_easy_init();
}
Client::~Client() { curl_easy_cleanup(impl_->curl); }

base::Result<ClientResponse> Client::call(const ClientRequest& request) { return impl_->perform(request, nullptr); }

base::Result<ClientResponse> Client::stream(const ClientRequest& request, std::function<bool(std::string_view)> sink) {
  return impl_->perform(request, &sink);
}

base::Result<uint64_t> Client::Impl::open_body(const ClientRequest& request, Exchange& exchange) {
  if (request.body_file.empty()) {
    exchange.body = request.body;
    return request.body.size();
  }
  TRY_SET(exchange.file, base::open_file(request.body_file, O_RDONLY));
  struct stat info{};
  if (fstat(exchange.file.get(), &info) != 0) return base::errno_error(request.body_file.string(), errno);
  return static_cast<uint64_t>(info.st_size);
}

base::Result<ClientResponse> Client::Impl::perform(const ClientRequest& request,
                                                   const std::function<bool(std::string_view)>* sink) {
  if (curl == nullptr) return base::internal("libcurl could not be started");
  Exchange exchange;
  exchange.sink = sink;
  exchange.max_bytes = request.max_answer_bytes;
  curl_easy_reset(curl);
  HeaderList headers;
  for (const auto& [name, value] : request.headers) headers.add(value.empty() ? name + ";" : name + ": " + value);
  headers.add("Expect:");  // no round trip before a body
  const bool has_body = !request.body_file.empty() || !request.body.empty() || request.method == "POST" ||
                        request.method == "PUT" || request.method == "PATCH";
  if (has_body) {
    TRY_SET(const uint64_t size, open_body(request, exchange));
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(curl, CURLOPT_READDATA, &exchange);
  }
  if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
  if (request.timeout_us > 0) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout_us / 1000 + 1));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  const CURLcode rc = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  if (rc == CURLE_OK || exchange.stopped) return std::move(exchange.response);
  if (exchange.too_large) {
    return base::fail(base::Code::kTooLarge, request.url + ": the answer has more than " + std::to_string(request.max_answer_bytes) + " bytes");
  }
  // An answer that came before the whole body was sent (a refusal) counts, even if the connection broke after it.
  if (status >= 400 && (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR)) return std::move(exchange.response);
  const std::string why = reason[0] != '\0' ? reason : curl_easy_strerror(rc);
  const auto code = rc == CURLE_OPERATION_TIMEDOUT ? base::Code::kDeadline : base::Code::kUnavailable;
  return base::fail(code, request.url + ": " + why);
}

}  // namespace net
