// HTTP/2 against real sockets: what nghttp2's client does, and what attackers do with hand-made frames.
#include <fcntl.h>
#include <nghttp2/nghttp2.h>

#include <map>
#include <set>
#include <thread>

#include "net/limits.h"
#include "net/test_internal.h"

namespace net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

template <size_t size>
std::string bytes(const char (&literal)[size]) {
  return {literal, size - 1};
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  const auto size = static_cast<uint32_t>(payload.size());
  std::string out{static_cast<char>(size >> 16),   static_cast<char>(size >> 8),   static_cast<char>(size),
                  static_cast<char>(type),         static_cast<char>(flags),       static_cast<char>(stream >> 24),
                  static_cast<char>(stream >> 16), static_cast<char>(stream >> 8), static_cast<char>(stream)};
  return out.append(payload);
}

// A client whose session is nghttp2's, driven by hand over a blocking socket.
class Http2Client {
 public:
  struct Answer {
    std::map<std::string, std::string> headers, trailers;
    std::string body;
    bool ended = false;
    std::optional<uint32_t> reset;
    int status() const { return headers.contains(":status") ? std::stoi(headers.at(":status")) : 0; }
  };

  explicit Http2Client(uint16_t port, int receive_buffer = 0, uint32_t window = 65'535)
      : socket_(port, receive_buffer) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* f, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user) {
          Answer& answer = self(user).answers[f->hd.stream_id];
          auto& into = answer.headers.contains(":status") && f->headers.cat == NGHTTP2_HCAT_HEADERS ? answer.trailers
                                                                                                    : answer.headers;
          into[std::string(reinterpret_cast<const char*>(name), name_size)] =
              std::string(reinterpret_cast<const char*>(value), value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* user) {
          self(user).answers[id].body.append(reinterpret_cast<const char*>(bytes), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* f, void* user) {
          if (f->hd.type == NGHTTP2_GOAWAY) self(user).goaway = f->goaway.error_code;
          if (f->hd.type == NGHTTP2_RST_STREAM) self(user).answers[f->hd.stream_id].reset = f->rst_stream.error_code;
          if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) && (f->hd.flags & 1) != 0)
            self(user).answers[f->hd.stream_id].ended = true;
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1);
  }
  ~Http2Client() { nghttp2_session_del(session_); }

  // `body` none: no more is sent for now (upload() goes on).
  int32_t request(std::string_view method, std::string_view path, std::optional<std::string> body = "",
                  std::vector<std::pair<std::string, std::string>> headers = {}) {
    std::vector<std::pair<std::string, std::string>> all = {
        {":method", std::string(method)}, {":scheme", "http"}, {":authority", authority}, {":path", std::string(path)}};
    if (authority.empty()) std::erase_if(all, [](const auto& h) { return h.first == ":authority"; });
    all.insert(all.end(), headers.begin(), headers.end());
    std::vector<nghttp2_nv> fields;
    for (auto& [name, value] : all) {
      fields.push_back({reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()), name.size(),
                        value.size(), 0});
    }
    auto& upload = uploads_.emplace_back(std::make_unique<Upload>());
    if (body) upload->left = *body;
    upload->more = !body;
    nghttp2_data_provider provider{.source = {.ptr = upload.get()}, .read_callback = pull};
    const bool without = body && body->empty();
    const int32_t id =
        nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), without ? nullptr : &provider, nullptr);
    by_stream_[id] = upload.get();
    send();
    return id;
  }
  void upload(int32_t id, std::string bytes, bool more) {
    by_stream_[id]->left += bytes;
    by_stream_[id]->more = more;
    nghttp2_session_resume_data(session_, id);
    send();
  }
  void reset(int32_t id) {
    nghttp2_submit_rst_stream(session_, 0, id, NGHTTP2_CANCEL);
    send();
  }
  void send() {
    const uint8_t* bytes = nullptr;
    for (ssize_t n = 0; (n = nghttp2_session_mem_send(session_, &bytes)) > 0;)
      socket_.send({reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)});
  }
  // Reads until `done`, the peer has closed, or `patience_ms` have passed without a byte.
  template <class Done>
  bool read_until(Done done, int patience_ms = 5000) {
    while (!done()) {
      pollfd p{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
      if (closed || poll(&p, 1, patience_ms) <= 0) return false;
      char piece[16384];
      const ssize_t n = recv(socket_.fd(), piece, sizeof piece, 0);
      if (n <= 0) {
        closed = true;
        return done();
      }
      if (nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(piece), static_cast<size_t>(n)) < 0)
        return false;
      send();
    }
    return true;
  }
  const Answer& answer(int32_t id) {
    read_until([&] { return answers[id].ended || answers[id].reset; });
    return answers[id];
  }
  const Answer& get(std::string_view path, std::vector<std::pair<std::string, std::string>> headers = {}) {
    return answer(request("GET", path, "", std::move(headers)));
  }
  size_t unread_upload(int32_t id) const { return by_stream_.at(id)->left.size() - by_stream_.at(id)->sent; }
  RawClient& raw() { return socket_; }

  std::map<int32_t, Answer> answers;
  std::optional<uint32_t> goaway;
  bool closed = false;
  std::string authority = "localhost";

 private:
  struct Upload {
    std::string left;
    size_t sent = 0;
    bool more = false;
  };
  static Http2Client& self(void* user) { return *static_cast<Http2Client*>(user); }
  static ssize_t pull(nghttp2_session*, int32_t, uint8_t* into, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void*) {
    auto& upload = *static_cast<Upload*>(source->ptr);
    const size_t n = std::min(size, upload.left.size() - upload.sent);
    std::copy_n(upload.left.data() + upload.sent, n, into);
    upload.sent += n;
    if (upload.sent == upload.left.size() && !upload.more) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (n == 0 && upload.more) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(n);
  }

  RawClient socket_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Upload>> uploads_;
  std::map<int32_t, Upload*> by_stream_;
};

base::Task<void> hello(Request&, Response& response) {
  response.send(200, "text/plain", "hello");
  co_return;
}

class Http2 : public testing::Test {
 protected:
  void SetUp() override {
    test.options.limits.sweep_us = 10'000;
    test.route(Method::kGet, "/hello", hello);
    test.route(Method::kGet, "/open", hello, {}, base::Permission::kNone);
    test.route(Method::kGet, "/admin-only", hello, {}, base::Permission::kAdmin);
    test.route(Method::kPost, "/echo",
               [](Request& request, Response& response) -> base::Task<void> {
                 auto body = co_await request.read_body();
                 if (!body) co_return response.send(http_status(body.error().code), "text/plain", body.error().message);
                 response.send(200, "text/plain", std::string(request.header("cookie")) + "[" + *body + "]");
               },
               {.body_bytes = size_t{20} << 20});
    test.route(Method::kPost, "/unread",
               [this](Request& request, Response& response) -> base::Task<void> {
                 while (!go && !request.ctx.cancelled.stop_requested()) co_await base::sleep_us(1000);
                 auto body = co_await request.read_body();
                 response.send(200, "text/plain", std::to_string(body ? body->size() : 0));
               },
               {.body_bytes = size_t{20} << 20});
    test.route(Method::kGet, "/endless",
               [this](Request& request, Response& response) -> base::Task<void> {
                 std::ignore = co_await response.begin(200, "text/plain");
                 const std::string piece(16 << 10, 'x');
                 while (!request.ctx.cancelled.stop_requested() && co_await response.write(piece))
                   written += piece.size();
                 ++ended;
               },
               {.deadline_us = 0});
    test.route(Method::kGet, "/trailers", [](Request&, Response& response) -> base::Task<void> {
      response.header("X-Head", "1");
      response.trailer("Grpc-Status", "0");
      response.trailer("x-line", "a\r\nb");
      std::ignore = co_await response.begin(200, "application/grpc");
      std::ignore = co_await response.write("body");
      std::ignore = co_await response.end();
    });
    test.route(Method::kPost, "/refused.Call/{method}", [](Request&, Response& response) -> base::Task<void> {
      response.header("grpc-status", "12");
      response.send(200, "application/grpc", "");
      co_return;
    });
    test.route(Method::kGet, "/large", [](Request&, Response& response) -> base::Task<void> {
      response.send(200, "text/plain", std::string(3 << 20, 'y'));
      co_return;
    });
    test.route(Method::kGet, "/file", [](Request&, Response& response) -> base::Task<void> {
      const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
      std::ignore = co_await response.begin(200, "application/octet-stream", 200'000);
      std::ignore = co_await response.send_file(fd, 1, 200'000);
      std::ignore = co_await response.end();
      ::close(fd);
    });
    test.route(Method::kGet, "/who", [](Request& request, Response& response) -> base::Task<void> {
      response.send(200, "text/plain", request.ctx.actor.name + "/" + std::to_string(request.ctx.project));
      co_return;
    });
    test.route(Method::kGet, "/throw", [](Request&, Response&) -> base::Task<void> {
      throw std::runtime_error("secret detail");
      co_return;
    });
    test.route(Method::kGet, "/sleep",
               [this](Request& request, Response& response) -> base::Task<void> {
                 while (!request.ctx.cancelled.stop_requested() && !go) co_await base::sleep_us(1000);
                 if (!go) co_return void(++ended);
                 response.send(200, "text/plain", "woken");
               },
               {.deadline_us = 200'000});
  }

  TestServer test;
  std::atomic<bool> go{false};
  std::atomic<size_t> written{0};
  std::atomic<int> ended{0};
};

TEST_F(Http2, AnswersAsHttp1Does) {
  test.start();
  Http2Client client(test.port());
  const auto& hello = client.get("/hello");
  EXPECT_EQ(hello.status(), 200);
  EXPECT_EQ(hello.body, "hello");
  EXPECT_EQ(hello.headers.at("content-length"), "5");
  EXPECT_EQ(hello.headers.at("x-content-type-options"), "nosniff");
  EXPECT_TRUE(hello.headers.at("x-request-id").starts_with("rq_"));
  EXPECT_TRUE(hello.headers.contains("content-security-policy"));
  EXPECT_TRUE(hello.headers.contains("date"));
  EXPECT_EQ(client.get("/nowhere").status(), 404);
  EXPECT_EQ(client.answer(client.request("POST", "/hello")).status(), 405);
  EXPECT_EQ(client.get("/a/../hello").status(), 400);
  EXPECT_EQ(client.get("/throw").status(), 500);
  EXPECT_EQ(client.answers.rbegin()->second.body.find("secret"), std::string::npos);
  const auto& head = client.answer(client.request("HEAD", "/hello"));
  EXPECT_EQ(head.status(), 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.headers.at("content-length"), "5");
  EXPECT_EQ(client.answer(client.request("OPTIONS", "/hello")).status(), 204);
  EXPECT_EQ(client.answer(client.request("BREW", "/hello")).status(), 501);
  EXPECT_EQ(client.get("/hello", {{"x-request-id", "mine"}}).headers.at("x-request-id"), "mine");
}

TEST_F(Http2, BodiesTrailersAndFiles) {
  test.start();
  Http2Client client(test.port(), 0, 1 << 20);
  EXPECT_EQ(client.answer(client.request("POST", "/echo", "abc")).body, "[abc]");
  EXPECT_EQ(client.answer(client.request("POST", "/echo")).body, "[]");
  const std::string large(9 << 20, 'q');
  EXPECT_EQ(client.answer(client.request("POST", "/echo", large)).body, "[" + large + "]");
  EXPECT_EQ(client.get("/large").body, std::string(3 << 20, 'y'));
  EXPECT_EQ(client.get("/file").body.size(), 200'000);
  const auto& trailed = client.get("/trailers");
  EXPECT_EQ(trailed.body, "body");
  EXPECT_EQ(trailed.headers.at("x-head"), "1");
  EXPECT_EQ(trailed.trailers.at("grpc-status"), "0");
  EXPECT_EQ(trailed.trailers.at("x-line"), "a  b");
  EXPECT_EQ(client.answer(client.request("POST", "/echo", "x", {{"cookie", "a=1"}, {"cookie", "b=2"}})).body,
            "a=1; b=2[x]");
}

TEST_F(Http2, StreamsAnswerOutOfOrder) {
  test.start();
  Http2Client client(test.port());
  const int32_t slow = client.request("GET", "/sleep");
  const int32_t half = client.request("POST", "/echo", std::nullopt);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.get("/hello").body, "hello");
  client.upload(half, "one", true);
  EXPECT_EQ(client.get("/hello").body, "hello");
  client.upload(half, "two", false);
  EXPECT_EQ(client.answer(half).body, "[onetwo]");
  go = true;
  EXPECT_EQ(client.answer(slow).body, "woken");
}

TEST_F(Http2, AConnectionInSingleBytes) {
  test.start();
  RawClient client(test.port());
  // HPACK without a table: literal fields (RFC 7541, 6.2.2).
  const std::string block = bytes("\x82\x86\x04\x06/hello\x41\x09localhost");
  const std::string all = std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0) + frame(NGHTTP2_HEADERS, 5, 1, block);
  for (char c : all) {
    ASSERT_TRUE(client.send({&c, 1}));
    usleep(200);
  }
  EXPECT_NE(client.read("hello").find("hello"), std::string::npos);
}

TEST_F(Http2, AccessIsTheSame) {
  test.start();
  Http2Client client(test.port());
  EXPECT_EQ(client.get("/who", {{"authorization", "Bearer good"}}).body, "attempt:at_1/7");
  const int asked = test.access.asked;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.get("/who", {{"authorization", "Bearer good"}}).status(), 200);
  EXPECT_EQ(test.access.asked, asked) << "the connection keeps the grant";
  const auto& unknown = client.get("/who", {{"authorization", "Bearer bad"}});
  EXPECT_EQ(unknown.status(), 401);
  EXPECT_EQ(unknown.headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(client.get("/who").body, "local/1");
  EXPECT_EQ(client.get("/admin-only").status(), 403);
  EXPECT_EQ(client.get("/open", {{"authorization", "Bearer bad"}}).status(), 200);
  EXPECT_EQ(client.get("/hello", {{"origin", "http://evil.example"}}).status(), 403);
  client.authority = "evil.example";
  EXPECT_EQ(client.get("/hello").status(), 403);
  client.authority = "localhost";
  EXPECT_EQ(client.get("/hello", {{"host", "other"}}).status(), 400);
  client.authority = "";
  EXPECT_EQ(client.get("/hello", {{"host", "localhost"}}).status(), 200);
}

TEST_F(Http2, ARevokedGrantEndsItsStreamsOnly) {
  test.start();
  Http2Client client(test.port());
  const int32_t live = client.request("GET", "/endless", "", {{"authorization", "Bearer good"}});
  ASSERT_TRUE(client.read_until([&] { return client.answers[live].body.size() > 100'000; }));
  const auto given = test.access.last;
  const int32_t other = client.request("GET", "/endless");
  ASSERT_TRUE(client.read_until([&] { return client.answers[other].body.size() > 100'000; }));
  given->revoked = true;
  ASSERT_TRUE(client.read_until([&] { return client.answers[live].reset.has_value(); }));
  EXPECT_FALSE(client.answers[other].reset);
  client.reset(other);
  EXPECT_TRUE(eventually([&] { return ended == 2; }));
  EXPECT_EQ(client.get("/open").status(), 200) << "the connection lives";
}

TEST_F(Http2, ASlowReaderHoldsBackItsAnswerOnly) {
  test.start();
  Http2Client client(test.port(), 4096);
  const int32_t live = client.request("GET", "/endless");
  size_t before = 1;
  // The peer takes nothing: the handler stands still once the windows and the socket's buffers are full.
  EXPECT_TRUE(eventually([&] {
    const size_t now = written;
    usleep(100'000);
    return now != 0 && now == std::exchange(before, now);
  }));
  EXPECT_LT(written, size_t{8} << 20);
  client.reset(live);
  EXPECT_TRUE(eventually([&] { return ended == 1; }));
  EXPECT_EQ(client.get("/hello").status(), 200);
}

TEST_F(Http2, ABodyThatNobodyReadsIsHeldBack) {
  test.start();
  Http2Client client(test.port());
  const int32_t id = client.request("POST", "/unread", std::string(10 << 20, 'b'));
  EXPECT_EQ(client.get("/hello").status(), 200) << "other streams go on";
  EXPECT_GE(client.unread_upload(id), (size_t{10} << 20) - limits::kH2StreamWindow);
  go = true;
  EXPECT_EQ(client.answer(id).body, std::to_string(10 << 20));
}

TEST_F(Http2, ACancelledStreamTellsItsHandler) {
  test.start();
  Http2Client client(test.port());
  const int32_t id = client.request("GET", "/sleep");
  client.get("/hello");
  client.reset(id);
  EXPECT_TRUE(eventually([&] { return ended == 1; }));
  EXPECT_EQ(client.get("/hello").status(), 200);
}

TEST_F(Http2, ADeadlineIs504) {
  test.start();
  Http2Client client(test.port());
  EXPECT_EQ(client.get("/sleep").status(), 504);
  EXPECT_EQ(ended, 1);
}

TEST_F(Http2, BodyAndHeaderLimits) {
  test.options.limits.body_stall_us = 100'000;
  test.start();
  Http2Client client(test.port());
  EXPECT_EQ(client.answer(client.request("POST", "/echo", std::nullopt)).status(), 408);
  EXPECT_EQ(client.answer(client.request("POST", "/echo", std::string(21 << 20, 'x'))).status(), 413);
  EXPECT_EQ(client.answer(client.request("POST", "/echo", std::nullopt, {{"content-length", "99999999"}})).status(),
            413);
  EXPECT_TRUE(client.answer(client.request("POST", "/echo", "", {{"content-length", "3"}})).reset) << "cut off";
  EXPECT_EQ(client.get("/hello", {{"x-large", std::string(40'000, 'h')}}).status(), 431);
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 200; ++i) many.emplace_back("x-" + std::to_string(i), "1");
  EXPECT_EQ(client.get("/hello", many).status(), 431);
  EXPECT_EQ(client.get("/" + std::string(17'000, 'p')).status(), 414);
  EXPECT_EQ(client.get("/hello").status(), 200);
  EXPECT_TRUE(client.get("/hello", {{"connection", "close"}}).reset) << "no field of HTTP/1.1's connections";
}

TEST_F(Http2, AfterAnEarlyAnswerTheBodyIsDroppedForAWhile) {
  test.options.limits.linger_us = 200'000;
  test.start();
  Http2Client client(test.port());
  const int32_t id = client.request("POST", "/nowhere", std::nullopt);
  EXPECT_EQ(client.answer(id).status(), 404);
  client.upload(id, std::string(3 << 20, 'x'), true);
  EXPECT_EQ(client.get("/hello").status(), 200);
  EXPECT_TRUE(client.read_until([&] { return client.unread_upload(id) == 0 || client.answers[id].reset; }));
  EXPECT_TRUE(client.read_until([&] { return client.answers[id].reset.has_value(); }));
  EXPECT_EQ(client.answers[id].reset, uint32_t{NGHTTP2_NO_ERROR});
}

TEST_F(Http2, AnAnswerWaitsForTheEndOfItsRequest) {
  test.start();
  Http2Client client(test.port());
  for (const char* path : {"/nowhere", "/refused.Call/Any"}) {
    const int32_t id = client.request("POST", path, std::nullopt);
    client.upload(id, "not yet", true);
    EXPECT_EQ(client.get("/hello").status(), 200);
    EXPECT_TRUE(client.answers[id].headers.empty());
    client.upload(id, "the end", false);
    EXPECT_EQ(client.answer(id).status(), path[1] == 'n' ? 404 : 200);
    EXPECT_EQ(client.get("/hello").status(), 200);
    EXPECT_FALSE(client.answers[id].reset);
  }
}

TEST_F(Http2, AnAnswerWaitsForALimitedTime) {
  test.start();
  Http2Client client(test.port());
  const int32_t silent = client.request("POST", "/refused.Call/Any", std::nullopt);
  const int32_t large = client.request("POST", "/refused.Call/Any", std::string(2 << 20, 'x'));
  for (const int32_t id : {silent, large}) {
    EXPECT_EQ(client.answer(id).status(), 200);
    EXPECT_TRUE(client.read_until([&] { return client.answers[id].reset.has_value(); }));
    EXPECT_EQ(client.answers[id].reset, uint32_t{NGHTTP2_NO_ERROR});
  }
  const int32_t asks = client.request("POST", "/nowhere", std::nullopt, {{"expect", "100-continue"}});
  EXPECT_TRUE(client.read_until([&] { return client.answers[asks].ended; }, 900)) << "its body never comes";
}

// Everything that a hostile peer sends at once ends its connection, and the server lives.
TEST_F(Http2, FloodsEndTheConnection) {
  test.start();
  const std::string begin = std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0);
  const std::string hello = bytes("\x82\x86\x04\x06/hello\x41\x09localhost");
  const auto ends = [&](std::string_view what, auto attack) {
    RawClient client(test.port());
    client.send(begin);
    std::string flood;
    for (int i = 0; i < 20'000; ++i) flood += attack(i);
    std::ignore = client.send(flood);
    const std::string all = client.read();
    EXPECT_FALSE(all.ends_with("<timeout>")) << what;
  };
  ends("rapid reset", [&](int i) {
    const auto id = static_cast<uint32_t>(2 * i + 1);
    return frame(NGHTTP2_HEADERS, 5, id, hello) + frame(NGHTTP2_RST_STREAM, 0, id, bytes("\0\0\0\x08"));
  });
  ends("ping", [](int) { return frame(NGHTTP2_PING, 0, 0, "12345678"); });
  ends("settings", [](int) { return frame(NGHTTP2_SETTINGS, 0, 0); });
  ends("priority",
       [](int i) { return frame(NGHTTP2_PRIORITY, 0, static_cast<uint32_t>(2 * i + 1), std::string(5, '\0')); });
  ends("empty data", [&](int i) {
    return i == 0 ? frame(NGHTTP2_HEADERS, 4, 1, bytes("\x83\x86\x04\x05/echo\x41\x09localhost"))
                  : frame(NGHTTP2_DATA, 0, 1);
  });
  ends("continuation", [&](int i) {
    return i == 0 ? frame(NGHTTP2_HEADERS, 1, 1, hello) : frame(NGHTTP2_CONTINUATION, 0, 1, bytes("\x00\x01x\x01y"));
  });
  ends("no preface", [](int) { return std::string(100, '\xff'); });
  Http2Client after(test.port());
  EXPECT_EQ(after.get("/hello").status(), 200);
}

TEST_F(Http2, UnknownFramesAreIgnored) {
  test.start();
  RawClient client(test.port());
  std::string all = std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0);
  for (int i = 0; i < 100; ++i) all += frame(0x77, 0, 0, "x");
  client.send(all + frame(NGHTTP2_HEADERS, 5, 1, bytes("\x82\x86\x04\x06/hello\x41\x09localhost")));
  EXPECT_NE(client.read("hello").find("hello"), std::string::npos);
}

TEST_F(Http2, TooManyStreamsAreRefused) {
  test.start();
  Http2Client client(test.port());
  client.get("/hello");
  std::set<int32_t> open;
  for (uint32_t i = 0; i < limits::kH2Streams + 40; ++i) open.insert(client.request("GET", "/sleep"));
  go = true;
  size_t answered = 0;
  for (int32_t id : open) answered += client.answer(id).status() == 200;
  EXPECT_EQ(answered, open.size()) << "nghttp2's client keeps to the announced number";
}

TEST_F(Http2, DrainsWithAWord) {
  test.start();
  Http2Client idle(test.port()), busy(test.port());
  EXPECT_EQ(idle.get("/hello").status(), 200);
  const int32_t id = busy.request("GET", "/endless");
  ASSERT_TRUE(busy.read_until([&] { return !busy.answers[id].body.empty(); }));
  std::thread drain([&] { EXPECT_TRUE(test.server->drain(5'000'000)); });
  idle.read_until([&] { return idle.closed; });
  EXPECT_EQ(idle.goaway, uint32_t{NGHTTP2_NO_ERROR});
  busy.read_until([&] { return busy.closed; });
  EXPECT_TRUE(idle.closed && busy.closed);
  drain.join();
}

TEST_F(Http2, SilenceEnds) {
  test.options.limits.header_read_us = 100'000;
  test.options.limits.idle_us = 100'000;
  test.start();
  RawClient silent(test.port());
  silent.send(kPreface);
  EXPECT_FALSE(silent.read().ends_with("<timeout>"));
  RawClient half(test.port());
  half.send(std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0) + frame(NGHTTP2_HEADERS, 1, 1, "\x82"));
  EXPECT_FALSE(half.read().ends_with("<timeout>"));
  Http2Client idle(test.port());
  EXPECT_EQ(idle.get("/hello").status(), 200);
  idle.read_until([&] { return idle.closed; });
  EXPECT_TRUE(idle.closed);
}

TEST_F(Http2, APeerThatGoesTakesItsHandlersAlong) {
  test.start();
  {
    Http2Client client(test.port());
    for (int i = 0; i < 10; ++i) client.request("GET", "/sleep");
    client.request("GET", "/endless");
    client.request("POST", "/echo", std::nullopt);
    client.read_until([&] { return client.answers.size() > 0; });
  }
  EXPECT_TRUE(eventually([&] { return ended == 11; }));
  EXPECT_TRUE(eventually([&] { return test.server->connections() == 0; }));
}

}  // namespace
}  // namespace net
