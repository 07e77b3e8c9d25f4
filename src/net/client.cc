#include "net/client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>
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
  const std::function<bool(const ClientResponse&)>* accept = nullptr;
  CURL* curl = nullptr;
  bool for_sink() {
    if (sink == nullptr) return false;
    if (response.status == 0) {
      long status = 0;
      curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
      response.status = static_cast<int>(status);
      if (accept != nullptr && *accept) refused = !(*accept)(response);
    }
    return !refused;
  }
  bool refused = false;
  std::string_view body;  // to send
  base::Fd file;          // or this, from file_from on
  uint64_t file_from = 0;
  uint64_t size = 0, sent = 0;  // of the body
  const ClientRequest* request = nullptr;
  bool forbidden = false;  // may_connect said no, so far to all
};

curl_socket_t on_open_socket(void* user, curlsocktype purpose, curl_sockaddr* address) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (purpose != CURLSOCKTYPE_IPCXN || !exchange.request->may_connect(address->addr)) {
    exchange.forbidden = true;
    return CURL_SOCKET_BAD;
  }
  exchange.forbidden = false;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(user)->request->cancelled.stop_requested() ? 1 : 0;
}

size_t on_header(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    exchange.response.headers.clear();  // of an interim answer
    exchange.response.status = 0;
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
  if (exchange.for_sink()) {
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
  size_t n = static_cast<size_t>(std::min<uint64_t>(size, exchange.size - exchange.sent));
  if (n == 0) return 0;
  if (exchange.file) {
    const ssize_t got = ::pread(exchange.file.get(), into, n, static_cast<off_t>(exchange.file_from + exchange.sent));
    if (got <= 0) return CURL_READFUNC_ABORT;  // also a file that has become shorter
    n = static_cast<size_t>(got);
  } else {
    std::memcpy(into, exchange.body.data() + exchange.sent, n);
  }
  exchange.sent += n;
  return n;
}

// A kept connection turned out to be dead after part of the body was sent on it: libcurl begins again on a new one.
int on_rewind(void* user, curl_off_t to, int origin) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (origin != SEEK_SET || to < 0 || static_cast<uint64_t>(to) > exchange.size) return CURL_SEEKFUNC_CANTSEEK;
  exchange.sent = static_cast<uint64_t>(to);
  return CURL_SEEKFUNC_OK;
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
  ClientCertificate certificate;
  base::Result<ClientResponse> perform(const ClientRequest& request, const Client& client,
                                       const std::function<bool(std::string_view)>* sink);
  base::Result<void> open_body(const ClientRequest& request, Exchange& exchange);
};

Client::Client() : impl_(std::make_unique<Impl>()) {
  start_curl_once();
  impl_->curl = curl_easy_init();
}
void Client::present(ClientCertificate certificate) { impl_->certificate = std::move(certificate); }
Client::~Client() { curl_easy_cleanup(impl_->curl); }

base::Result<ClientResponse> Client::call(const ClientRequest& request) {
  return impl_->perform(request, *this, nullptr);
}

base::Result<ClientResponse> Client::stream(const ClientRequest& request, std::function<bool(std::string_view)> sink) {
  return impl_->perform(request, *this, &sink);
}

base::Result<void> Client::Impl::open_body(const ClientRequest& request, Exchange& exchange) {
  if (request.body_file.empty()) {
    exchange.body = request.body;
    exchange.size = request.body.size();
    return {};
  }
  TRY_SET(exchange.file, base::open_file(request.body_file, O_RDONLY));
  struct stat info{};
  if (fstat(exchange.file.get(), &info) != 0) return base::errno_error(request.body_file.string(), errno);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (request.body_offset > size || request.body_bytes.value_or(0) > size - request.body_offset)
    return base::internal(request.body_file.string() + " is shorter than what is to be sent of it");
  exchange.file_from = request.body_offset;
  exchange.size = request.body_bytes.value_or(size - request.body_offset);
  return {};
}

base::Result<ClientResponse> Client::Impl::perform(const ClientRequest& request, const Client& client,
                                                   const std::function<bool(std::string_view)>* sink) {
  if (curl == nullptr) return base::internal("libcurl could not be started");
  Exchange exchange;
  exchange.request = &request;
  exchange.sink = sink;
  exchange.max_bytes = request.max_answer_bytes;
  exchange.accept = &request.accept;
  exchange.curl = curl;
  curl_easy_reset(curl);
  HeaderList headers;
  for (const auto& [name, value] : request.headers) headers.add(value.empty() ? name + ";" : name + ": " + value);
  headers.add("Expect:");  // no round trip before a body
  const bool has_body = !request.body_file.empty() || !request.body.empty() || request.method == "POST" ||
                        request.method == "PUT" || request.method == "PATCH";
  if (has_body) {
    TRY(open_body(request, exchange));
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(exchange.size));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(curl, CURLOPT_READDATA, &exchange);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_rewind);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, &exchange);
  }
  if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  if (!client.ca_file_.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, client.ca_file_.c_str());
  if (!certificate.certificate.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, certificate.certificate.c_str());
    curl_easy_setopt(curl, CURLOPT_SSLKEY, certificate.key.c_str());
  }
  if (!request.unix_socket.empty()) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  if (request.may_connect) {
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);  // one that is kept open was checked for somebody else
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &exchange);
  }
  if (request.cancelled.stop_possible()) {
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
  }
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
  if (request.timeout_us > 0)
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout_us / 1000 + 1));
  if (request.stall_us > 0) {
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_us / 1'000'000 + 1));
  }
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  const CURLcode rc = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  if (rc == CURLE_ABORTED_BY_CALLBACK) return base::fail(base::Code::kCancelled, request.url + ": given up");
  if (exchange.forbidden && rc != CURLE_OK) {
    return base::fail(base::Code::kForbidden, request.url + ": the address of this host may not be connected to");
  }
  if (rc == CURLE_OK || exchange.stopped) return std::move(exchange.response);
  if (exchange.too_large) {
    return base::fail(base::Code::kTooLarge, request.url + ": the answer has more than " +
                                                 std::to_string(request.max_answer_bytes) + " bytes");
  }
  // An answer that came before the whole body was sent (a refusal) counts, even if the connection broke after it.
  if (status >= 400 && (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR)) return std::move(exchange.response);
  const std::string why = reason[0] != '\0' ? reason : curl_easy_strerror(rc);
  if (rc == CURLE_PEER_FAILED_VERIFICATION) {
    return base::fail(base::Code::kUnavailable,
                      request.url + ": " + why + "; name the authority to trust with " + client.how_to_trust_);
  }
  const auto code = rc == CURLE_OPERATION_TIMEDOUT ? base::Code::kDeadline : base::Code::kUnavailable;
  return base::fail(code, request.url + ": " + why);
}

}  // namespace net
