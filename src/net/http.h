// HTTP as handlers see it: streaming both ways with back-pressure, a deadline and cancellation. One interface for
// HTTP/1.1 and HTTP/2; no sockets here.
//
// Ownership: Request and Response live in the connection's frame until the handler's Task has ended; views into them
// are valid that long. Thread: a handler runs on the loop of its connection, and every co_await resumes there. Work
// that blocks (files, libraries) goes through net/offload.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "base/task.h"

namespace net {

enum class Method : uint8_t { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions };
std::string_view name(Method method);

int http_status(base::Code code);  // the one mapping from our codes to HTTP

struct Peer {
  std::string address;  // "127.0.0.1:41234", "unix"
  bool loopback = false;
  bool same_user = false;          // loopback and the peer's socket belongs to the server's user or root
  bool secure = false;             // this connection is TLS
  bool is_proxy = false;           // its address is one of ServerOptions::proxies: X-Forwarded-* is that proxy's word
  bool certified = false;          // it has shown a certificate that the client authority vouches for
  bool wants_certificate = false;  // there is a client authority: data planes are taken with a certificate only
};

using Header = std::pair<std::string, std::string>;  // request names are lower-case

struct Grant;  // access.h

class Request {
 public:
  virtual ~Request() = default;

  Method method = Method::kGet;
  std::string target;  // as sent
  std::string path;    // percent-decoded, without the query
  std::string query;   // as sent, without '?'
  std::vector<Header> headers;
  std::vector<std::pair<std::string, std::string>> params;  // captured by the route's pattern
  std::optional<uint64_t> content_length;                   // none: chunked or no body
  Peer peer;
  base::Context ctx;             // actor, project, request id, deadline, cancelled
  const Grant* grant = nullptr;  // what ctx.actor may do; null on routes that ask for no permission

  std::string_view header(std::string_view lower_case_name) const;  // "" if absent
  bool has_header(std::string_view lower_case_name) const;
  std::string_view param(std::string_view name) const;                  // "" if absent
  std::optional<std::string> query_value(std::string_view name) const;  // first, percent- and plus-decoded
  std::vector<std::string> query_values(std::string_view name) const;

  // The next piece of the body; 0 at its end. Fails with kTooLarge past the route's limit, kDeadline on a stall,
  // kCancelled when the peer has gone.
  virtual base::Task<base::Result<size_t>> read_some(std::span<char> into) = 0;
  // The whole body, up to the route's limit. kBodyPadding bytes behind it may be read (parsers that take blocks do).
  virtual base::Task<base::Result<std::string>> read_body();
  // The same without waiting or copying, when all of it lies in the receive buffer, which is the rule for small ones;
  // valid until the answer. Null: ask read_body().
  virtual std::optional<std::string_view> body_at_hand() { return std::nullopt; }
  static constexpr size_t kBodyPadding = 64;
};

class Stream;  // stream.h

// A connection after 101: its bytes, both ways at once. The stream stays the connection's; the handler reads and writes
// it until it ends, and cancellation (ctx.cancelled) also cancels what is pending on it.
struct Upgraded {
  Stream* stream = nullptr;
  std::string early;  // what the peer has sent behind its request
};

class Response {
 public:
  virtual ~Response() = default;

  // A value that was taken from a request cannot end its line.
  void header(std::string_view name, std::string_view value) { append_line(header_lines_, name, value); }

  // Header fields behind the body. Only HTTP/2 sends them, to everybody; over HTTP/1.1 they are dropped.
  void trailer(std::string_view name, std::string_view value) { append_line(trailer_lines_, name, value); }
  virtual bool sends_trailers() const { return false; }

  // A whole answer. The bytes go out when the handler ends (pipelined answers leave together).
  void send(int status, std::string_view content_type, std::string body) {
    status_ = status, content_type_ = content_type, body_ = std::move(body), whole_ = true;
  }
  void send_json(std::string body, int status = 200) { send(status, "application/json", std::move(body)); }

  // A streamed answer: begin, write…, end. With a length the body must have exactly that many bytes; without, chunked.
  // write waits while the peer reads slowly; fails with kCancelled when it has gone.
  virtual base::Task<base::Result<void>> begin(int status, std::string_view content_type,
                                               std::optional<uint64_t> content_length = std::nullopt) = 0;
  virtual base::Task<base::Result<void>> write(std::string_view bytes) = 0;
  virtual base::Task<base::Result<void>> end() = 0;
  // Streams `length` bytes of a file from `offset` after begin().
  virtual base::Task<base::Result<void>> send_file(int fd, uint64_t offset, uint64_t length) = 0;
  // 101 with the headers set so far, which name the protocol; from here on the request has no deadline, and the
  // connection ends with the handler. kInvalid unless the request asked for it (Connection: upgrade) and has no body.
  virtual base::Task<base::Result<Upgraded>> switch_protocols() = 0;

  bool started() const { return started_; }
  bool answered() const { return started_ || whole_; }
  int status() const { return status_; }

 protected:
  static void append_line(std::string& lines, std::string_view name, std::string_view value);

  int status_ = 0;
  std::string content_type_;
  std::string header_lines_;  // "Name: value\r\n"…
  std::string trailer_lines_;
  std::string body_;
  bool whole_ = false;
  bool started_ = false;
};

using Handler = std::function<base::Task<void>(Request&, Response&)>;

// Percent-decoding; nullopt on a bad escape or NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
std::string percent_encode(std::string_view text);

}  // namespace net
