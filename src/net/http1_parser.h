// Http1Parser: llhttp in strict mode, plus what a server that faces attackers must refuse beyond it: bare LF, folded
// headers, transfer codings other than one "chunked", Transfer-Encoding in HTTP/1.0, a missing or doubled Host, control
// bytes, framing overhead out of all proportion to the body. Any of these ends the connection after the answer.
//
// One parser serves one connection; the head goes straight into its Request, whose strings are reused. Body bytes are
// not copied: slices point into the bytes that were fed, until the next feed().
// Thread: its connection's.
#pragma once

#include <llhttp.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "net/http.h"

namespace net {

struct HeadLimits {
  size_t header_bytes = base::limits::kHeaderBytes;
  size_t header_count = base::limits::kHeaderCount;
  size_t target_bytes = base::limits::kTargetBytes;
};

class Http1Parser {
 public:
  enum class State : uint8_t {
    kIdle,      // between messages
    kHead,      // the head has begun
    kBody,      // the head is complete, more body follows
    kComplete,  // the message is complete; next() before more is fed
    kFailed,    // error(); nothing more can be read from this connection
  };

  struct Failure {
    int status = 400;
    std::string message;
  };

  Http1Parser(Request& into, const HeadLimits& limits);
  Http1Parser(const Http1Parser&) = delete;

  // Parses from the front of `bytes`, stopping at the end of the head (if a body follows) and of the message; what is
  // left in `bytes` was not looked at.
  State feed(std::string_view& bytes);
  State state() const { return state_; }
  void next();  // after kComplete: forget the message

  const std::vector<std::string_view>& slices() const { return slices_; }  // body found by the last feed()
  const Failure& failure() const { return failure_; }
  bool keep_alive() const { return keep_alive_; }
  bool chunked() const { return chunked_; }
  bool expects_continue() const { return expects_continue_; }
  bool http_1_0() const { return http_1_0_; }

 private:
  static const llhttp_settings_t& settings();
  static Http1Parser& self(llhttp_t* p) { return *static_cast<Http1Parser*>(p->data); }
  int on_target(std::string_view part);
  int on_field(std::string_view part);
  int on_value(std::string_view part);
  int on_head_complete();
  int check_known_headers();
  int fail(int status, std::string_view message);
  int take_head_bytes(std::string_view used);  // limits and line ends of what belongs to the head
  int take_framing(std::string_view used);     // the same for what lies between body slices
  int check_lines(std::string_view part);

  llhttp_t llhttp_;
  Request& request_;
  HeadLimits limits_;
  State state_ = State::kIdle;
  Failure failure_;
  std::vector<std::string_view> slices_;
  size_t head_bytes_ = 0;
  uint64_t body_bytes_ = 0;
  uint64_t framing_bytes_ = 0;
  char previous_ = 0;  // last byte of the head or framing fed so far: line ends may span reads
  bool field_open_ = false;
  bool head_done_ = false;
  bool keep_alive_ = false;
  bool chunked_ = false;
  bool expects_continue_ = false;
  bool http_1_0_ = false;
};

}  // namespace net
