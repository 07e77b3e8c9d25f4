// One request over HTTP/2: from its head through access and handler to its answer. The order of things is the one of
// Http1Connection::dispatch.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/assert.h"
#include "base/log.h"
#include "net/http2_internal.h"
#include "net/peer.h"
#include "net/spare_headers.h"
#include "net/text.h"

namespace net {
namespace {

constexpr size_t kFilePiece = 64 << 10;
constexpr size_t kKeepBytes = 128 << 10;  // a buffer that grew beyond this is given back

std::optional<Method> parse_method(std::string_view word) {
  for (Method m :
       {Method::kGet, Method::kHead, Method::kPost, Method::kPut, Method::kPatch, Method::kDelete, Method::kOptions}) {
    if (name(m) == word) return m;
  }
  return std::nullopt;
}

base::Result<void> outcome(bool written) {
  if (written) return {};
  return base::fail(base::Code::kCancelled, "the peer has gone");
}

// Of one connection, not of the message: HTTP/2 has none of them.
bool is_hop_by_hop(std::string_view lower_case_name) {
  return lower_case_name == "connection" || lower_case_name == "transfer-encoding" || lower_case_name == "keep-alive" ||
         lower_case_name == "upgrade" || lower_case_name == "proxy-connection";
}

template <class Each>
void each_line(std::string_view lines, Each each) {
  while (!lines.empty()) {
    const size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const size_t colon = line.find(": ");
    each(line.substr(0, colon), trim(line.substr(colon + 2)));
  }
}

}  // namespace

bool Http2Stream::is_dead() const { return closed || cut_ || connection_.gone; }

struct Http2Stream::Suspended {
  std::coroutine_handle<>& slot;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { slot = handle; }
  void await_resume() const noexcept {}
};

Http2Stream::Http2Stream(Http2Connection::Impl& connection)
    : connection_(connection), request_(*this), response_(*this) {
  request_.peer = connection.peer;
}

void Http2Stream::begin(int32_t stream_id) {
  id = stream_id;
  queued = running = closed = body_ended = false;
  unsent = 0;
  take_back(request_.headers);
  request_.params.clear();
  request_.target.clear();
  request_.path.clear();
  request_.query.clear();
  request_.content_length.reset();
  request_.grant = nullptr;
  response_.reset();
  grant_.reset();
  protocol_.reset();
  if (stop_.stop_requested()) stop_ = std::stop_source();
  refusal_.reset();
  header_bytes_ = header_count_ = 0;
  method_.clear();
  authority_.clear();
  if (body_.capacity() > kKeepBytes) body_ = std::string();
  body_.clear();
  body_used_ = 0;
  body_bytes_ = 0;
  discard_ = holding_ = lingering_ = continue_sent_ = cut_ = false;
  linger_since_us_ = 0;
  dropped_ = 0;
  pending_ = {};
  out_ended_ = deferred_ = false;
  pulled_ = pulled_before_ = 0;
  wait_since_us_ = stall_since_us_ = 0;
  override_status_ = 0;
  in_handler_ = endless_ = revoked_ = timed_out_ = false;
}

void Http2Stream::ResponseImpl::reset() {
  status_ = 0;
  content_type_.clear();
  header_lines_.clear();
  trailer_lines_.clear();
  if (body_.capacity() > kKeepBytes) body_ = std::string();
  body_.clear();
  whole_ = started_ = ended = sized = no_body = false;
  left = 0;
}

// --- from nghttp2's callbacks ----------------------------------------------------------------------------------------

bool Http2Stream::on_header(std::string_view name, std::string_view value) {
  const auto& limits = connection_.shared.limits;
  header_bytes_ += name.size() + value.size() + 4;
  ++header_count_;
  if (header_bytes_ > limits.header_bytes || header_count_ > limits.header_count) {
    if (!refusal_) {
      refusal_.emplace(431, header_bytes_ > limits.header_bytes
                                ? "the header fields are longer than " + std::to_string(limits.header_bytes) + " bytes"
                                : "there are more than " + std::to_string(limits.header_count) + " header fields");
    }
    return header_bytes_ <= limits.header_bytes * limits::kH2HeaderExcess &&
           header_count_ <= limits.header_count * limits::kH2HeaderExcess;
  }
  if (queued || running) return true;  // a trailer: nobody reads them
  if (name == ":method") {
    method_ = value;
  } else if (name == ":path") {
    request_.target = value;
  } else if (name == ":authority") {
    authority_ = value;
  } else if (name == "cookie") {  // sent in crumbs, to compress better (RFC 9113, 8.2.3)
    const auto found = std::ranges::find(request_.headers, name, &Header::first);
    if (found == request_.headers.end()) {
      add_header(name, value);
    } else {
      found->second.append("; ").append(value);
    }
  } else if (!name.starts_with(':')) {
    add_header(name, trim(value));
  }
  return true;
}

void Http2Stream::add_header(std::string_view name, std::string_view value) {
  Header& header = append_spare(request_.headers);
  header.first.assign(name);
  header.second.assign(value);
}

void Http2Stream::on_head_end() {
  if (refusal_) return;
  const auto refuse = [&](int status, std::string what) { refusal_.emplace(status, std::move(what)); };
  const auto method = parse_method(method_);
  if (!method) return refuse(501, "the method '" + method_.substr(0, 40) + "' is not served here");
  request_.method = *method;
  if (request_.target.size() > connection_.shared.limits.target_bytes) {
    return refuse(414,
                  "the target is longer than " + std::to_string(connection_.shared.limits.target_bytes) + " bytes");
  }
  int hosts = 0;
  for (const auto& [name, value] : request_.headers) {
    if (!is_utf8(value)) return refuse(400, "header field '" + name + "' is not UTF-8");
    if (name == "host") {
      ++hosts;
      if (!authority_.empty() && !equals_ignoring_case(value, authority_))
        return refuse(400, "Host and :authority name two hosts");
    } else if (name == "expect") {
      if (!equals_ignoring_case(value, "100-continue"))
        return refuse(417, "the only expectation served is 100-continue");
    } else if (name == "content-length") {
      uint64_t length = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
      if (error != std::errc() || end != value.data() + value.size() || request_.content_length)
        return refuse(400, "Content-Length is not one number");
      request_.content_length = length;
    }
  }
  if (hosts > 1) return refuse(400, "Host is given more than once");
  if (hosts == 0 && authority_.empty()) return refuse(400, "neither :authority nor Host names the host");
  if (hosts == 0) add_header("host", authority_);
  if (body_ended && !request_.content_length) request_.content_length = 0;
}

void Http2Stream::on_data(std::string_view bytes) {
  if (discard_) {
    consume(bytes.size());
    dropped_ += bytes.size();
    if (lingering_ && dropped_ > connection_.shared.limits.linger_bytes) stop(NGHTTP2_NO_ERROR);
    return;
  }
  body_.append(bytes);
}

// The answer has been held for the body, and gone before its end. A client that asked by RPC knows what a reset means
// then; others may take it for a failure, so what they still send is dropped for a while, as over HTTP/1.1.
void Http2Stream::on_answer_sent() {
  if (body_ended) return;
  lingering_ = response_.whole() && !response_.content_type().starts_with("application/grpc");
  if (!lingering_) nghttp2_submit_rst_stream(connection_.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

ssize_t Http2Stream::pull(uint8_t* into, size_t size, uint32_t* flags) {
  const size_t n = std::min(size, pending_.size());
  std::copy_n(pending_.data(), n, into);
  pending_.remove_prefix(n);
  pulled_ += n;
  const size_t counted = std::min(n, unsent);
  unsent -= counted;
  connection_.unsent -= counted;
  if (!pending_.empty()) return static_cast<ssize_t>(n);
  if (out_ended_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!response_.trailer_lines().empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      fields_.clear();
      names_.clear();
      names_.reserve(response_.trailer_lines().size());
      append_headers(response_.trailer_lines());
      nghttp2_submit_trailer(connection_.session, id, fields_.data(), fields_.size());
    }
    return static_cast<ssize_t>(n);
  }
  if (writer_) connection_.resume_later(std::exchange(writer_, {}));
  if (n != 0) return static_cast<ssize_t>(n);
  deferred_ = true;
  return NGHTTP2_ERR_DEFERRED;
}

void Http2Stream::wake() {
  if (reader_) connection_.resume_later(std::exchange(reader_, {}));
  if (writer_ && is_dead()) connection_.resume_later(std::exchange(writer_, {}));
}

void Http2Stream::on_closed() {
  stop_.request_stop();
  wake();
}

void Http2Stream::stop(uint32_t code) {
  if (std::exchange(cut_, true) || closed) return;
  nghttp2_submit_rst_stream(connection_.session, NGHTTP2_FLAG_NONE, id, code);
  stop_.request_stop();
  wake();
  connection_.kick();
}

// --- the request -----------------------------------------------------------------------------------------------------

base::Task<void> Http2Stream::serve() {
  running = true;
  const Route* route = dispatch();
  if (route != nullptr) {
    if (!grant_ && !route->is_open()) {
      if (auto ok = co_await ask_gate(*route); !ok) {
        if (ok.error().code == base::Code::kTooMany) response_.header("Retry-After", "1");
        write_error(ok.error());
        connection_.shared.in_flight.fetch_sub(1, std::memory_order_relaxed);
        route = nullptr;
      }
    }
    if (route != nullptr) {
      in_handler_ = true;
      try {
        co_await route->handler(request_, response_);
      } catch (const std::exception& e) {
        base::log::error("a handler threw",
                         {{"request", request_.ctx.request_id}, {"route", route->pattern}, {"what", e.what()}});
        if (!response_.started())
          write_error(base::Error{base::Code::kInternal, "an internal error; the server's log has the request id"});
      }
      in_handler_ = false;
      connection_.shared.in_flight.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  ensure_answer(route);
  if (response_.whole() && !body_ended) co_await hold_answer();
  finish_answer(route);
  running = false;
  if (closed) connection_.drop(*this);
}

// Everything before the handler. Answers the route with the request's slot taken, or null with an error written.
const Route* Http2Stream::dispatch() {
  ServerShared& shared = connection_.shared;
  base::Context& ctx = request_.ctx;
  begin_context(shared, ctx);
  started_us_ = shared.clock.mono_us();
  take_request_id(request_);
  if (shared.tracer != nullptr) {
    if (const auto parent = shared.tracer->start(request_.header("traceparent"))) {
      span_.emplace(parent, "HTTP", base::SpanData::Kind::kServer);
      ctx.trace = span_->context();
      response_.header("traceresponse", base::traceparent(ctx.trace));
    }
  }
  if (refusal_) {
    write_error(base::Error{base::Code::kInvalid, refusal_->second}, refusal_->first);
    return nullptr;
  }
  const Route* route = nullptr;
  if (auto ok = read_target(request_); !ok) {
    write_error(ok.error());
  } else {
    route = route_request();
  }
  if (route == nullptr) return nullptr;
  const auto granted = check_access(*route);
  if (!granted) {
    write_error(granted.error());
    return nullptr;
  }
  if (const auto taken = take_slot(shared, response_); !taken) {
    write_error(taken.error());
    return nullptr;
  }
  body_limit_ = route->limits.body_bytes;
  endless_ = route->limits.deadline_us == 0;
  if (!endless_) ctx.deadline_mono_us = started_us_ + route->limits.deadline_us;
  ctx.cancelled = stop_.get_token();
  return route;
}

const Route* Http2Stream::route_request() {
  ServerShared& shared = connection_.shared;
  auto presented = read_presented(shared.access->policy(), request_);
  if (!presented) {
    write_error(presented.error());
    return nullptr;
  }
  presented_ = std::move(*presented);
  const Routing found = find_route(*shared.routes, request_, response_);
  protocol_ = found.protocol;
  if (found.refusal) write_error(*found.refusal, found.status);
  return found.route;
}

// True: the grant at hand covers the route, or it needs none. False: the gate must be asked first.
base::Result<bool> Http2Stream::check_access(const Route& route) {
  if (route.is_open()) return true;
  if (connection_.kept.recall(*connection_.shared.access, presented_) != nullptr) {
    grant_ = connection_.kept.grant;
    TRY(use_grant(*grant_, presented_, route, request_));
    return true;
  }
  if (trusts_peer(presented_)) connection_.peer.same_user = request_.peer.same_user = connection_.same_user();
  return false;
}

base::Task<base::Result<void>> Http2Stream::ask_gate(const Route& route) {
  auto grant = co_await connection_.shared.access->admit(request_, presented_);
  if (!grant) co_return std::unexpected(std::move(grant).error());
  grant_ = std::move(*grant);
  connection_.kept.keep(*connection_.shared.access, presented_, grant_);
  co_return use_grant(*grant_, presented_, route, request_);
}

void Http2Stream::write_error(const base::Error& error, int status) {
  const std::string_view target = request_.target;
  const std::string_view path = request_.path.empty() ? target.substr(0, target.find('?')) : request_.path;
  connection_.shared.errors->write(protocol_ ? *protocol_ : protocol_of(path), response_, error,
                                   request_.ctx.request_id);
  if (status != 0 && response_.status() != 200) response_.set_status(status);  // 200: gRPC has the error elsewhere
  if (error.code == base::Code::kUnauthenticated) response_.header("WWW-Authenticate", "Bearer");
}

void Http2Stream::ensure_answer(const Route* route) {
  if (response_.answered() || is_dead()) return;
  const int64_t deadline_us = request_.ctx.deadline_mono_us;
  const bool late = deadline_us != 0 && connection_.shared.clock.mono_us() > deadline_us;
  write_error(late ? base::Error{base::Code::kDeadline, "the request took longer than it may"}
                   : base::Error{base::Code::kInternal, "the handler gave no answer"});
  if (!late && route != nullptr)
    base::log::error("a handler gave no answer", {{"request", request_.ctx.request_id}, {"route", route->pattern}});
}

// What has come of the body, and what comes, is for nobody.
void Http2Stream::discard_body() {
  discard_ = true;
  if (body_.size() > body_used_) consume(body_.size() - body_used_);
  body_used_ = body_.size();
}

// An answer made before the body has come waits for the body's end. Otherwise the answer's end has to be followed by a
// reset, over which curl loses the answer; and without the reset the stream ends with the last frame that curl sends,
// after which it waits for ever for one to come (7.88). What does not end soon is not waited for.
base::Task<void> Http2Stream::hold_answer() {
  const bool never_comes = timed_out_ || (request_.has_header("expect") && !continue_sent_);
  if (never_comes) co_return;
  discard_body();
  holding_ = true;
  wait_since_us_ = 0;
  while (!body_ended && !timed_out_ && !is_dead() && dropped_ <= limits::kH2HoldBytes) co_await Suspended{reader_};
  holding_ = false;
}

void Http2Stream::finish_answer(const Route* route) {
  ServerShared& shared = connection_.shared;
  discard_body();
  if (!is_dead()) {
    if (response_.whole()) {
      if (override_status_ != 0) response_.set_status(override_status_);
      const int status = response_.status();
      const bool no_body = request_.method == Method::kHead || status == 204 || status == 304;
      pending_ = no_body ? std::string_view() : response_.body();
      out_ended_ = true;
      unsent = pending_.size();
      connection_.unsent += unsent;
      submit_head(response_.body().size(), !pending_.empty() || !response_.trailer_lines().empty());
    } else if (!response_.ended) {
      stop(NGHTTP2_INTERNAL_ERROR);  // cut off: the peer sees that the end is missing
    }
    connection_.kick();
  }
  const int64_t now_us = shared.clock.mono_us();
  const int status = response_.status();
  if (status >= 100 && status < 600) shared.answers[status / 100 - 1]->add();
  if (!endless_ || route == nullptr) shared.seconds.observe(static_cast<double>(now_us - started_us_) * 1e-6);
  if (span_) end_span(route);
  if (status == 500 || status == 504 || base::log::enabled(base::log::Level::kDebug)) log_answer(now_us);
}

void Http2Stream::end_span(const Route* route) {
  const std::string method(name(request_.method));
  const int status = response_.status();
  span_->rename(route == nullptr ? method : method + " " + route->pattern);
  span_->set("http.request.method", method);
  if (route != nullptr) span_->set("http.route", route->pattern);
  span_->set("url.path", request_.path);
  span_->set("http.response.status_code", int64_t{status});
  span_->set("network.protocol.version", std::string("2"));
  span_->set("lathe.request_id", request_.ctx.request_id);
  span_->set("lathe.actor", request_.ctx.actor.name);
  if (status >= 500) span_->fail("status " + std::to_string(status));
  span_.reset();
}

void Http2Stream::log_answer(int64_t now_us) {
  const int status = response_.status();
  base::log::write(status == 500 || status == 504 ? base::log::Level::kWarn : base::log::Level::kDebug, "request",
                   {{"request", request_.ctx.request_id},
                    {"method", name(request_.method)},
                    {"path", request_.path},
                    {"status", status},
                    {"us", now_us - started_us_},
                    {"actor", request_.ctx.actor.name},
                    {"peer", request_.peer.address}});
}

// --- the body --------------------------------------------------------------------------------------------------------

void Http2Stream::consume(size_t bytes) {
  if (connection_.gone || bytes == 0) return;
  nghttp2_session_consume(connection_.session, id, bytes);
  connection_.kick();
}

std::optional<std::string_view> Http2Stream::body_at_hand() {
  if (!body_ended || body_used_ != 0 || body_bytes_ != 0 || body_.size() > body_limit_) return std::nullopt;
  body_.reserve(body_.size() + Request::kBodyPadding);
  body_used_ = body_.size();
  body_bytes_ = body_.size();
  consume(body_.size());
  return body_;
}

base::Task<base::Result<size_t>> Http2Stream::read_body(std::span<char> into) {
  ASSERT_ALWAYS(!into.empty());
  for (;;) {
    if (is_dead()) co_return base::fail(base::Code::kCancelled, "the request was taken back in the middle of the body");
    if (body_used_ < body_.size()) {
      const size_t n = std::min(body_.size() - body_used_, into.size());
      if (body_bytes_ + n > body_limit_) {
        co_return base::fail(base::Code::kTooLarge, "the body has more than the " + std::to_string(body_limit_) +
                                                        " bytes that this route takes");
      }
      std::memcpy(into.data(), body_.data() + body_used_, n);
      body_bytes_ += n;
      body_used_ += n;
      if (body_used_ == body_.size()) {
        body_.clear();
        body_used_ = 0;
      } else if (body_used_ > limits::kH2StreamWindow) {
        body_.erase(0, std::exchange(body_used_, 0));
      }
      consume(n);
      co_return n;
    }
    if (body_ended) co_return size_t{0};
    if (timed_out_) {
      override_status_ = 408;
      co_return base::fail(base::Code::kDeadline, "the body did not arrive in time");
    }
    if (!continue_sent_ && !response_.started() && request_.has_header("expect")) {
      continue_sent_ = true;
      nghttp2_nv interim{reinterpret_cast<uint8_t*>(const_cast<char*>(":status")),
                         reinterpret_cast<uint8_t*>(const_cast<char*>("100")), 7, 3, NGHTTP2_NV_FLAG_NONE};
      nghttp2_submit_headers(connection_.session, NGHTTP2_FLAG_NONE, id, nullptr, &interim, 1, nullptr);
      connection_.kick();
    }
    wait_since_us_ = 0;
    co_await Suspended{reader_};
  }
}

// --- the answer ------------------------------------------------------------------------------------------------------

void Http2Stream::add_field(std::string_view name, std::string_view value) {
  // An id comes once: it would only push what comes again out of the peer's table, and ours.
  const uint8_t flags = name.ends_with("-id") ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
  fields_.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), flags});
}

// names_ must have room for all names: what points into it stays valid.
void Http2Stream::append_headers(std::string_view lines) {
  each_line(lines, [&](std::string_view name, std::string_view value) {
    const size_t at = names_.size();
    names_.append(name);
    std::transform(name.begin(), name.end(), names_.data() + at, ascii_lower);
    const std::string_view told = std::string_view(names_).substr(at);
    if (!is_hop_by_hop(told)) add_field(told, value);
  });
}

void Http2Stream::submit_head(std::optional<uint64_t> length, bool with_body) {
  const int status = response_.status();
  const std::string& type = response_.content_type();
  const std::string& lines = response_.header_lines();
  char code[4], digits[24];
  std::to_chars(code, code + sizeof code, std::clamp(status, 100, 999));
  fields_.clear();
  names_.clear();
  add_field(":status", {code, 3});
  add_field("date", http_date());
  if (!type.empty()) add_field("content-type", type);
  const bool grpc = type.starts_with("application/grpc");
  if (length && status != 204 && status != 304 && !grpc) {
    const char* end = std::to_chars(digits, digits + sizeof digits, *length).ptr;
    add_field("content-length", {digits, static_cast<size_t>(end - digits)});
  }
  if (!grpc) add_field("x-content-type-options", "nosniff");
  add_field("x-request-id", request_.ctx.request_id);
  const bool no_page = wants_no_page(request_, protocol_, lines);
  names_.reserve(lines.size() + (no_page ? kNoPage.size() : 0));
  append_headers(lines);
  if (no_page) append_headers(kNoPage);
  nghttp2_data_provider body{.source = {.ptr = this},
                             .read_callback = [](nghttp2_session*, int32_t, uint8_t* into, size_t size, uint32_t* flags,
                                                 nghttp2_data_source* source, void*) {
                               return static_cast<Http2Stream*>(source->ptr)->pull(into, size, flags);
                             }};
  nghttp2_submit_response(connection_.session, id, fields_.data(), fields_.size(), with_body ? &body : nullptr);
}

void Http2Stream::resume_output() {
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(connection_.session, id);
  connection_.kick();
}

base::Task<base::Result<void>> Http2Stream::write(std::string_view bytes) {
  if (is_dead()) co_return outcome(false);
  pending_ = bytes;
  resume_output();
  while (!pending_.empty() && !is_dead()) co_await Suspended{writer_};
  const bool written = pending_.empty();
  pending_ = {};
  co_return outcome(written);
}

base::Task<base::Result<void>> Http2Stream::ResponseImpl::begin(int status, std::string_view content_type,
                                                                std::optional<uint64_t> content_length) {
  ASSERT_ALWAYS(!answered());
  status_ = status;
  content_type_ = content_type;
  started_ = true;
  no_body = stream_.request_.method == Method::kHead || status == 204 || status == 304;
  sized = content_length.has_value();
  left = content_length.value_or(0);
  if (!stream_.closed && !stream_.connection_.gone) {
    stream_.submit_head(content_length, !no_body);
    stream_.connection_.kick();
  }
  co_return base::Result<void>{};
}

base::Task<base::Result<void>> Http2Stream::ResponseImpl::write(std::string_view bytes) {
  if (bytes.empty() || no_body) co_return base::Result<void>{};
  ASSERT_ALWAYS(started_ && !ended);
  if (sized && bytes.size() > left) co_return base::internal("more bytes than the answer's Content-Length");
  if (sized) left -= bytes.size();
  co_return co_await stream_.write(bytes);
}

base::Task<base::Result<void>> Http2Stream::ResponseImpl::end() {
  ASSERT_ALWAYS(started_);
  if (ended) co_return base::Result<void>{};
  if (sized && left != 0 && !no_body) co_return base::internal("the answer ended before its Content-Length");
  ended = true;
  stream_.out_ended_ = true;
  if (!no_body && !stream_.closed && !stream_.connection_.gone) stream_.resume_output();
  co_return base::Result<void>{};
}

base::Task<base::Result<void>> Http2Stream::ResponseImpl::send_file(int fd, uint64_t offset, uint64_t length) {
  if (length == 0 || no_body) co_return base::Result<void>{};
  ASSERT_ALWAYS(started_ && !ended);
  if (sized && length > left) co_return base::internal("more bytes than the answer's Content-Length");
  if (sized) left -= length;
  const auto piece = std::make_unique<char[]>(kFilePiece);
  while (length != 0) {
    const ssize_t n = ::pread(fd, piece.get(), std::min<uint64_t>(kFilePiece, length), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {  // the file is shorter than was promised
      stream_.stop(NGHTTP2_INTERNAL_ERROR);
      co_return outcome(false);
    }
    CO_TRY(co_await stream_.write({piece.get(), static_cast<size_t>(n)}));
    offset += static_cast<uint64_t>(n);
    length -= static_cast<uint64_t>(n);
  }
  co_return base::Result<void>{};
}

base::Task<base::Result<Upgraded>> Http2Stream::ResponseImpl::switch_protocols() {
  co_return base::invalid("over HTTP/2 there is no other protocol to change to; ask over HTTP/1.1");
}

// --- time ------------------------------------------------------------------------------------------------------------

void Http2Stream::sweep(int64_t now_us) {
  const ServerLimits& limits = connection_.shared.limits;
  // Who lost the right to be here is cut off; one sweep later, so that whoever gave it up himself still gets his
  // answer.
  const bool revoked =
      in_handler_ && request_.grant != nullptr && request_.grant->revoked.load(std::memory_order_acquire);
  if (std::exchange(revoked_, revoked) && revoked) return stop(NGHTTP2_CANCEL);
  if (!pending_.empty()) {
    if (stall_since_us_ == 0 || pulled_ != pulled_before_) {
      stall_since_us_ = now_us;
      pulled_before_ = pulled_;
    } else if (now_us - stall_since_us_ > limits.write_stall_us) {
      return stop(NGHTTP2_CANCEL);
    }
  } else {
    stall_since_us_ = 0;
  }
  if (lingering_ && linger_since_us_ == 0) linger_since_us_ = now_us;
  if (lingering_ && now_us - linger_since_us_ > limits.linger_us) return stop(NGHTTP2_NO_ERROR);
  if (holding_) {
    if (wait_since_us_ == 0) wait_since_us_ = now_us;
    const bool draining = connection_.shared.draining.load(std::memory_order_relaxed);
    if (!draining && now_us - wait_since_us_ <= limits::kH2HoldUs) return;
    timed_out_ = true;
    return wake();
  }
  if (!in_handler_) return;
  const int64_t deadline_us = request_.ctx.deadline_mono_us;
  const bool late = deadline_us != 0 && now_us > deadline_us;
  const bool live = endless_ && response_.started() && !response_.sized;
  const bool ended = live && connection_.shared.draining.load(std::memory_order_relaxed);
  if (reader_) {
    if (wait_since_us_ == 0) wait_since_us_ = now_us;
    // A stream of messages may pause; a body may not.
    if ((!live && now_us - wait_since_us_ > limits.body_stall_us) || late || ended) {
      timed_out_ = true;
      wake();
    }
  }
  if (late || ended) stop_.request_stop();
}

}  // namespace net
