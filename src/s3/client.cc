#include "s3/client.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/hash.h"
#include "base/log.h"
#include "base/parallel.h"
#include "net/text.h"
#include "s3/xml.h"

namespace s3 {
namespace {

constexpr size_t kErrorBytes = 64 << 10;             // kept of an answer that is an error
constexpr int64_t kSmallCallUs = 30'000'000;         // a request without much of a body
constexpr int64_t kCompleteStallUs = 300'000'000;    // S3 joins the parts, or copies, before it answers
constexpr uint64_t kCopyPart = uint64_t{512} << 20;  // what is larger is copied in parts of it; S3's limit is 5 GiB
constexpr uint64_t kMostParts = 10'000;
constexpr uint64_t kLeastPart = uint64_t{5} << 20;
constexpr size_t kHashChunk = 1 << 20;

base::Result<std::string> sha256_of(const base::Path& file, uint64_t offset, uint64_t size) {
  TRY_SET(const base::Fd fd, base::open_file(file, O_RDONLY));
  base::Hasher hasher(base::HashAlgo::kSha256);
  std::string buffer(std::min<uint64_t>(kHashChunk, std::max<uint64_t>(size, 1)), '\0');
  while (size > 0) {
    const ssize_t n =
        ::pread(fd.get(), buffer.data(), std::min<uint64_t>(buffer.size(), size), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::errno_error(file.string(), errno);
    if (n == 0) return base::internal(file.string() + " has become shorter");
    hasher.update({buffer.data(), static_cast<size_t>(n)});
    offset += static_cast<uint64_t>(n);
    size -= static_cast<uint64_t>(n);
  }
  return hasher.finish().hex();
}

std::optional<int64_t> to_number(std::string_view text) {
  int64_t n = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failed != std::errc() || end != text.data() + text.size() || n < 0) return std::nullopt;
  return n;
}

// "https://host:443" → its host as clients send it: without the scheme's own port.
std::string strip_default_port(std::string host, bool https) {
  const std::string port = https ? ":443" : ":80";
  if (host.ends_with(port)) host.resize(host.size() - port.size());
  return host;
}

base::Result<void> check_options(const Options& o) {
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  if (o.bucket.size() < 3 || o.bucket.size() > 63 || !std::ranges::all_of(o.bucket, fine) || o.bucket.contains(".."))
    return base::invalid("'" + o.bucket + "' is not a bucket's name (3 to 63 letters, digits, '-', '.', '_')");
  if (o.region.empty() || !std::ranges::all_of(o.region, fine))
    return base::invalid("'" + o.region + "' is not a region's name, such as eu-central-1");
  const size_t scheme = o.endpoint.starts_with("https://") ? 8 : o.endpoint.starts_with("http://") ? 7 : 0;
  const bool good = o.endpoint.empty() || (scheme > 0 && o.endpoint.size() > scheme &&
                                           o.endpoint.find_first_of("/?#@ \t", scheme) == std::string::npos);
  if (!good) return base::invalid("'" + o.endpoint + "' is not an endpoint: http[s]://HOST[:PORT]");
  if (o.part_bytes < kLeastPart) return base::invalid("a part of a multipart upload has at least 5 MiB");
  return {};
}

}  // namespace

struct Client::Request {
  std::string method;
  std::string key;  // "": the bucket
  Pairs query;
  Pairs headers;  // lower-case names
  Body body;
  std::string what;                   // for messages: "PUT sha256/…"
  int64_t timeout_us = kSmallCallUs;  // 0: only the stall limit
  int64_t stall_us = 0;               // 0: the options'
  size_t max_answer = kErrorBytes;
  std::function<bool(const net::ClientResponse&)> accept;
  std::function<bool(std::string_view)> sink;
};

struct Client::Refusal {  // an answer that is an error, as far as S3 says what it is
  std::string code, message, region, server_time;

  static Refusal of(const net::ClientResponse& answer) {
    Refusal refusal;
    refusal.region = answer.header("x-amz-bucket-region");
    if (const auto root = parse_xml(answer.body); root && root->name == "Error") {
      refusal.code = root->child_text("Code");
      refusal.message = root->child_text("Message");
      refusal.server_time = root->child_text("ServerTime");
      if (refusal.region.empty()) refusal.region = root->child_text("Region");
    }
    return refusal;
  }
  bool expired() const { return code == "ExpiredToken" || code == "ExpiredTokenException"; }
  bool skewed() const { return code == "RequestTimeTooSkewed"; }
};

struct Client::Meters {
  explicit Meters(base::Registry& registry)
      : requests(registry.counter("lathe_s3_requests_total", "Requests to the S3 server, with those sent again")),
        retries(registry.counter("lathe_s3_retries_total", "Requests to the S3 server that were sent again")),
        failures(registry.counter("lathe_s3_failures_total", "Calls of the S3 server that failed for good")) {}
  base::Counter &requests, &retries, &failures;
};

// One of the client's connections, for the time of one exchange.
class Client::Connection {
 public:
  explicit Connection(Client& client) : client_(client) {
    std::unique_lock lock(client.mutex_);
    client.changed_.wait(lock, [&] { return client.busy_ < client.options_.connections; });
    ++client.busy_;
    if (!client.idle_.empty()) {
      http_ = std::move(client.idle_.back());
      client.idle_.pop_back();
      return;
    }
    lock.unlock();
    http_ = std::make_unique<net::Client>();
    http_->trust(client.options_.ca_file, "s3_ca");
  }
  ~Connection() {
    const std::lock_guard lock(client_.mutex_);
    --client_.busy_;
    client_.idle_.push_back(std::move(http_));
    client_.changed_.notify_all();
  }
  net::Client& operator*() { return *http_; }

 private:
  Client& client_;
  std::unique_ptr<net::Client> http_;
};

base::Result<std::unique_ptr<Client>> Client::make(Options options, const base::Clock& clock, base::Registry* metrics) {
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  TRY(check_options(options));
  return std::unique_ptr<Client>(new Client(std::move(options), clock, metrics));
}

Client::Client(Options options, const base::Clock& clock, base::Registry* metrics)
    : options_([&] {
        if (options.addressing == Addressing::kAuto) {
          // A certificate for *.s3… covers no second dot.
          const bool path = !options.endpoint.empty() || options.bucket.contains('.');
          options.addressing = path ? Addressing::kPath : Addressing::kVirtualHost;
        }
        return std::move(options);
      }()),
      clock_(clock),
      credentials_(options_.credentials, clock) {
  std::string endpoint = options_.endpoint;
  if (endpoint.empty()) {
    endpoint = "https://s3." + options_.region + ".amazonaws.com" + (options_.region.starts_with("cn-") ? ".cn" : "");
  }
  const bool https = endpoint.starts_with("https://");
  host_ = strip_default_port(endpoint.substr(https ? 8 : 7), https);
  if (options_.addressing == Addressing::kVirtualHost) host_ = options_.bucket + "." + host_;
  origin_ = (https ? "https://" : "http://") + host_;
  if (metrics != nullptr) meters_ = std::make_unique<Meters>(*metrics);
}

Client::~Client() = default;

std::string Client::address() const { return origin_ + (path_of("").size() > 1 ? path_of("") : ""); }

std::string Client::path_of(std::string_view key) const {
  if (options_.addressing == Addressing::kVirtualHost) return "/" + std::string(key);
  return "/" + options_.bucket + (key.empty() ? "" : "/" + std::string(key));
}

ToSign Client::to_sign(const Request& request) const {
  ToSign out{.method = request.method, .path = path_of(request.key), .query = request.query};
  out.headers = request.headers;
  out.headers.emplace_back("host", host_);
  return out;
}

// --- one exchange, and again ----------------------------------------------------------------------------------------

base::Result<net::ClientResponse> Client::send(const Request& request, const Credentials& credentials) {
  ToSign signing = to_sign(request);
  std::string digest = request.body.sha256;
  if (digest.empty() && !request.body.file.empty()) {
    TRY_SET(digest, sha256_of(request.body.file, request.body.offset, request.body.size));
  }
  if (digest.empty()) digest = base::sha256(request.body.bytes).hex();
  signing.payload_sha256 = digest;
  net::ClientRequest http{.method = request.method, .headers = request.headers};
  http.url = origin_ + uri_encode(signing.path, true);
  if (!request.query.empty()) http.url += "?" + query_string(request.query);
  for (auto& header : sign(std::move(signing), {options_.region}, credentials, clock_.wall_us() + skew_us_))
    http.headers.push_back(std::move(header));
  http.body = request.body.bytes;
  http.body_file = request.body.file;
  http.body_offset = request.body.offset;
  if (!request.body.file.empty()) http.body_bytes = request.body.size;
  http.timeout_us = request.timeout_us;
  http.stall_us = request.stall_us > 0 ? request.stall_us : options_.stall_us;
  http.max_answer_bytes = request.max_answer;
  http.accept = request.accept;
  if (meters_) meters_->requests.add();
  Connection connection(*this);
  return request.sink ? (*connection).stream(http, request.sink) : (*connection).call(http);
}

bool Client::sleep(int64_t us) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, std::chrono::microseconds(us), [&] { return stopping_; });
}

void Client::no_more_retries() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

// How long to wait before the request is sent again; nullopt: the answer stands.
std::optional<int64_t> Client::wait_of(const base::Result<net::ClientResponse>& answer, const Credentials& used,
                                       int64_t elapsed_us, Backoff& backoff) {
  if (!answer) {
    const auto code = answer.error().code;
    const bool again = code == base::Code::kUnavailable || code == base::Code::kDeadline;
    return again ? backoff.next(elapsed_us, 0) : std::nullopt;
  }
  const int status = answer->status;
  if (status < 400 || status == 404 || status == 412 || status == 416) return std::nullopt;
  const Refusal refusal = Refusal::of(*answer);
  if (refusal.expired()) {
    credentials_.refused(used);
    return backoff.next(elapsed_us, 0);
  }
  if (refusal.skewed()) {
    auto server_us = base::parse_iso8601(refusal.server_time);
    if (!server_us) server_us = parse_http_date(answer->header("date")).value_or(0);
    if (*server_us == 0) return std::nullopt;
    skew_us_ = *server_us - clock_.wall_us();
    base::log::warn("our clock and the S3 server's differ", {{"seconds", skew_us_.load() / 1'000'000}});
    return backoff.next(elapsed_us, 0);
  }
  // A digest that does not fit its bytes: they changed on the way, for ours was computed from them.
  constexpr std::string_view kAgain[] = {"RequestTimeout",
                                         "SlowDown",
                                         "Throttling",
                                         "ThrottlingException",
                                         "InternalError",
                                         "OperationAborted",
                                         "ConditionalRequestConflict",
                                         "XAmzContentSHA256Mismatch",
                                         "BadDigest",
                                         "IncompleteBody"};
  const bool again =
      status == 429 || (status >= 500 && status != 501) || std::ranges::find(kAgain, refusal.code) != std::end(kAgain);
  if (!again) return std::nullopt;
  return backoff.next(elapsed_us, parse_retry_after(answer->header("retry-after"), clock_.wall_us()));
}

base::Result<net::ClientResponse> Client::run(const std::function<Request()>& make, Backoff& backoff) {
  const int64_t begun_us = clock_.mono_us();
  while (true) {
    const Request request = make();
    TRY_SET(const Credentials credentials, credentials_.get());
    auto answer = send(request, credentials);
    const auto wait_us = wait_of(answer, credentials, clock_.mono_us() - begun_us, backoff);
    if (wait_us && sleep(*wait_us)) {
      if (meters_) meters_->retries.add();
      base::log::debug("an S3 request is sent again",
                       {{"what", request.what},
                        {"why", answer ? std::to_string(answer->status) : answer.error().message},
                        {"wait_ms", *wait_us / 1000}});
      continue;
    }
    if (answer && answer->status < 300) return answer;
    if (meters_ && (!answer || (answer->status != 404 && answer->status != 412))) meters_->failures.add();
    if (!answer && answer.error().code == base::Code::kDeadline)
      return base::fail(base::Code::kUnavailable, "S3: " + answer.error().message);
    if (!answer) return std::unexpected(std::move(answer.error()).within("S3"));
    return std::unexpected(explain(request, *answer));
  }
}

base::Result<net::ClientResponse> Client::run(const Request& request) {
  Backoff backoff(options_.retry, base::system_random());
  return run([&] { return request; }, backoff);
}

base::Error Client::explain(const Request& request, const net::ClientResponse& answer) const {
  const Refusal refusal = Refusal::of(answer);
  std::string said = request.what + " at " + origin_ + " answered " + std::to_string(answer.status);
  if (!refusal.code.empty()) said += " " + refusal.code.substr(0, 100);
  if (!refusal.message.empty()) said += ": " + refusal.message.substr(0, 300);
  const bool other_region = !refusal.region.empty() && refusal.region != options_.region &&
                            (answer.status == 301 || answer.status == 307 || answer.status == 400);
  if (other_region) {
    return {base::Code::kUnavailable, "S3: the bucket " + options_.bucket + " is in region " + refusal.region +
                                          ", the settings say " + options_.region +
                                          "; set s3_region: " + refusal.region};
  }
  if (answer.status == 301 || answer.status == 307)
    return {base::Code::kUnavailable, "S3: " + said +
                                          "; redirects are not followed: set s3_region, s3_endpoint or "
                                          "s3_addressing as the bucket wants"};
  if (refusal.code == "NoSuchBucket")
    return {base::Code::kUnavailable, "S3: there is no bucket " + options_.bucket + " at " + origin_};
  constexpr std::string_view kBadParts[] = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"};
  if (std::ranges::find(kBadParts, refusal.code) != std::end(kBadParts)) return {base::Code::kInvalid, "S3: " + said};
  if (answer.status == 404) return {base::Code::kNotFound, "S3: " + said};
  if (answer.status == 412) return {base::Code::kConflict, "S3: " + said};
  return {base::Code::kUnavailable, "S3: " + said};
}

// --- objects --------------------------------------------------------------------------------------------------------

base::Result<Object> Client::head(const std::string& key) {
  Request request{.method = "HEAD", .key = key, .what = "HEAD " + key};
  TRY_SET(const auto answer, run(request));
  const auto size = to_number(answer.header("content-length"));
  if (!size) return base::fail(base::Code::kUnavailable, "S3: HEAD " + key + " tells no length");
  return Object{key, *size, parse_http_date(answer.header("last-modified")).value_or(0)};
}

base::Result<bool> Client::put(const std::string& key, const Body& body, bool if_absent) {
  Request request{.method = "PUT", .key = key, .body = body, .what = "PUT " + key, .timeout_us = 0};
  if (if_absent) request.headers.emplace_back("if-none-match", "*");
  const auto answer = run(request);
  if (!answer && if_absent && answer.error().code == base::Code::kConflict) return false;
  if (!answer) return std::unexpected(answer.error());
  return true;
}

base::Result<void> Client::get(const std::string& key, uint64_t first, std::optional<uint64_t> length,
                               const Sink& sink) {
  if (length && *length == 0) return {};
  uint64_t done = 0, seen = 0;
  std::optional<uint64_t> whole = length;  // how much there is to come, once known
  base::Result<void> sunk;
  Backoff backoff(options_.retry, base::system_random());
  const auto make = [&] {
    Request request{.method = "GET", .key = key, .what = "GET " + key, .timeout_us = 0};
    if (done > seen) backoff.progressed();
    seen = done;
    const uint64_t from = first + done;
    const bool part = from > 0 || length;
    if (part) {
      request.headers.emplace_back(
          "range", "bytes=" + std::to_string(from) + "-" + (length ? std::to_string(first + *length - 1) : ""));
    }
    request.accept = [&, part, from](const net::ClientResponse& answer) {
      if (answer.status != (part ? 206 : 200)) return false;
      if (const auto size = to_number(answer.header("content-length")); size && !whole)
        whole = done + static_cast<uint64_t>(*size);
      return !part || answer.header("content-range").starts_with("bytes " + std::to_string(from) + "-");
    };
    request.sink = [&](std::string_view bytes) {
      if (whole && bytes.size() > *whole - done) {
        sunk = base::fail(base::Code::kUnavailable, "S3: GET " + key + " sent more than was asked for");
      } else {
        sunk = sink(bytes);
      }
      if (sunk) done += bytes.size();
      return sunk.has_value();
    };
    return request;
  };
  while (true) {
    const auto answer = run(make, backoff);
    TRY(sunk);
    if (!answer) return std::unexpected(answer.error());
    if (!answer->body.empty() && done == seen)
      return base::fail(base::Code::kUnavailable, "S3: GET " + key + " did not answer with the range asked for");
    if (!whole || done >= *whole) return {};
    // An answer that ended too early without an error, as behind some proxies.
    const auto wait_us = backoff.next(0, 0);
    if (!wait_us || !sleep(*wait_us)) {
      return base::fail(base::Code::kUnavailable, "S3: GET " + key + " ended after " + std::to_string(done) + " of " +
                                                      std::to_string(*whole) + " bytes");
    }
  }
}

base::Result<std::string> Client::get_text(const std::string& key, size_t max_bytes) {
  std::string out;
  TRY(get(key, 0, std::nullopt, [&](std::string_view bytes) -> base::Result<void> {
    if (out.size() + bytes.size() > max_bytes)
      return base::fail(base::Code::kTooLarge, key + " has more than " + std::to_string(max_bytes) + " bytes");
    out += bytes;
    return {};
  }));
  return out;
}

base::Result<void> Client::remove(const std::string& key) {
  Request request{.method = "DELETE", .key = key, .what = "DELETE " + key};
  const auto answer = run(request);
  if (!answer && answer.error().code != base::Code::kNotFound) return std::unexpected(answer.error());
  return {};
}

base::Result<void> Client::for_each(const std::string& prefix, const std::function<void(const Object&)>& visit) {
  std::string token;
  do {
    Request request{.method = "GET", .what = "LIST " + prefix, .max_answer = kXmlBytes};
    request.query = {{"list-type", "2"}, {"prefix", prefix}, {"max-keys", "1000"}};
    if (!token.empty()) request.query.emplace_back("continuation-token", token);
    TRY_SET(const auto answer, run(request));
    TRY_SET(const XmlElement root, parse_xml(answer.body));
    for (const XmlElement& entry : root.children) {
      if (entry.name != "Contents") continue;
      const auto size = to_number(entry.child_text("Size"));
      const auto modified_us = base::parse_iso8601(entry.child_text("LastModified"));
      if (!size || !modified_us) return base::fail(base::Code::kUnavailable, "S3: a listing without size or time");
      visit({std::string(entry.child_text("Key")), *size, *modified_us});
    }
    const bool more = root.child_text("IsTruncated") == "true";
    std::string next(more ? root.child_text("NextContinuationToken") : "");
    if (more && (next.empty() || next == token))
      return base::fail(base::Code::kUnavailable, "S3: a listing that does not go on");
    token = std::move(next);
  } while (!token.empty());
  return {};
}

base::Result<void> Client::check() {
  Request request{.method = "GET", .query = {{"list-type", "2"}, {"max-keys", "1"}}, .what = "LIST"};
  TRY_SET(const auto answer, run(request));
  const auto root = parse_xml(answer.body);
  if (root && root->name == "ListBucketResult") return {};
  return base::fail(base::Code::kUnavailable, "what answers at " + address() + " is not an S3 bucket");
}

base::Result<std::string> Client::presigned(std::string_view method, const std::string& key, int64_t expires_s) {
  return presigned(to_sign({.method = std::string(method), .key = key}), expires_s);
}

base::Result<std::string> Client::presigned_part(const std::string& key, const std::string& upload, int64_t number,
                                                 int64_t expires_s) {
  Request request{.method = "PUT", .key = key};
  request.query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}};
  return presigned(to_sign(request), expires_s);
}

base::Result<std::string> Client::presigned(ToSign signing, int64_t expires_s) {
  constexpr int64_t kMost = 7 * 86'400;
  if (expires_s < 1 || expires_s > kMost)
    return base::invalid("a presigned URL lives for 1 to " + std::to_string(kMost) + " seconds");
  TRY_SET(const Credentials credentials, credentials_.get());
  const std::string path = uri_encode(signing.path, true);
  return origin_ + path + "?" +
         presign(std::move(signing), {options_.region}, credentials, clock_.wall_us() + skew_us_, expires_s);
}

// --- multipart ------------------------------------------------------------------------------------------------------

base::Result<std::string> Client::begin_parts(const std::string& key) {
  Request request{.method = "POST", .key = key, .query = {{"uploads", ""}}, .what = "begin multipart " + key};
  TRY_SET(const auto answer, run(request));
  TRY_SET(const XmlElement root, parse_xml(answer.body));
  std::string id(root.child_text("UploadId"));
  if (id.empty()) return base::fail(base::Code::kUnavailable, "S3: a multipart upload without an id");
  return id;
}

base::Result<std::string> Client::put_part(const std::string& key, const std::string& upload, size_t number,
                                           const Body& body) {
  Request request{.method = "PUT", .key = key, .body = body, .timeout_us = 0};
  request.query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}};
  request.what = "PUT part " + std::to_string(number) + " of " + key;
  TRY_SET(const auto answer, run(request));
  std::string etag(answer.header("etag"));
  if (etag.empty()) return base::fail(base::Code::kUnavailable, "S3: " + request.what + " answered no ETag");
  return etag;
}

base::Result<void> Client::complete_parts(const std::string& key, const std::string& upload,
                                          const std::vector<std::string>& etags, std::optional<uint64_t> size) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (size_t i = 0; i < etags.size(); ++i) {
    xml += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + net::escape_markup(etags[i]) +
           "</ETag></Part>";
  }
  xml += "</CompleteMultipartUpload>";
  Request request{.method = "POST", .key = key, .query = {{"uploadId", upload}}, .body = {.bytes = xml}};
  request.what = "complete multipart " + key;
  request.timeout_us = 0;
  request.stall_us = kCompleteStallUs;
  const auto answer = run(request);
  // The answer may be an error under status 200, and may say that there is no such upload when an earlier attempt's
  // answer was lost: what counts is the object.
  const bool done = answer && !answer->body.contains("<Error");
  if (done) return {};
  const auto object = head(key);
  if (object && (!size || object->size == static_cast<int64_t>(*size))) return {};
  if (!answer && (!size || answer.error().code != base::Code::kNotFound)) return std::unexpected(answer.error());
  return base::fail(base::Code::kUnavailable,
                    "S3: " + request.what + " failed" + (answer ? ": " + Refusal::of(*answer).message : ""));
}

base::Result<void> Client::put_file_in_parts(const std::string& key, const base::Path& file, uint64_t size) {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  const uint64_t least = (size / kMostParts / kMiB + 1) * kMiB;
  const uint64_t part = std::max(options_.part_bytes, least);
  const size_t parts = static_cast<size_t>(std::max<uint64_t>(1, (size + part - 1) / part));
  return put_in_parts(key, parts, size, [&](const std::string& upload, size_t i) -> base::Result<std::string> {
    const uint64_t offset = i * part;
    Body body{.file = file, .offset = offset, .size = std::min(part, size - offset)};
    TRY_SET(body.sha256, sha256_of(file, body.offset, body.size));
    return put_part(key, upload, i + 1, body);
  });
}

base::Result<void> Client::put_in_parts(const std::string& key, size_t parts, uint64_t size, const PutPart& part) {
  TRY_SET(const std::string upload, begin_parts(key));
  std::vector<std::string> etags(parts);
  auto done = base::for_each_parallel(parts, options_.parallel_parts, [&](size_t i) -> base::Result<void> {
    TRY_SET(etags[i], part(upload, i));
    return {};
  });
  if (done) done = complete_parts(key, upload, etags, size);
  if (done) return {};
  if (const auto aborted = abort_parts(key, upload); !aborted)
    base::log::warn("a multipart upload was left behind", {{"key", key}, {"why", aborted.error().message}});
  return done;
}

base::Result<void> Client::abort_parts(const std::string& key, const std::string& upload) {
  Request abort{.method = "DELETE", .key = key, .query = {{"uploadId", upload}}, .what = "abort multipart " + key};
  const auto aborted = run(abort);
  if (!aborted && aborted.error().code != base::Code::kNotFound) return std::unexpected(aborted.error());
  return {};
}

// --- copies ---------------------------------------------------------------------------------------------------------

base::Result<std::string> Client::copy_part(const std::string& from, const std::string& key, const std::string& upload,
                                            size_t number, uint64_t first, uint64_t size) {
  Request request{.method = "PUT", .key = key, .timeout_us = 0, .stall_us = kCompleteStallUs};
  request.query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}};
  request.headers = {
      {"x-amz-copy-source", uri_encode("/" + options_.bucket + "/" + from, true)},
      {"x-amz-copy-source-range", "bytes=" + std::to_string(first) + "-" + std::to_string(first + size - 1)}};
  request.what = "copy part " + std::to_string(number) + " of " + from;
  TRY_SET(const auto answer, run(request));
  const auto root = parse_xml(answer.body);
  if (root && root->name == "CopyPartResult" && !root->child_text("ETag").empty())
    return std::string(root->child_text("ETag"));
  return base::fail(base::Code::kUnavailable, "S3: " + request.what + " failed: " + Refusal::of(answer).message);
}

base::Result<void> Client::copy(const std::string& from, const std::string& to, uint64_t size) {
  if (size > kCopyPart) {
    const auto parts = static_cast<size_t>((size + kCopyPart - 1) / kCopyPart);
    return put_in_parts(to, parts, size, [&](const std::string& upload, size_t i) {
      const uint64_t first = i * kCopyPart;
      return copy_part(from, to, upload, i + 1, first, std::min(kCopyPart, size - first));
    });
  }
  Request request{.method = "PUT", .key = to, .timeout_us = 0, .stall_us = kCompleteStallUs};
  request.headers = {{"x-amz-copy-source", uri_encode("/" + options_.bucket + "/" + from, true)}};
  request.what = "copy " + from + " to " + to;
  TRY_SET(const auto answer, run(request));
  if (const auto root = parse_xml(answer.body); root && root->name == "CopyObjectResult") return {};
  // An error under status 200.
  return base::fail(base::Code::kUnavailable, "S3: " + request.what + " failed: " + Refusal::of(answer).message);
}

base::Result<int64_t> Client::abort_stale_uploads(const std::string& prefix, int64_t before_us) {
  Request request{.method = "GET", .query = {{"uploads", ""}, {"prefix", prefix}}, .what = "LIST uploads"};
  request.max_answer = kXmlBytes;
  TRY_SET(const auto answer, run(request));
  TRY_SET(const XmlElement root, parse_xml(answer.body));
  int64_t aborted = 0;
  for (const XmlElement& entry : root.children) {  // of the first 1,000: the rest has time until the next start
    if (entry.name != "Upload") continue;
    const auto begun_us = base::parse_iso8601(entry.child_text("Initiated"));
    const std::string key(entry.child_text("Key")), id(entry.child_text("UploadId"));
    if (!begun_us || *begun_us >= before_us || !key.starts_with(prefix)) continue;
    if (abort_parts(key, id)) ++aborted;
  }
  return aborted;
}

}  // namespace s3
