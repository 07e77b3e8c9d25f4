// What http2.cc (the connection) and http2_stream.cc (its streams) share. For these two only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <coroutine>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "net/exchange.h"
#include "net/http2.h"
#include "net/limits.h"

namespace net {

// One request and its answer. Owned by the connection until nghttp2 has closed it and its handler has ended.
class Http2Stream {
 public:
  explicit Http2Stream(Http2Connection::Impl& connection);
  void begin(int32_t id);  // for a new request; what was here before is forgotten

  // From nghttp2's callbacks: nothing here calls back into the session, or resumes anybody.
  bool on_header(std::string_view name, std::string_view value);  // false: out of all proportion
  void on_head_end();
  void on_data(std::string_view bytes);
  void on_answer_sent();
  ssize_t pull(uint8_t* into, size_t size, uint32_t* flags);  // the answer's next bytes

  base::Task<void> serve();  // from head to answer
  void on_closed();          // by the peer, by us, or with the connection; once, while the handler runs
  void wake();               // whoever waits, as the stream has ended or run out of time
  void stop(uint32_t code);  // resets the stream; the handler is told
  void sweep(int64_t now_us);
  bool answering() const { return in_handler_ || !pending_.empty(); }

  // The connection's book-keeping.
  int32_t id = 0;
  size_t index = 0;      // among the connection's streams
  bool queued = false;   // waits to be started
  bool running = false;  // serve() has not ended
  bool closed = false;   // nghttp2 has forgotten it
  bool body_ended = false;
  int64_t queued_since_us = 0;
  size_t unsent = 0;  // of a whole answer: counted by the connection

 private:
  class RequestImpl final : public Request {
   public:
    explicit RequestImpl(Http2Stream& stream) : stream_(stream) {}
    base::Task<base::Result<size_t>> read_some(std::span<char> into) override { return stream_.read_body(into); }
    std::optional<std::string_view> body_at_hand() override { return stream_.body_at_hand(); }

   private:
    Http2Stream& stream_;
  };

  class ResponseImpl final : public Response {
   public:
    explicit ResponseImpl(Http2Stream& stream) : stream_(stream) {}
    void reset();
    void set_status(int status) { status_ = status; }
    bool whole() const { return whole_; }
    const std::string& content_type() const { return content_type_; }
    const std::string& header_lines() const { return header_lines_; }
    const std::string& trailer_lines() const { return trailer_lines_; }
    std::string& body() { return body_; }
    bool sends_trailers() const override { return true; }
    base::Task<base::Result<void>> begin(int status, std::string_view content_type,
                                         std::optional<uint64_t> content_length) override;
    base::Task<base::Result<void>> write(std::string_view bytes) override;
    base::Task<base::Result<void>> end() override;
    base::Task<base::Result<void>> send_file(int fd, uint64_t offset, uint64_t length) override;
    base::Task<base::Result<Upgraded>> switch_protocols() override;

    bool ended = false;
    bool sized = false;
    bool no_body = false;
    uint64_t left = 0;

   private:
    Http2Stream& stream_;
  };

  struct Suspended;

  bool is_dead() const;

  const Route* dispatch();  // null: an error was written
  const Route* route_request();
  base::Result<bool> check_access(const Route& route);
  base::Task<base::Result<void>> ask_gate(const Route& route);
  base::Result<void> check_head();
  void write_error(const base::Error& error, int status = 0);
  void ensure_answer(const Route* route);
  base::Task<void> hold_answer();
  void discard_body();
  void finish_answer(const Route* route);
  void end_span(const Route* route);
  void log_answer(int64_t now_us);
  void submit_head(std::optional<uint64_t> length, bool with_body);
  void append_headers(std::string_view lines);
  void add_field(std::string_view name, std::string_view value);
  void add_header(std::string_view name, std::string_view value);
  base::Task<base::Result<size_t>> read_body(std::span<char> into);
  std::optional<std::string_view> body_at_hand();
  void consume(size_t bytes);
  base::Task<base::Result<void>> write(std::string_view bytes);
  void resume_output();

  Http2Connection::Impl& connection_;
  RequestImpl request_;
  ResponseImpl response_;
  Presented presented_;
  std::shared_ptr<const Grant> grant_;
  std::optional<Protocol> protocol_;
  std::optional<base::Span> span_;
  std::stop_source stop_;

  std::optional<std::pair<int, std::string>> refusal_;  // by what its head is
  size_t header_bytes_ = 0;
  size_t header_count_ = 0;
  std::string method_;
  std::string authority_;

  std::string body_;  // has come, from body_used_ on not read
  size_t body_used_ = 0;
  uint64_t body_bytes_ = 0;  // read
  size_t body_limit_ = 0;
  bool holding_ = false;  // the answer waits for the request's end
  bool lingering_ = false;
  bool discard_ = false;  // what still comes is for nobody
  bool continue_sent_ = false;
  bool cut_ = false;  // by us: reset, and everybody told
  std::coroutine_handle<> reader_;

  std::string_view pending_;  // of the answer: the peer has not taken it
  bool out_ended_ = false;
  bool deferred_ = false;
  std::coroutine_handle<> writer_;
  std::vector<nghttp2_nv> fields_;
  std::string names_;  // lower-case, of header_lines

  int64_t started_us_ = 0;
  int64_t wait_since_us_ = 0;    // of a body that does not come
  int64_t linger_since_us_ = 0;  // the answer has gone, its request still comes
  size_t dropped_ = 0;
  int64_t stall_since_us_ = 0;  // of an answer that is not taken
  uint64_t pulled_ = 0;
  uint64_t pulled_before_ = 0;
  int override_status_ = 0;
  bool in_handler_ = false;
  bool endless_ = false;
  bool revoked_ = false;
  bool timed_out_ = false;
};

class Http2Connection::Impl {
 public:
  Impl(ServerShared& s, std::unique_ptr<Stream> stream, Peer peer, std::string read);
  ~Impl();
  base::Task<void> run();
  void sweep(int64_t now_us);
  void abort();

  void kick();     // what the session wants to send leaves
  void give_up();  // the peer has gone
  void drop(Http2Stream& stream);
  void resume_later(std::coroutine_handle<> handle) { waiting_.push_back(handle); }
  // Whether the peer belongs to the server's user; asked of the system once.
  bool same_user();

  ServerShared& shared;
  nghttp2_session* session = nullptr;
  Peer peer;
  size_t unsent = 0;  // of whole answers
  bool gone = false;
  // Of the last request that needed one; streams share it as long as they present the same.
  KeptGrant kept;

 private:
  struct Callbacks;
  void open_session();
  void feed(std::string_view bytes);
  void settle();  // after the session has spoken: starts, resumes and forgets streams
  base::Task<void> pump();
  void fill();
  base::Task<void> linger();
  Http2Stream* obtain(int32_t id);
  void spend_cheap();
  void stop_all();

  std::unique_ptr<Stream> stream_;
  std::string input_;
  std::unique_ptr<char[]> buffer_;
  std::string out_;
  std::vector<std::unique_ptr<Http2Stream>> streams_;
  std::vector<std::unique_ptr<Http2Stream>> spares_;
  std::vector<Http2Stream*> starting_;
  std::vector<Http2Stream*> closing_;
  std::vector<std::coroutine_handle<>> waiting_;
  std::vector<int32_t> sweeping_;
  base::TaskScope scope_;
  int64_t cheap_left_ = limits::kH2CheapFrames;
  int64_t idle_since_us_ = 0;
  int64_t head_since_us_ = 0;
  int64_t write_since_us_ = 0;
  uint64_t written_before_ = 0;
  int64_t swept_us_ = 0;
  int8_t same_user_ = -1;
  bool head_open_ = false;
  bool greeted_ = false;  // the peer's first SETTINGS have come
  bool busy_ = false;     // feed() or settle() runs: what is to be sent leaves at its end
  bool pumping_ = false;
  bool writing_ = false;
  bool goaway_ = false;
  bool reading_ = false;
  bool read_since_sweep_ = false;
  bool lingering_ = false;
  bool timed_out_ = false;
};

}  // namespace net
