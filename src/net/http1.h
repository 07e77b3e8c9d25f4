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

#include "net/http1_parser.h"
#include "net/server.h"
#include "net/stream.h"

namespace net {

// What all connections of a server share; immutable but for the counters.
struct ServerShared {
  ServerShared(const ServerLimits& l, const base::Clock& c, base::Registry& metrics);

  ServerLimits limits;
  const base::Clock& clock;
  const RouteTable* routes = nullptr;
  const ErrorWriters* errors = nullptr;
  const Access* access = nullptr;
  std::atomic<size_t> connections{0};
  std::atomic<size_t> in_flight{0};
  std::atomic<bool> draining{false};
  base::Counter* answers[5];  // by class of status
  base::Counter& refused_connections;
  base::Counter& refused_requests;
  base::Histogram& seconds;
};

class Http1Connection {
 public:
  Http1Connection(ServerShared& shared, std::unique_ptr<Stream> stream, Peer peer);
  ~Http1Connection();
  base::Task<void> run();

  void sweep(int64_t now_us);
  void abort();  // at the end of the drain's patience: cancels what runs

 private:
  class RequestImpl;
  class ResponseImpl;
  enum class Wait : uint8_t { kNothing, kRequest, kHead, kBody, kWrite, kLinger };

  const Route* dispatch();                      // null: an error was written
  base::Result<void> parse_target();
  const Route* route_request();
  base::Result<void> check_access(const Route& route);
  void take_request_id();
  void write_error(const base::Error& error, int status = 0);
  void finish_answer(const Route* route);
  void log_answer(int64_t now_us);
  void write_head(std::optional<uint64_t> length, bool chunked);
  void write_whole();
  base::Task<bool> flush();
  base::Task<base::Result<size_t>> read_body(std::span<char> into);
  base::Error body_error(const Stream::Outcome& outcome);
  base::Task<void> linger();
  void wait_for(Wait what);
  void give_up();                               // the peer has gone or time ran out: tell the handler, stop the I/O

  ServerShared& shared_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<RequestImpl> request_;
  std::unique_ptr<ResponseImpl> response_;
  Http1Parser parser_;
  std::unique_ptr<char[]> buffer_;
  std::string_view input_;       // of buffer_: read, not yet parsed
  std::string out_;              // not yet written
  size_t next_slice_ = 0;
  size_t slice_used_ = 0;
  uint64_t body_bytes_ = 0;
  size_t body_limit_ = 0;
  std::optional<Protocol> protocol_;  // of the route; none: its path says in whose words an error is written
  std::stop_source stop_;
  int64_t started_us_ = 0;       // monotonic, of the request
  Wait wait_ = Wait::kNothing;
  int64_t wait_since_us_ = 0;
  uint64_t written_before_ = 0;
  int override_status_ = 0;      // 408 after a stalled body, whatever words the door found for it
  int8_t same_user_ = -1;        // not asked yet
  bool in_handler_ = false;
  bool endless_ = false;         // the route has no deadline
  bool timed_out_ = false;
  bool gone_ = false;
  bool close_ = false;           // after this answer
  bool continue_sent_ = false;
};

}  // namespace net
