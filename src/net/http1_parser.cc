#include "net/http1_parser.h"

#include <algorithm>
#include <cstring>

#include "net/spare_headers.h"
#include "net/text.h"

namespace net {
namespace {

constexpr uint64_t kFramingAllowance = 16 << 10;  // chunk headers and trailers, beyond a share of the body
constexpr uint64_t kFramingPerByte = 8;           // a chunk of one byte costs five

Method method_of(int m) {
  switch (m) {
    case HTTP_GET: return Method::kGet;
    case HTTP_HEAD: return Method::kHead;
    case HTTP_POST: return Method::kPost;
    case HTTP_PUT: return Method::kPut;
    case HTTP_PATCH: return Method::kPatch;
    case HTTP_DELETE: return Method::kDelete;
    default: return Method::kOptions;
  }
}

bool is_served_method(int m) {
  return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_POST || m == HTTP_PUT || m == HTTP_PATCH || m == HTTP_DELETE ||
         m == HTTP_OPTIONS;
}

}  // namespace

Http1Parser::Http1Parser(Request& into, const HeadLimits& limits) : request_(into), limits_(limits) {
  llhttp_init(&llhttp_, HTTP_REQUEST, &settings());
  llhttp_.data = this;
}

const llhttp_settings_t& Http1Parser::settings() {
  static const llhttp_settings_t table = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_message_begin = [](llhttp_t* p) {
      self(p).state_ = State::kHead;
      return 0;
    };
    s.on_url = [](llhttp_t* p, const char* at, size_t n) { return self(p).on_target({at, n}); };
    s.on_header_field = [](llhttp_t* p, const char* at, size_t n) { return self(p).on_field({at, n}); };
    s.on_header_value = [](llhttp_t* p, const char* at, size_t n) { return self(p).on_value({at, n}); };
    s.on_header_field_complete = [](llhttp_t* p) {
      self(p).field_open_ = false;
      return 0;
    };
    s.on_headers_complete = [](llhttp_t* p) { return self(p).on_head_complete(); };
    s.on_body = [](llhttp_t* p, const char* at, size_t n) {
      self(p).slices_.emplace_back(at, n);
      self(p).body_bytes_ += n;
      return 0;
    };
    s.on_message_complete = [](llhttp_t* p) {
      self(p).state_ = State::kComplete;
      return static_cast<int>(HPE_PAUSED);
    };
    return s;
  }();
  return table;
}

int Http1Parser::fail(int status, std::string_view message) {
  state_ = State::kFailed;
  failure_.status = status;
  failure_.message = message;
  return -1;
}

int Http1Parser::on_target(std::string_view part) {
  if (request_.target.size() + part.size() > limits_.target_bytes) {
    return fail(414, "the request target is longer than " + std::to_string(limits_.target_bytes) + " bytes");
  }
  request_.target.append(part);
  return 0;
}

int Http1Parser::on_field(std::string_view part) {
  if (head_done_) return 0;  // trailers are read and forgotten: nobody asked for them
  auto& headers = request_.headers;
  if (!field_open_) {
    field_open_ = true;
    if (headers.size() >= limits_.header_count) {
      return fail(431, "more than " + std::to_string(limits_.header_count) + " header fields");
    }
    append_spare(headers);
  }
  std::string& name = headers.back().first;
  const size_t begin = name.size();
  name.append(part);
  std::transform(part.begin(), part.end(), name.data() + begin, ascii_lower);
  return 0;
}

int Http1Parser::on_value(std::string_view part) {
  if (!head_done_) request_.headers.back().second.append(part);
  return 0;
}

int Http1Parser::on_head_complete() {
  head_done_ = true;
  llhttp_.upgrade = 0;  // no other protocol is offered here: the message is an ordinary request
  if (!is_served_method(llhttp_.method)) {
    return fail(501, std::string("the method ") + llhttp_method_name(static_cast<llhttp_method_t>(llhttp_.method)) +
                         " is not served");
  }
  if (llhttp_.http_major != 1) return fail(505, "only HTTP/1.0 and HTTP/1.1 are served here");
  request_.method = method_of(llhttp_.method);
  http_1_0_ = llhttp_.http_minor == 0;
  chunked_ = (llhttp_.flags & F_CHUNKED) != 0;
  keep_alive_ = llhttp_should_keep_alive(&llhttp_) != 0;
  if ((llhttp_.flags & F_CONTENT_LENGTH) != 0) request_.content_length = llhttp_.content_length;
  if (int rc = check_known_headers(); rc != 0) return rc;
  if (chunked_ || llhttp_.content_length > 0) {
    state_ = State::kBody;
    return HPE_PAUSED;  // the handler runs before the body is read
  }
  if (!request_.content_length) request_.content_length = 0;
  return 0;
}

int Http1Parser::check_known_headers() {
  int hosts = 0;
  int codings = 0;
  for (auto& [name, value] : request_.headers) {
    value.resize(static_cast<size_t>(trim(value).end() - value.data()));  // llhttp has skipped what leads
    if (!is_utf8(value)) return fail(400, "header field '" + name + "' is not UTF-8");
    if (name == "host") {
      ++hosts;
    } else if (name == "expect") {
      if (!equals_ignoring_case(value, "100-continue")) return fail(417, "the only expectation served is 100-continue");
      expects_continue_ = !http_1_0_;
    } else if (name == "transfer-encoding") {
      ++codings;
      if (!equals_ignoring_case(value, "chunked")) {
        return fail(501, "the only transfer coding served is 'chunked', found '" + value + "'");
      }
    }
  }
  if (codings > 1) return fail(400, "Transfer-Encoding is given more than once");
  if (codings > 0 && http_1_0_) return fail(400, "Transfer-Encoding is not part of HTTP/1.0");
  if (hosts > 1) return fail(400, "Host is given more than once");
  if (hosts == 0 && !http_1_0_) return fail(400, "the Host header field is missing");
  return 0;
}

// Every line ends in CR LF, and no line of the head continues the one before (obs-fold): two readings of one message
// are how requests are smuggled past a proxy.
int Http1Parser::check_lines(std::string_view part) {
  if (part.empty()) return 0;
  if (previous_ == '\n' && (part.front() == ' ' || part.front() == '\t')) return fail(400, "a folded header line");
  for (size_t at = part.find('\n'); at != part.npos; at = part.find('\n', at + 1)) {
    if ((at == 0 ? previous_ : part[at - 1]) != '\r') return fail(400, "a line that ends in LF without CR");
    if (at + 1 < part.size() && (part[at + 1] == ' ' || part[at + 1] == '\t')) return fail(400, "a folded header line");
  }
  previous_ = part.back();
  return 0;
}

int Http1Parser::take_head_bytes(std::string_view used) {
  head_bytes_ += used.size();
  if (head_bytes_ > limits_.header_bytes) {
    return fail(
        431, "the request line and header fields are longer than " + std::to_string(limits_.header_bytes) + " bytes");
  }
  return check_lines(used);
}

int Http1Parser::take_framing(std::string_view used) {
  if (!chunked_) return 0;
  const char* at = used.data();
  for (auto slice : slices_) {
    framing_bytes_ += static_cast<uint64_t>(slice.data() - at);
    if (check_lines({at, slice.data()}) != 0) return -1;
    at = slice.data() + slice.size();
    previous_ = 0;
  }
  framing_bytes_ += static_cast<uint64_t>(used.data() + used.size() - at);
  if (check_lines({at, used.data() + used.size()}) != 0) return -1;
  if (framing_bytes_ > kFramingAllowance + kFramingPerByte * body_bytes_) {
    return fail(400, "the chunked body is almost all framing");
  }
  return 0;
}

Http1Parser::State Http1Parser::feed(std::string_view& bytes) {
  slices_.clear();
  if (state_ == State::kFailed || state_ == State::kComplete) return state_;
  const bool in_head = !head_done_;
  if (state_ == State::kBody) llhttp_resume(&llhttp_);
  const llhttp_errno_t rc = llhttp_execute(&llhttp_, bytes.data(), bytes.size());
  size_t used = bytes.size();
  if (rc != HPE_OK) {
    const char* stop = llhttp_get_error_pos(&llhttp_);
    used = stop == nullptr ? 0 : static_cast<size_t>(stop - bytes.data());
  }
  const std::string_view consumed = bytes.substr(0, std::min(used, bytes.size()));
  bytes.remove_prefix(consumed.size());
  if (state_ == State::kFailed) return state_;
  if (rc == HPE_PAUSED_H2_UPGRADE) {
    fail(505, "HTTP/2 is not served here; use HTTP/1.1");
  } else if (rc == HPE_INVALID_VERSION) {
    fail(505, "only HTTP/1.0 and HTTP/1.1 are served here");
  } else if (rc != HPE_OK && rc != HPE_PAUSED) {
    const char* reason = llhttp_get_error_reason(&llhttp_);
    fail(400, std::string("this is not well-formed HTTP: ") + (reason != nullptr ? reason : llhttp_errno_name(rc)));
  } else if (in_head) {
    take_head_bytes(consumed);
  } else {
    take_framing(consumed);
  }
  return state_;
}

void Http1Parser::next() {
  take_back(request_.headers);
  request_.target.clear();
  request_.content_length.reset();
  llhttp_resume(&llhttp_);
  slices_.clear();
  state_ = State::kIdle;
  head_bytes_ = 0;
  body_bytes_ = 0;
  framing_bytes_ = 0;
  previous_ = 0;
  field_open_ = head_done_ = keep_alive_ = chunked_ = expects_continue_ = http_1_0_ = false;
}

}  // namespace net
