// The proxy between a real client and a backend that says exactly the bytes it is told to.
#include "net/proxy.h"

#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "net/test_internal.h"

namespace net {
namespace {

// Accepts one connection after another, each on a thread that is joined at the end.
class FakeBackend {
 public:
  using Talk = std::function<void(int fd)>;
  explicit FakeBackend(base::Path path, Talk talk) : path_(std::move(path)), talk_(std::move(talk)) {
    listener_ = base::Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_.c_str());
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << path_;
    EXPECT_EQ(listen(listener_.get(), 64), 0);
    acceptor_ = std::thread([this] {
      for (;;) {
        const int fd = accept(listener_.get(), nullptr, nullptr);
        if (fd < 0) return;
        ++connections;
        std::lock_guard guard(mutex_);
        talkers_.emplace_back([this, fd] {
          const base::Fd own(fd);
          talk_(fd);
        });
      }
    });
  }
  ~FakeBackend() { stop(); }
  void stop() {
    if (!acceptor_.joinable()) return;
    shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    for (auto& thread : talkers_) thread.join();
    listener_.reset();
    std::filesystem::remove(path_);
  }

  static void say(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // Until the end of a head; "" when the peer has closed.
  static std::string hear_head(int fd) {
    std::string got;
    char c;
    while (!got.ends_with("\r\n\r\n")) {
      if (recv(fd, &c, 1, 0) <= 0) return "";
      got += c;
    }
    return got;
  }
  static std::string hear(int fd, size_t bytes) {
    std::string got(bytes, '\0');
    size_t at = 0;
    while (at < bytes) {
      const ssize_t n = recv(fd, got.data() + at, bytes - at, 0);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    got.resize(at);
    return got;
  }

  std::atomic<int> connections{0};

 private:
  base::Path path_;
  Talk talk_;
  base::Fd listener_;
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<std::thread> talkers_;
};

class ProxyTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = base::make_temp_dir("/tmp", "lathe-proxy-");
    ASSERT_TRUE(made);
    dir = *made;
    test.options.limits.sweep_us = 10'000;
    for (Method method : {Method::kGet, Method::kHead, Method::kPost, Method::kPut}) {
      test.route(method, "/b/{rest...}",
                 [this](Request& request, Response& response) -> base::Task<void> {
                   auto done = co_await proxy.forward(request, response, {.unix_socket = dir / "s"},
                                                      {{"Authorization", "token inner"}});
                   if (!done && done.error().code != base::Code::kCancelled)
                     response.send(http_status(done.error().code), "text/plain", done.error().message);
                 },
                 {.body_bytes = size_t{16} << 20, .deadline_us = 2'000'000});
    }
  }
  void start(FakeBackend::Talk talk) {
    backend = std::make_unique<FakeBackend>(dir / "s", std::move(talk));
    test.start();
  }
  void TearDown() override {
    if (test.server) test.server->drain(3'000'000);
    proxy_owner.reset();
    test.server.reset();
    backend.reset();
    std::ignore = base::remove_tree(dir);
  }

  base::Path dir;
  TestServer test;
  std::unique_ptr<Proxy> proxy_owner = std::make_unique<Proxy>(test.metrics);
  Proxy& proxy = *proxy_owner;
  std::unique_ptr<FakeBackend> backend;
};

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

TEST_F(ProxyTest, PassesWhatBelongsToTheMessageAndNothingElse) {
  std::string seen;
  start([&](int fd) {
    seen = FakeBackend::hear_head(fd);
    FakeBackend::say(
        fd,
        "HTTP/1.1 201 Created\r\nContent-Type: a/b\r\nX-Mine: 1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        "Set-Cookie: lathe_session=stolen\r\nSet-Cookie: _xsrf=2\r\nContent-Length: 2\r\n\r\nok");
  });
  const std::string answer = test.exchange(
      "GET /b/x%20y?q=%2F&1234 HTTP/1.1\r\nHost: localhost:9\r\nAuthorization: Bearer good\r\nX-Own: a\r\n"
      "Cookie: lathe_session=s; _xsrf=1; __Host-lathe_session=s\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\nTE: "
      "trailers\r\n\r\n");
  EXPECT_EQ(status_of(answer), 201) << answer;
  EXPECT_TRUE(answer.contains("X-Mine: 1\r\n") && answer.contains("Content-Type: a/b\r\n"));
  EXPECT_TRUE(answer.contains("_xsrf=2") && !answer.contains("stolen") && !answer.contains("X-Hop"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\nok"));
  EXPECT_TRUE(seen.starts_with("GET /b/x%20y?q=%2F&1234 HTTP/1.1\r\n")) << seen;
  for (const char* wanted :
       {"Host: localhost:9\r\n", "Authorization: token inner\r\n", "x-own: a\r\n", "Cookie: _xsrf=1\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: localhost:9\r\n"})
    EXPECT_TRUE(seen.contains(wanted)) << wanted << "\n" << seen;
  for (const char* kept_back : {"good", "lathe_session", "x-drop", "te:", "trailers"})
    EXPECT_FALSE(seen.contains(kept_back)) << kept_back << "\n" << seen;
}

TEST_F(ProxyTest, KeepsConnectionsAndOutlivesTheirEnd) {
  start([&](int fd) {
    for (int i = 0; i < 3 && !FakeBackend::hear_head(fd).empty(); ++i) FakeBackend::say(fd, kOk);
  });
  RawClient client(test.port());
  for (int i = 0; i < 9; ++i) {
    client.send("GET /b/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(status_of(client.read("\r\n\r\nok")), 200);
  }
  EXPECT_GE(backend->connections, 3);
  EXPECT_LE(backend->connections, 5);
}

TEST_F(ProxyTest, BodiesStreamBothWays) {
  const std::string big(3'000'000, 'Z');
  start([&](int fd) {
    const std::string head = FakeBackend::hear_head(fd);
    if (head.contains("Content-Length: 3000000")) {
      EXPECT_EQ(FakeBackend::hear(fd, big.size()), big);
      FakeBackend::say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2dc6c0\r\n" + big + "\r\n0\r\n\r\n");
    } else {
      EXPECT_TRUE(head.contains("Transfer-Encoding: chunked"));
      EXPECT_TRUE(FakeBackend::hear(fd, 3 + 3 + 2 + 5) == "3\r\nabc\r\n0\r\n\r\n");
      FakeBackend::say(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nuntil the end");
    }
  });
  RawClient client(test.port());
  client.send("POST /b/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + big);
  const std::string answer = client.read("\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_EQ(std::count(answer.begin(), answer.end(), 'Z'), 3'000'000);
  client.send("POST /b/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_TRUE(client.read("\r\n0\r\n\r\n").contains("until the end"));
}

TEST_F(ProxyTest, AnswersToHeadHaveNoBody) {
  start([&](int fd) {
    while (!FakeBackend::hear_head(fd).empty()) FakeBackend::say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
  });
  RawClient client(test.port());
  for (int i = 0; i < 2; ++i) {
    client.send("HEAD /b/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_TRUE(client.read("\r\n\r\n").contains("Content-Length: 77\r\n"));
  }
}

TEST_F(ProxyTest, WhatABackendDoesWrongIsTold) {
  std::string words;
  start([&](int fd) {
    if (!FakeBackend::hear_head(fd).empty()) FakeBackend::say(fd, words);
  });
  const auto ask = [&](std::string bytes) {
    words = std::move(bytes);
    return status_of(test.exchange("GET /b/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
  };
  EXPECT_EQ(ask("garbage\r\n\r\n"), 503);
  EXPECT_EQ(ask(""), 503);
  EXPECT_EQ(ask("HTTP/1.1 20 Short\r\n\r\n"), 503);
  EXPECT_EQ(ask("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), 503);
  EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"), 503);
  words = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
  EXPECT_TRUE(test.exchange("GET /b/x HTTP/1.1\r\nHost: localhost\r\n\r\n").ends_with("abc")) << "cut off, and closed";
  backend->stop();
  EXPECT_EQ(ask(""), 503);
}

TEST_F(ProxyTest, ASilentBackendMeetsTheDeadline) {
  start([&](int fd) {
    FakeBackend::hear_head(fd);
    FakeBackend::hear_head(fd);  // until we are cut off
  });
  EXPECT_EQ(status_of(test.exchange("GET /b/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 504);
}

constexpr std::string_view kUpgrade =
    "GET /b/ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";
constexpr std::string_view kSwitched =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n";

TEST_F(ProxyTest, TunnelsCarryBytesBothWaysAtOnce) {
  start([&](int fd) {
    const std::string head = FakeBackend::hear_head(fd);
    EXPECT_TRUE(head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: websocket\r\n") &&
                head.contains("sec-websocket-key: k\r\n"))
        << head;
    FakeBackend::say(fd, std::string(kSwitched) + "early words");
    for (;;) {
      const std::string heard = FakeBackend::hear(fd, 4);
      if (heard.empty()) return;
      FakeBackend::say(fd, heard + heard);
    }
  });
  RawClient client(test.port());
  client.send(std::string(kUpgrade) + "abcd");
  const std::string head = client.read("\r\n\r\n");
  EXPECT_EQ(status_of(head), 101) << head;
  EXPECT_TRUE(head.contains("Upgrade: websocket\r\n") && head.contains("Sec-WebSocket-Accept: a\r\n"));
  EXPECT_EQ(client.read("abcdabcd"), "early wordsabcdabcd");
  client.send("1234");
  EXPECT_EQ(client.read("12341234"), "12341234");
  client.finish_sending();
  EXPECT_EQ(client.read(), "");
  EXPECT_TRUE(eventually([&] { return test.server->connections() == 0; }));
}

TEST_F(ProxyTest, ARefusedUpgradeIsAnOrdinaryAnswer) {
  start([&](int fd) {
    FakeBackend::hear_head(fd);
    FakeBackend::say(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  });
  RawClient client(test.port());
  client.send(kUpgrade);
  EXPECT_EQ(status_of(client.read("no")), 403);
}

TEST_F(ProxyTest, ADrainEndsTunnels) {
  start([&](int fd) {
    FakeBackend::hear_head(fd);
    FakeBackend::say(fd, kSwitched);
    FakeBackend::hear(fd, 1);
  });
  RawClient client(test.port());
  client.send(kUpgrade);
  EXPECT_EQ(status_of(client.read("\r\n\r\n")), 101);
  EXPECT_TRUE(test.server->drain(3'000'000));
  EXPECT_EQ(client.read(), "");
}

TEST_F(ProxyTest, ASlowReaderSlowsItsWriterDown) {
  const auto written = std::make_shared<std::atomic<size_t>>(0);  // the backend's thread outlives the test's body
  start([written](int fd) {
    FakeBackend::hear_head(fd);
    FakeBackend::say(fd, kSwitched);
    const std::string piece(1 << 16, 'x');
    for (int i = 0; i < 1024; ++i) {
      if (::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) <= 0) return;
      *written += piece.size();
    }
  });
  RawClient client(test.port(), 4096);
  client.send(kUpgrade);
  EXPECT_EQ(status_of(client.read("\r\n\r\n")), 101);
  size_t before = 0;
  EXPECT_TRUE(eventually([&] {
    usleep(100'000);
    return std::exchange(before, written->load()) == written->load();
  }));
  EXPECT_LT(*written, size_t{16} << 20);
}

}  // namespace
}  // namespace net
