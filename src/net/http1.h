// Http1Connection: one HTTP/1.1 connection from its first byte to its last. Keep-alive, pipelining (answers of
// requests that arrived together leave in one write), streaming both ways, 100-continue, and every limit on time.
//
// Time: a connection sets no timers. Its loop sweeps all connections every sweep_us and asks each whether what it
// waits for has run out of time, whether its peer has gone, whether its request is past its deadline.
// Thread: its loop's. Ownership: lives in the frame of the coroutine that serves it; owns its stream.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "net/exchange.h"
#include "net/http1_parser.h"
#include "net/stream.h"

namespace net {

class Http1Connection final : public ServerConnection {
 public:
  Http1Connection(ServerShared& shared, std::unique_ptr<Stream> stream, Peer peer);
  ~Http1Connection() override;
  base::Task<void> run() override;
  void sweep(int64_t now_us) override;
  void abort() override;

  // After run(): the peer speaks HTTP/2, beginning with the bytes in `read`. Null: it does not.
  std::unique_ptr<Stream> release_for_http2(std::string& read);

 private:
  class RequestImpl;
  class ResponseImpl;
  enum class Wait : uint8_t { kNothing, kRequest, kHead, kBody, kWrite, kLinger };

  base::Task<bool> begins_http2();
  const Route* dispatch();  // null: an error was written
  const Route* route_request();
  // True: the grant at hand covers the route, or it needs none. False: the gate must be asked first.
  base::Result<bool> check_access(const Route& route);
  base::Task<base::Result<void>> ask_gate(const Route& route);
  void begin_span();
  void end_span(const Route* route);
  void write_error(const base::Error& error, int status = 0);
  void finish_answer(const Route* route);
  void log_answer(int64_t now_us);
  void write_head(std::optional<uint64_t> length, bool chunked);
  void write_whole();
  base::Task<bool> flush();
  void end_write(const Stream::Outcome& written);
  base::Task<base::Result<size_t>> read_body(std::span<char> into);
  std::optional<std::string_view> body_at_hand();
  base::Error body_error(const Stream::Outcome& outcome);
  base::Task<void> linger();
  base::Result<void> begin_upgrade();
  void wait_for(Wait what);
  void give_up();  // the peer has gone or time ran out: tell the handler, stop the I/O

  ServerShared& shared_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<RequestImpl> request_;
  std::unique_ptr<ResponseImpl> response_;
  Presented presented_;  // of the request
  KeptGrant kept_;
  Http1Parser parser_;
  std::unique_ptr<char[]> buffer_;
  std::string_view input_;  // of buffer_: read, not yet parsed
  std::string out_;         // not yet written
  std::string large_;       // a body that follows out_: too long to be copied
  size_t next_slice_ = 0;
  size_t slice_used_ = 0;
  uint64_t body_bytes_ = 0;
  size_t body_limit_ = 0;
  std::optional<Protocol> protocol_;  // of the route; none: its path says in whose words an error is written
  std::stop_source stop_;
  std::optional<base::Span> span_;  // of the request, if it is traced
  int64_t started_us_ = 0;          // monotonic, of the request
  Wait wait_ = Wait::kNothing;
  int64_t wait_since_us_ = 0;  // stamped by the first sweep that sees it: most waits end before, and read no clock
  uint64_t written_before_ = 0;
  int override_status_ = 0;  // 408 after a stalled body, whatever words the door found for it
  int8_t same_user_ = -1;    // not asked yet
  bool ask_gate_ = false;
  bool revoked_ = false;  // its grant, seen by the last sweep
  bool in_handler_ = false;
  bool endless_ = false;  // the route has no deadline
  bool timed_out_ = false;
  bool gone_ = false;
  bool close_ = false;  // after this answer
  bool continue_sent_ = false;
  bool upgraded_ = false;  // the handler has the stream
  bool fresh_ = true;      // nothing was parsed yet: it may still turn out to be HTTP/2
  bool http2_ = false;
};

}  // namespace net
