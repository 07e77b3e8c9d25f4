#include "net/http1.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "net/exchange.h"
#include "net/peer.h"
#include "net/text.h"

namespace net {
namespace {

constexpr size_t kInputBytes = 16 << 10;
constexpr size_t kFlushBytes = 64 << 10;  // pipelined answers are written once this many bytes wait
constexpr size_t kWholeBytes = 64 << 10;   // a longer answer is written from where it is
constexpr size_t kKeepBytes = 128 << 10;  // an output buffer that grew beyond this is given back
constexpr size_t kCopyBytes = 16 << 10;   // shorter pieces of a stream are copied behind their chunk header

std::string_view reason(int status) {
  switch (status) {
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 424: return "Failed Dependency";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

void append_number(std::string& out, uint64_t number, int base = 10) {
  char digits[24];
  out.append(digits, static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, number, base).ptr - digits));
}

constexpr size_t kFixedHeadBytes = 320;  // of a head's own words, its date and its numbers

// A buffer for an answer, which is given back when it has left: an idle connection holds none, and the thread's next
// answer is written where the last one lies in the processor's cache.
thread_local std::string spare_output;

void borrow(std::string& out) {
  if (out.empty()) out.swap(spare_output);
}
void give_back(std::string& out) {
  if (out.capacity() > spare_output.capacity()) out.swap(spare_output);
  out = std::string();
}

// Writes where there is room: kFixedHeadBytes and what varies.
struct Cursor {
  char* at;
  Cursor& text(std::string_view words) {
    std::memcpy(at, words.data(), words.size());
    at += words.size();
    return *this;
  }
  Cursor& number(uint64_t value) {
    at = std::to_chars(at, at + 20, value).ptr;
    return *this;
  }
};

}  // namespace

// --- what handlers see -----------------------------------------------------------------------------------------------

class Http1Connection::RequestImpl final : public Request {
 public:
  explicit RequestImpl(Http1Connection& connection) : connection_(connection) {}
  base::Task<base::Result<size_t>> read_some(std::span<char> into) override { return connection_.read_body(into); }
  std::optional<std::string_view> body_at_hand() override { return connection_.body_at_hand(); }

 private:
  Http1Connection& connection_;
};

class Http1Connection::ResponseImpl final : public Response {
 public:
  explicit ResponseImpl(Http1Connection& connection) : connection_(connection) {}

  void reset() {
    status_ = 0;
    content_type_.clear();
    header_lines_.clear();
    trailer_lines_.clear();
    body_.clear();
    whole_ = started_ = ended = chunked = no_body = false;
    left = 0;
  }
  void set_status(int status) { status_ = status; }
  bool whole() const { return whole_; }
  const std::string& content_type() const { return content_type_; }
  const std::string& header_lines() const { return header_lines_; }
  std::string& body() { return body_; }

  base::Task<base::Result<void>> begin(int status, std::string_view content_type,
                                       std::optional<uint64_t> content_length) override {
    ASSERT_ALWAYS(!answered());
    status_ = status;
    content_type_ = content_type;
    started_ = true;
    no_body = connection_.request_->method == Method::kHead || status == 204 || status == 304;
    chunked = !content_length && !connection_.parser_.http_1_0();
    sized = content_length.has_value();
    left = content_length.value_or(0);
    if (connection_.parser_.state() != Http1Parser::State::kComplete || (!sized && !chunked)) connection_.close_ = true;
    connection_.write_head(content_length, chunked);
    co_return base::Result<void>{};
  }

  base::Task<base::Result<void>> write(std::string_view bytes) override {
    if (bytes.empty() || no_body) co_return base::Result<void>{};
    CO_TRY(account(bytes.size()));
    std::string& out = connection_.out_;
    if (chunked) {
      append_number(out, bytes.size(), 16);
      out.append("\r\n");
    }
    if (bytes.size() <= kCopyBytes) {
      out.append(bytes);
      if (chunked) out.append("\r\n");
      co_return outcome(co_await connection_.flush());
    }
    if (!co_await connection_.flush()) co_return outcome(false);
    connection_.wait_for(Wait::kWrite);
    const auto written = co_await connection_.stream_->write(bytes);
    connection_.wait_for(Wait::kNothing);
    if (written.error != 0) connection_.give_up();
    if (chunked) out.append("\r\n");
    co_return outcome(written.error == 0);
  }

  base::Task<base::Result<void>> end() override {
    ASSERT_ALWAYS(started_);
    if (ended) co_return base::Result<void>{};
    if (sized && left != 0 && !no_body) {
      connection_.close_ = true;  // the peer sees that bytes are missing
      co_return base::internal("the answer ended before its Content-Length");
    }
    ended = true;
    if (chunked && !no_body) connection_.out_.append("0\r\n\r\n");
    co_return base::Result<void>{};
  }

  base::Task<base::Result<void>> send_file(int fd, uint64_t offset, uint64_t length) override {
    if (length == 0 || no_body) co_return base::Result<void>{};
    CO_TRY(account(length));
    if (chunked) {
      append_number(connection_.out_, length, 16);
      connection_.out_.append("\r\n");
    }
    if (!co_await connection_.flush()) co_return outcome(false);
    connection_.wait_for(Wait::kWrite);
    const auto sent = co_await connection_.stream_->send_file(fd, offset, length);
    connection_.wait_for(Wait::kNothing);
    if (sent.error != 0) connection_.give_up();
    if (chunked) connection_.out_.append("\r\n");
    co_return outcome(sent.error == 0);
  }

  base::Task<base::Result<Upgraded>> switch_protocols() override {
    ASSERT_ALWAYS(!answered());
    CO_TRY(connection_.begin_upgrade());
    status_ = 101;
    started_ = ended = true;
    if (!co_await connection_.flush()) co_return std::unexpected(outcome(false).error());
    co_return Upgraded{connection_.stream_.get(), std::string(std::exchange(connection_.input_, {}))};
  }

  bool ended = false;
  bool chunked = false;
  bool sized = false;
  bool no_body = false;
  uint64_t left = 0;

 private:
  base::Result<void> account(uint64_t bytes) {
    ASSERT_ALWAYS(started_ && !ended);
    if (!sized) return {};
    if (bytes > left) return base::internal("more bytes than the answer's Content-Length");
    left -= bytes;
    return {};
  }
  static base::Result<void> outcome(bool written) {
    if (written) return {};
    return base::fail(base::Code::kCancelled, "the peer has gone");
  }

  Http1Connection& connection_;
};

// --- the connection --------------------------------------------------------------------------------------------------

Http1Connection::Http1Connection(ServerShared& shared, std::unique_ptr<Stream> stream, Peer peer)
    : shared_(shared),
      stream_(std::move(stream)),
      request_(std::make_unique<RequestImpl>(*this)),
      response_(std::make_unique<ResponseImpl>(*this)),
      parser_(*request_, {shared.limits.header_bytes, shared.limits.header_count, shared.limits.target_bytes}),
      buffer_(std::make_unique<char[]>(kInputBytes + Request::kBodyPadding)) {
  request_->peer = std::move(peer);
  request_->ctx.cancelled = stop_.get_token();
}

Http1Connection::~Http1Connection() = default;

void Http1Connection::wait_for(Wait what) {
  wait_ = what;
  wait_since_us_ = 0;
  if (what == Wait::kWrite) written_before_ = stream_->bytes_written();
}

void Http1Connection::give_up() {
  gone_ = true;
  close_ = true;
  stop_.request_stop();
}

void Http1Connection::sweep(int64_t now_us) {
  const ServerLimits& limits = shared_.limits;
  if (wait_since_us_ == 0) wait_since_us_ = now_us;  // seen for the first time
  const int64_t waited_us = now_us - wait_since_us_;
  bool expired = false;
  switch (wait_) {
    case Wait::kNothing: break;
    case Wait::kRequest:
      expired = waited_us > limits.idle_us || shared_.draining.load(std::memory_order_relaxed);
      break;
    case Wait::kHead: expired = waited_us > limits.header_read_us; break;
    case Wait::kBody: expired = waited_us > limits.body_stall_us; break;
    case Wait::kLinger: expired = waited_us > limits.linger_us; break;
    case Wait::kWrite:
      if (stream_->bytes_written() != written_before_) return wait_for(Wait::kWrite);
      expired = waited_us > limits.write_stall_us;
      break;
  }
  // Who lost the right to be here is cut off in the middle of whatever it reads or writes; one sweep later, so that
  // whoever gave it up himself (a new password, a logout) still gets his answer.
  const bool revoked =
      in_handler_ && request_->grant != nullptr && request_->grant->revoked.load(std::memory_order_acquire);
  if (std::exchange(revoked_, revoked) && revoked) return abort();
  if (in_handler_) {
    const int64_t deadline_us = request_->ctx.deadline_mono_us;
    const bool late = deadline_us != 0 && now_us > deadline_us;
    // A drain ends live streams at once; an upload or a download without a deadline may still come to its end.
    const bool live = endless_ && response_->started() && !response_->sized;
    const bool ended = live && shared_.draining.load(std::memory_order_relaxed);
    if (wait_ == Wait::kBody && late) expired = true;
    if (late || ended) stop_.request_stop();
    if (late || ended) close_ = true;
    // After an upgrade what the peer sent last is still to be read; its end is read there too.
    if (wait_ != Wait::kWrite && !gone_ && !upgraded_ && stream_->peer_gone()) give_up();
    if (upgraded_ && stop_.stop_requested()) stream_->cancel();
  }
  if (expired) {
    timed_out_ = true;
    stream_->cancel();
  }
}

void Http1Connection::abort() {
  give_up();
  stream_->cancel();
}

base::Task<bool> Http1Connection::flush() {
  if (gone_) co_return false;
  if (!out_.empty()) {
    wait_for(Wait::kWrite);
    end_write(co_await stream_->write(out_));
  }
  if (!large_.empty() && !gone_) {
    wait_for(Wait::kWrite);
    end_write(co_await stream_->write(large_));
  }
  large_ = std::string();
  co_return !gone_;
}

void Http1Connection::end_write(const Stream::Outcome& written) {
  wait_for(Wait::kNothing);
  out_.clear();
  if (out_.capacity() > kKeepBytes) out_.shrink_to_fit();
  if (written.error != 0) give_up();
}

base::Task<void> Http1Connection::run() {
  using State = Http1Parser::State;
  for (;;) {
    // The head of the next request; answers that are ready leave before we wait for more.
    while (parser_.state() == State::kIdle || parser_.state() == State::kHead) {
      if (input_.empty()) {
        if (!out_.empty()) {  // as flush() does, without a frame of its own
          wait_for(Wait::kWrite);
          end_write(co_await stream_->write(out_));
          if (gone_) co_return;
          give_back(out_);
        }
        if (wait_ == Wait::kNothing) wait_for(parser_.state() == State::kIdle ? Wait::kRequest : Wait::kHead);
        const auto read = co_await stream_->read_some({buffer_.get(), kInputBytes});
        if (read.error != 0 || read.bytes == 0) {
          if (timed_out_ && parser_.state() == State::kHead) {
            response_->reset();
            take_request_id(*request_);
            write_error(base::Error{base::Code::kDeadline, "the request's head did not arrive in time"}, 408);
            close_ = true;
            write_whole();
            co_await flush();
          }
          co_return;
        }
        input_ = {buffer_.get(), read.bytes};
        if (fresh_ && co_await begins_http2()) co_return;
        if (wait_ == Wait::kRequest) wait_ = Wait::kNothing;  // the time for the head counts from its first byte
      }
      parser_.feed(input_);
      if (parser_.state() == State::kHead && wait_ == Wait::kNothing) wait_for(Wait::kHead);
    }
    wait_ = Wait::kNothing;

    if (const Route* route = dispatch(); route != nullptr) {
      if (ask_gate_) {
        if (auto ok = co_await ask_gate(*route); !ok) {
          if (ok.error().code == base::Code::kTooMany) response_->header("Retry-After", "1");
          write_error(ok.error());
          route = nullptr;
        }
      }
      if (route != nullptr) {
        in_handler_ = true;
        try {
          co_await route->handler(*request_, *response_);
        } catch (const std::exception& e) {
          base::log::error("a handler threw",
                           {{"request", request_->ctx.request_id}, {"route", route->pattern}, {"what", e.what()}});
          if (!response_->started())
            write_error(base::Error{base::Code::kInternal, "an internal error; the server's log has the request id"});
        }
        in_handler_ = false;
      }
      finish_answer(route);
      if (!upgraded_) shared_.in_flight.fetch_sub(1, std::memory_order_relaxed);
    } else {
      finish_answer(nullptr);
    }
    if (gone_) co_return;
    const bool read_to_end = parser_.state() == State::kComplete;
    if (close_) {
      if (!co_await flush()) co_return;
      if (!read_to_end) co_await linger();
      co_return;
    }
    if ((out_.size() > kFlushBytes || !large_.empty()) && !co_await flush()) co_return;
    request_->path.clear();
    if (!request_->params.empty()) decltype(request_->params)().swap(request_->params);
    protocol_.reset();
    parser_.next();
  }
}

// Of the connection's first bytes: HTTP/2's preface begins with them, and no method of HTTP/1.1 does.
base::Task<bool> Http1Connection::begins_http2() {
  constexpr std::string_view kPreface = "PRI ";
  fresh_ = false;
  while (input_.size() < kPreface.size() && kPreface.starts_with(input_)) {
    if (wait_ != Wait::kHead) wait_for(Wait::kHead);
    const auto read = co_await stream_->read_some({buffer_.get() + input_.size(), kInputBytes - input_.size()});
    if (read.error != 0 || read.bytes == 0) break;
    input_ = {buffer_.get(), input_.size() + read.bytes};
  }
  http2_ = input_.starts_with(kPreface);
  co_return http2_;
}

std::unique_ptr<Stream> Http1Connection::release_for_http2(std::string& read) {
  if (!http2_) return nullptr;
  read = input_;
  return std::move(stream_);
}

// Everything before the handler. Answers the route with the request's slot taken, or null with an error written.
const Route* Http1Connection::dispatch() {
  response_->reset();
  RequestImpl& request = *request_;
  request.params.clear();
  request.grant = nullptr;
  ask_gate_ = false;
  begin_context(shared_, request.ctx);
  started_us_ = shared_.clock.mono_us();
  next_slice_ = slice_used_ = 0;
  body_bytes_ = 0;
  override_status_ = 0;
  continue_sent_ = false;
  take_request_id(request);
  if (shared_.tracer != nullptr) begin_span();
  if (parser_.state() == Http1Parser::State::kFailed) {
    close_ = true;
    write_error(base::Error{base::Code::kInvalid, parser_.failure().message}, parser_.failure().status);
    return nullptr;
  }
  close_ = !parser_.keep_alive() || shared_.draining.load(std::memory_order_relaxed);
  const Route* route = nullptr;
  if (auto ok = read_target(request); !ok) {
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
  ask_gate_ = !*granted;
  if (const auto taken = take_slot(shared_, *response_); !taken) {
    write_error(taken.error());
    return nullptr;
  }
  body_limit_ = route->limits.body_bytes;
  endless_ = route->limits.deadline_us == 0;
  if (!endless_) request.ctx.deadline_mono_us = started_us_ + route->limits.deadline_us;
  return route;
}

const Route* Http1Connection::route_request() {
  RequestImpl& request = *request_;
  auto presented = read_presented(shared_.access->policy(), request);
  if (!presented) {
    write_error(presented.error());
    return nullptr;
  }
  presented_ = std::move(*presented);
  const Routing found = find_route(*shared_.routes, request, *response_);
  protocol_ = found.protocol;
  if (found.refusal) write_error(*found.refusal, found.status);
  return found.route;
}

base::Result<bool> Http1Connection::check_access(const Route& route) {
  if (route.is_open()) return true;
  if (const Grant* grant = kept_.recall(*shared_.access, presented_)) {
    TRY(use_grant(*grant, presented_, route, *request_));
    return true;
  }
  if (trusts_peer(presented_) && same_user_ < 0) {
    same_user_ = peer_is_same_user(stream_->descriptor()) ? 1 : 0;
    request_->peer.same_user = same_user_ == 1;
  }
  return false;
}

base::Task<base::Result<void>> Http1Connection::ask_gate(const Route& route) {
  auto grant = co_await shared_.access->admit(*request_, presented_);
  if (!grant) co_return std::unexpected(std::move(grant).error());
  kept_.keep(*shared_.access, presented_, std::move(*grant));
  co_return use_grant(*kept_.grant, presented_, route, *request_);
}

// Goes on with the caller's trace (W3C Trace Context), and tells it where ours is.
void Http1Connection::begin_span() {
  const auto parent = shared_.tracer->start(request_->header("traceparent"));
  if (!parent) return;
  span_.emplace(parent, "HTTP", base::SpanData::Kind::kServer);
  request_->ctx.trace = span_->context();
  response_->header("traceresponse", base::traceparent(request_->ctx.trace));
}

void Http1Connection::end_span(const Route* route) {
  const std::string method(name(request_->method));
  const int status = response_->status();
  span_->rename(route == nullptr ? method : method + " " + route->pattern);
  span_->set("http.request.method", method);
  if (route != nullptr) span_->set("http.route", route->pattern);
  span_->set("url.path", request_->path);
  span_->set("http.response.status_code", int64_t{status});
  span_->set("lathe.request_id", request_->ctx.request_id);
  span_->set("lathe.actor", request_->ctx.actor.name);
  if (status >= 500) span_->fail(reason(status));
  span_.reset();
}

void Http1Connection::write_error(const base::Error& error, int status) {
  const std::string_view target = request_->target;
  const std::string_view path = request_->path.empty() ? target.substr(0, target.find('?')) : request_->path;
  shared_.errors->write(protocol_ ? *protocol_ : protocol_of(path), *response_, error, request_->ctx.request_id);
  if (status != 0) response_->set_status(status);
  if (error.code == base::Code::kUnauthenticated) response_->header("WWW-Authenticate", "Bearer");
}

void Http1Connection::finish_answer(const Route* route) {
  if (!response_->answered() && !gone_) {
    const bool late = request_->ctx.deadline_mono_us != 0 && shared_.clock.mono_us() > request_->ctx.deadline_mono_us;
    write_error(late ? base::Error{base::Code::kDeadline, "the request took longer than it may"}
                     : base::Error{base::Code::kInternal, "the handler gave no answer"});
    if (!late && route != nullptr) {
      base::log::error("a handler gave no answer", {{"request", request_->ctx.request_id}, {"route", route->pattern}});
    }
  }
  if (override_status_ != 0 && response_->whole()) response_->set_status(override_status_);
  if (response_->whole()) {
    // A body that nobody read: what is here already is skipped, what is still to come ends the connection.
    while (parser_.state() == Http1Parser::State::kBody && !input_.empty()) parser_.feed(input_);
    if (parser_.state() != Http1Parser::State::kComplete) close_ = true;
    write_whole();
  } else if (!response_->ended) {
    close_ = true;  // cut off: the peer sees that the end is missing
  }
  const int64_t now_us = shared_.clock.mono_us();
  const int status = response_->status();
  if (status >= 100 && status < 600) shared_.answers[status / 100 - 1]->add();
  if (!endless_ || route == nullptr) shared_.seconds.observe(static_cast<double>(now_us - started_us_) * 1e-6);
  if (span_) end_span(route);
  if (status == 500 || status == 504 || base::log::enabled(base::log::Level::kDebug)) log_answer(now_us);
}

void Http1Connection::log_answer(int64_t now_us) {
  const int status = response_->status();
  base::log::write(status == 500 || status == 504 ? base::log::Level::kWarn : base::log::Level::kDebug, "request",
                   {{"request", request_->ctx.request_id},
                    {"method", name(request_->method)},
                    {"path", request_->path},
                    {"status", status},
                    {"us", now_us - started_us_},
                    {"actor", request_->ctx.actor.name},
                    {"peer", request_->peer.address}});
}

void Http1Connection::write_head(std::optional<uint64_t> length, bool chunked) {
  const ResponseImpl& response = *response_;
  const int status = response.status();
  const std::string_view phrase = reason(status);
  const std::string& type = response.content_type();
  const std::string& id = request_->ctx.request_id;
  borrow(out_);
  const size_t before = out_.size();
  // What every answer has is written in one go: this runs for each of them.
  out_.resize_and_overwrite(before + kFixedHeadBytes + phrase.size() + type.size() + id.size(), [&](char* data,
                                                                                                    size_t) {
    Cursor head{data + before};
    head.text("HTTP/1.1 ").number(static_cast<uint64_t>(status)).text(" ").text(phrase).text("\r\n").text(date_line());
    if (!type.empty()) head.text("Content-Type: ").text(type).text("\r\n");
    if (status != 204 && status != 304) {
      if (length) {
        head.text("Content-Length: ").number(*length).text("\r\n");
      } else if (chunked) {
        head.text("Transfer-Encoding: chunked\r\n");
      }
    }
    head.text("X-Content-Type-Options: nosniff\r\nX-Request-Id: ").text(id).text("\r\n");
    if (close_) {
      head.text("Connection: close\r\n");
    } else if (parser_.http_1_0()) {
      head.text("Connection: keep-alive\r\n");
    }
    return static_cast<size_t>(head.at - data);
  });
  const std::string& lines = response.header_lines();
  out_.append(lines);
  if (wants_no_page(*request_, protocol_, lines)) out_.append(kNoPage);
  out_.append("\r\n");
}

void Http1Connection::write_whole() {
  write_head(response_->body().size(), false);
  const int status = response_->status();
  const bool no_body = request_->method == Method::kHead || status == 204 || status == 304;
  std::string body = std::move(response_->body());
  response_->body().clear();
  if (no_body) return;
  if (body.size() > kWholeBytes) {
    large_ = std::move(body);
  } else {
    out_.append(body);
  }
}

base::Result<void> Http1Connection::begin_upgrade() {
  const Request& request = *request_;
  if (!lists_token(request.header("connection"), "upgrade") || request.header("upgrade").empty() ||
      parser_.http_1_0() || parser_.state() != Http1Parser::State::kComplete) {
    return base::invalid("this request does not ask for another protocol (Connection: upgrade, Upgrade: …, no body)");
  }
  out_.append("HTTP/1.1 101 Switching Protocols\r\n").append(date_line());
  out_.append("Connection: Upgrade\r\nX-Request-Id: ").append(request.ctx.request_id).append("\r\n");
  out_.append(response_->header_lines()).append("\r\n");
  // No sweep watches what the handler writes from here on: the kernel ends a connection that takes nothing.
  const auto stall_ms = static_cast<unsigned>(shared_.limits.write_stall_us / 1000);
  setsockopt(stream_->descriptor(), IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof stall_ms);
  request_->ctx.deadline_mono_us = 0;
  endless_ = close_ = upgraded_ = true;
  shared_.in_flight.fetch_sub(1, std::memory_order_relaxed);  // an open connection, no longer a request
  return {};
}

base::Error Http1Connection::body_error(const Stream::Outcome& outcome) {
  close_ = true;
  if (timed_out_) {
    override_status_ = 408;
    return {base::Code::kDeadline, "the body did not arrive in time"};
  }
  give_up();
  return {base::Code::kCancelled, outcome.error == 0 ? "the connection was closed in the middle of the body"
                                                     : "the connection broke in the middle of the body"};
}

std::optional<std::string_view> Http1Connection::body_at_hand() {
  const auto& length = request_->content_length;
  if (!length || *length > std::min(body_limit_, input_.size()) || body_bytes_ != 0) return std::nullopt;
  if (*length == 0) return std::string_view();
  if (parser_.state() == Http1Parser::State::kBody && parser_.slices().empty()) parser_.feed(input_);
  if (parser_.state() != Http1Parser::State::kComplete || parser_.slices().size() != 1) return std::nullopt;
  next_slice_ = 1;
  body_bytes_ = *length;
  return parser_.slices().front();
}

base::Task<base::Result<size_t>> Http1Connection::read_body(std::span<char> into) {
  using State = Http1Parser::State;
  ASSERT_ALWAYS(!into.empty());
  for (;;) {
    const auto& slices = parser_.slices();
    if (next_slice_ < slices.size()) {
      std::string_view slice = slices[next_slice_].substr(slice_used_);
      const size_t n = std::min(slice.size(), into.size());
      if (body_bytes_ + n > body_limit_) {
        close_ = true;
        co_return base::fail(base::Code::kTooLarge, "the body has more than the " + std::to_string(body_limit_) +
                                                        " bytes that this route takes");
      }
      std::memcpy(into.data(), slice.data(), n);
      body_bytes_ += n;
      slice_used_ += n;
      if (slice_used_ == slices[next_slice_].size()) {
        ++next_slice_;
        slice_used_ = 0;
      }
      co_return n;
    }
    if (parser_.state() == State::kComplete) co_return size_t{0};
    if (parser_.state() == State::kFailed) {
      close_ = true;
      co_return base::invalid(parser_.failure().message);
    }
    if (input_.empty()) {
      if (parser_.expects_continue() && !continue_sent_ && !response_->started()) {
        continue_sent_ = true;
        out_.append("HTTP/1.1 100 Continue\r\n\r\n");
      }
      if (!co_await flush()) co_return std::unexpected(body_error({}));
      wait_for(Wait::kBody);
      const auto read = co_await stream_->read_some({buffer_.get(), kInputBytes});
      wait_for(Wait::kNothing);
      if (read.error != 0 || read.bytes == 0) co_return std::unexpected(body_error(read));
      input_ = {buffer_.get(), read.bytes};
    }
    parser_.feed(input_);
    next_slice_ = slice_used_ = 0;
  }
}

// After a refusal the peer may still be sending. Closing now would reset the connection and could take the answer with
// it, so we end our side, and read and drop what comes, for a while.
base::Task<void> Http1Connection::linger() {
  stream_->shutdown_write();
  timed_out_ = false;
  wait_for(Wait::kLinger);
  for (size_t dropped = 0; dropped < shared_.limits.linger_bytes && !timed_out_;) {
    const auto read = co_await stream_->read_some({buffer_.get(), kInputBytes});
    if (read.error != 0 || read.bytes == 0) co_return;
    dropped += read.bytes;
  }
}

}  // namespace net
