// The connection against real sockets: what stock clients do, and what attackers do.
#include <fcntl.h>
#include <sys/wait.h>

#include "net/test_internal.h"

namespace net {
namespace {

base::Task<void> echo(Request& request, Response& response) {
  auto body = co_await request.read_body();
  if (!body) co_return response.send(http_status(body.error().code), "text/plain", body.error().message);
  response.send(200, "text/plain", std::string(name(request.method)) + " " + request.path + " [" + *body + "]");
}

// As small calls are read: from the receive buffer if the body lies there.
base::Task<void> echo_at_hand(Request& request, Response& response) {
  if (const auto here = request.body_at_hand()) {
    co_return response.send(200, "text/plain", "here [" + std::string(*here) + "]");
  }
  auto body = co_await request.read_body();
  if (!body) co_return response.send(http_status(body.error().code), "text/plain", body.error().message);
  response.send(200, "text/plain", "read [" + *body + "]");
}

base::Task<void> hello(Request&, Response& response) {
  response.send(200, "text/plain", "hello");
  co_return;
}

class Http1 : public testing::Test {
 protected:
  void SetUp() override {
    test.options.limits.sweep_us = 10'000;
    test.route(Method::kGet, "/hello", hello);
    test.route(Method::kGet, "/open", hello, {}, base::Permission::kNone);
    test.route(Method::kGet, "/admin-only", hello, {}, base::Permission::kAdmin);
    test.route(Method::kPost, "/echo", echo, {.body_bytes = 1000});
    test.route(Method::kPost, "/at-hand", echo_at_hand, {.body_bytes = 1000});
    test.route(Method::kGet, "/files/{path...}", echo);
    test.route(Method::kGet, "/throw", [](Request&, Response&) -> base::Task<void> {
      throw std::runtime_error("secret detail");
      co_return;
    });
    test.route(Method::kGet, "/nothing", [](Request&, Response&) -> base::Task<void> { co_return; });
    test.route(Method::kGet, "/who", [](Request& request, Response& response) -> base::Task<void> {
      response.send(200, "text/plain", request.ctx.actor.name + "/" + std::to_string(request.ctx.project));
      co_return;
    });
    test.route(Method::kGet, "/split", [](Request& request, Response& response) -> base::Task<void> {
      response.header("X-Echo", request.query_value("v").value_or(""));
      response.send(200, "text/plain", "x");
      co_return;
    });
    test.route(Method::kGet, "/stream", stream);
  }

  static base::Task<void> stream(Request&, Response& response) {
    std::ignore = co_await response.begin(200, "text/plain");
    std::ignore = co_await response.write("one");
    std::ignore = co_await response.write("two");
    std::ignore = co_await response.end();
  }

  TestServer test;
};

TEST_F(Http1, AnswersAndKeepsAlive) {
  test.start();
  RawClient client(test.port());
  for (int i = 0; i < 3; ++i) {
    client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const std::string answer = client.read("hello");
    EXPECT_EQ(status_of(answer), 200) << answer;
    EXPECT_NE(answer.find("Content-Length: 5\r\n"), answer.npos);
    EXPECT_NE(answer.find("X-Request-Id: rq_"), answer.npos);
  }
}

TEST_F(Http1, PipelinedRequestsAreAnsweredInOrder) {
  test.start();
  RawClient client(test.port());
  client.send(
      "GET /files/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nTrailer: t\r\n\r\n"
      "GET /files/4 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string all = client.read();
  const size_t one = all.find("GET /files/1 []"), two = all.find("POST /echo [abc]"),
               three = all.find("POST /echo [def]"), four = all.find("GET /files/4 []");
  EXPECT_TRUE(one < two && two < three && three < four && four != all.npos) << all;
}

TEST_F(Http1, ABodyThatCameWithItsHeadIsAtHand) {
  test.start();
  RawClient client(test.port());
  const std::string head = "POST /at-hand HTTP/1.1\r\nHost: localhost\r\n";
  client.send(head + "Content-Length: 3\r\n\r\nabc" + head + "Content-Length: 0\r\n\r\n" + head +
              "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n" + head + "Content-Length: 4\r\n\r\nfghi");
  const std::string four = client.read("[fghi]");
  const size_t one = four.find("here [abc]"), two = four.find("here []"), three = four.find("read [de]"),
               last = four.find("here [fghi]");
  EXPECT_TRUE(one < two && two < three && three < last && last != four.npos) << four;
  client.send(head + "Content-Length: 5\r\n\r\nj");
  usleep(20'000);
  client.send("klmn");
  EXPECT_NE(client.read("[jklmn]").find("read [jklmn]"), std::string::npos);
  client.send(head + "Content-Length: 1001\r\n\r\n" + std::string(1001, 'x'));
  EXPECT_EQ(status_of(client.read()), 413);
}

TEST_F(Http1, RequestsInSinglePiecesOfOneByte) {
  test.start();
  RawClient client(test.port());
  for (char c : std::string_view(
           "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")) {
    ASSERT_TRUE(client.send({&c, 1}));
    usleep(200);
  }
  EXPECT_NE(client.read("[abc]").find("200 OK"), std::string::npos);
}

TEST_F(Http1, Http10AndHeadAndStreams) {
  test.start();
  std::string answer = test.exchange("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_NE(answer.find("Connection: close"), answer.npos);
  EXPECT_TRUE(answer.ends_with("hello"));
  answer = test.exchange("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\nonetwo")) << answer;
  RawClient client(test.port());
  client.send(
      "HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  answer = client.read("two\r\n0\r\n\r\n");  // a request id, too, may end in 0
  EXPECT_NE(answer.find("Content-Length: 5\r\n"), answer.npos);
  EXPECT_EQ(answer.find("hello"), answer.npos) << "HEAD has no body";
  EXPECT_TRUE(answer.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")) << answer;
  EXPECT_NE(test.exchange("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").find("HTTP/1.1 404"),
            std::string::npos);
  answer = test.exchange("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(answer), 204);
  EXPECT_NE(answer.find("Allow: POST, OPTIONS"), answer.npos) << answer;
}

TEST_F(Http1, ExpectContinue) {
  test.start();
  RawClient client(test.port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_NE(client.read("[ok]").find("200 OK"), std::string::npos);
  RawClient refused(test.port());
  refused.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(status_of(refused.read("\r\n\r\n")), 413) << "refused before the body is sent";
}

struct Attack {
  const char* what;
  std::string bytes;
  int status;
};

TEST_F(Http1, AttacksAreRefusedAndTheConnectionEnds) {
  test.start();
  const std::string host = "Host: localhost\r\n";
  const Attack attacks[] = {
      {"CL and TE",
       "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET", 400},
      {"TE and CL",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET", 400},
      {"two CL", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {"two equal CL", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"CL list", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {"CL plus", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc", 400},
      {"CL minus", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: -3\r\n\r\nabc", 400},
      {"CL hex", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 0x3\r\n\r\nabc", 400},
      {"CL overflow", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"CL empty", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: \r\n\r\n", 400},
      {"TE gzip", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"TE identity", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", 501},
      {"TE xchunked", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
      {"two TE",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"TE in 1.0", "POST /echo HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"TE before space", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
      {"obs-fold", "GET /hello HTTP/1.1\r\n" + host + "X-A: 1\r\n folded: 2\r\n\r\n", 400},
      {"folded first line", "GET /hello HTTP/1.1\r\n Host: localhost\r\n\r\n", 400},
      {"bare LF", "GET /hello HTTP/1.1\nHost: localhost\n\n", 400},
      {"bare LF in headers", "GET /hello HTTP/1.1\r\n" + host + "X-A: 1\nX-B: 2\r\n\r\n", 400},
      {"bare LF at the end", "GET /hello HTTP/1.1\r\n" + host + "\n", 400},
      {"bare CR in value", "GET /hello HTTP/1.1\r\n" + host + "X-A: 1\rX-B: 2\r\n\r\n", 400},
      {"NUL in value", "GET /hello HTTP/1.1\r\n" + host + std::string("X-A: a\0b\r\n\r\n", 12), 400},
      {"NUL in name", "GET /hello HTTP/1.1\r\n" + host + std::string("X\0A: a\r\n\r\n", 10), 400},
      {"NUL in target", "GET /hel" + std::string(1, '\0') + "lo HTTP/1.1\r\n" + host + "\r\n", 400},
      {"escaped NUL", "GET /files/a%00b HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"bad escape", "GET /files/a%zz HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"cut escape", "GET /files/a%2 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"bad query escape", "GET /hello?a=%f HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"not UTF-8", "GET /files/%ff HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"header not UTF-8", "GET /hello HTTP/1.1\r\n" + host + "X-A: \xff\r\n\r\n", 400},
      {"dot dot", "GET /files/../hello HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"escaped dot dot", "GET /files/%2e%2e/hello HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"escaped slashes", "GET /files/a%2f..%2f..%2fetc HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"backslash", "GET /files/..%5cx HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"dot dot at the end", "GET /files/a/.. HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
      {"no Host", "GET /hello HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400},
      {"chunk size overflow",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400},
      {"chunk size sign", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n", 400},
      {"chunk size hex prefix",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400},
      {"chunk bare LF", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400},
      {"chunk too long", "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
       400},
      {"trailer bare LF",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\n\r\n", 400},
      {"huge chunk",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n" +
           std::string(2000, 'x'),
       413},
      {"chunk extensions",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(40'000, 'x') +
           "\r\na\r\n0\r\n\r\n",
       400},
      {"large body",
       "POST /echo HTTP/1.1\r\n" + host + "Connection: close\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'),
       413},
      {"large chunked body",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') +
           "\r\n0\r\n\r\n",
       413},
      {"long target", "GET /" + std::string(17'000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
      {"long header", "GET /hello HTTP/1.1\r\n" + host + "X: " + std::string(40'000, 'a') + "\r\n\r\n", 431},
      {"endless header", "GET /hello HTTP/1.1\r\n" + host + "X: " + std::string(200'000, 'a'), 431},
      {"many headers",
       [&] {
         std::string text = "GET /hello HTTP/1.1\r\n" + host;
         for (int i = 0; i < 200; ++i) text += "A: b\r\n";
         return text + "\r\n";
       }(),
       431},
      {"HTTP/1.2", "GET /hello HTTP/1.2\r\n" + host + "\r\n", 505},
      {"HTTP/9.9", "GET /hello HTTP/9.9\r\n" + host + "\r\n", 505},
      {"HTTP/0.9", "GET /hello\r\n\r\n", 505},
      {"CONNECT", "CONNECT localhost:80 HTTP/1.1\r\n" + host + "\r\n", 501},
      {"TRACE", "TRACE /hello HTTP/1.1\r\n" + host + "\r\n", 501},
      {"unknown method", "HACK /hello HTTP/1.1\r\n" + host + "\r\n", 400},
      {"lower-case method", "get /hello HTTP/1.1\r\n" + host + "\r\n", 400},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},
      {"space in target", "GET /hel lo HTTP/1.1\r\n" + host + "\r\n", 400},
      {"expectation", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 1\r\nExpect: 200-maybe\r\n\r\n", 417},
      {"relative target", "GET hello HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", 400},
  };
  for (const auto& attack : attacks) {
    const std::string answer = test.exchange(attack.bytes);
    EXPECT_EQ(status_of(answer), attack.status) << attack.what << ": " << answer;
    EXPECT_NE(answer.find("Connection: close"), answer.npos) << attack.what << ": " << answer;
    EXPECT_EQ(answer.find("X-Request-Id"), answer.rfind("X-Request-Id"))
        << attack.what << ": one answer only: " << answer;
    EXPECT_EQ(answer.find("<timeout>"), answer.npos) << attack.what << ": the connection ends: " << answer;
  }
  EXPECT_EQ(status_of(test.exchange("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 200)
      << "and the server lives";
}

TEST_F(Http1, UpgradesAreIgnored) {
  test.start();
  const std::string answer = test.exchange(
      "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
      "h2c\r\nHTTP2-Settings: AA\r\n\r\n",
      "hello");
  EXPECT_EQ(status_of(answer), 200) << answer;
}

TEST_F(Http1, AbsoluteTargetsCarryTheHost) {
  test.start();
  EXPECT_EQ(
      status_of(test.exchange("GET http://localhost/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")),
      200);
  EXPECT_EQ(status_of(test.exchange(
                "GET http://evil.example/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")),
            403);
}

TEST_F(Http1, BrowsersOfOtherSitesAreRefused) {
  test.start();
  const auto ask = [&](const std::string& headers) {
    return status_of(test.exchange("GET /hello HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n"));
  };
  EXPECT_EQ(ask("Host: localhost:8000\r\n"), 200);
  EXPECT_EQ(ask("Host: 127.0.0.1\r\n"), 200);
  EXPECT_EQ(ask("Host: [::1]:8000\r\n"), 200);
  EXPECT_EQ(ask("Host: evil.example\r\n"), 403) << "DNS rebinding";
  EXPECT_EQ(ask("Host: localhost.evil.example\r\n"), 403);
  EXPECT_EQ(ask("Host: 127.evil.example\r\n"), 403);
  EXPECT_EQ(ask("Host: 127.0.0.1.evil.example\r\n"), 403);
  EXPECT_EQ(ask("Host: localhost:80@evil\r\n"), 403);
  EXPECT_EQ(ask("Host: [::1]evil\r\n"), 403);
  EXPECT_EQ(ask("Host: \r\n"), 403);
  EXPECT_EQ(ask("Host: localhost:8000\r\nOrigin: http://localhost:8000\r\n"), 200);
  EXPECT_EQ(ask("Host: localhost:8000\r\nOrigin: http://localhost:3000\r\n"), 403) << "another local site";
  EXPECT_EQ(ask("Host: localhost:8000\r\nOrigin: https://evil.example\r\n"), 403);
  EXPECT_EQ(ask("Host: localhost:8000\r\nOrigin: null\r\n"), 403);
  EXPECT_EQ(ask("Host: localhost:8000\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"), 403);
  EXPECT_EQ(ask("Host: localhost:8000\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"), 200) << "a link";
  EXPECT_EQ(ask("Host: localhost:8000\r\nSec-Fetch-Site: same-origin\r\n"), 200);
  EXPECT_EQ(ask("Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n"), 403);
  EXPECT_EQ(ask("Host: localhost\r\nForwarded: for=127.0.0.1\r\n"), 403);
}

TEST_F(Http1, TokensAndPermissions) {
  test.start();
  const auto ask = [&](const std::string& path, const std::string& headers) {
    return test.exchange("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "Connection: close\r\n\r\n");
  };
  EXPECT_TRUE(ask("/who", "").ends_with("local/1"));
  EXPECT_TRUE(ask("/who", "Authorization: Bearer good\r\n").ends_with("attempt:at_1/7"));
  EXPECT_TRUE(ask("/who", "authorization: bearer  good \r\n").ends_with("attempt:at_1/7"));
  const std::string revoked = ask("/who", "Authorization: Bearer stale\r\n");
  EXPECT_EQ(status_of(revoked), 401) << "never taken for the local user";
  EXPECT_NE(revoked.find("WWW-Authenticate: Bearer"), revoked.npos);
  EXPECT_EQ(status_of(ask("/admin-only", "")), 403);
  EXPECT_EQ(status_of(ask("/open", "")), 200);
}

TEST_F(Http1, ConnectionsOfOtherUsersAreRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  test.start();
  const auto ask_as_nobody = [&](const char* headers, bool close_at_once) {
    int pipe_fds[2];
    EXPECT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
      RawClient client(test.port());
      client.send("GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + std::string(headers) + "\r\n");
      if (close_at_once) client.close();
      const std::string answer = close_at_once ? "" : client.read();
      std::ignore = ::write(pipe_fds[1], answer.data(), answer.size());
      _exit(0);
    }
    ::close(pipe_fds[1]);
    char text[4096];
    std::string answer;
    for (ssize_t n = 0; (n = ::read(pipe_fds[0], text, sizeof text)) > 0;) answer.append(text, static_cast<size_t>(n));
    ::close(pipe_fds[0]);
    waitpid(child, nullptr, 0);
    return answer;
  };
  // The server runs as root here, so root is both "own user" and "root"; the other user is what is told apart.
  EXPECT_EQ(status_of(ask_as_nobody("", false)), 403);
  EXPECT_TRUE(ask_as_nobody("Authorization: Bearer good\r\n", false).ends_with("attempt:at_1/7"));
}

TEST_F(Http1, RequestIdsAreTakenIfSane) {
  test.start();
  const auto ask = [&](const std::string& id) {
    return test.exchange("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: " + id +
                         "\r\n\r\n");
  };
  EXPECT_NE(ask("abc-123").find("X-Request-Id: abc-123\r\n"), std::string::npos);
  EXPECT_NE(ask("a b").find("X-Request-Id: rq_"), std::string::npos);
  EXPECT_NE(ask(std::string(200, 'a')).find("X-Request-Id: rq_"), std::string::npos);
}

TEST_F(Http1, HandlersThatFailBecomeErrorsInTheProtocolsWords) {
  test.start();
  std::string answer = test.exchange("GET /throw HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(answer), 500);
  EXPECT_NE(answer.find("\"code\":\"internal\""), answer.npos) << answer;
  EXPECT_EQ(answer.find("secret detail"), answer.npos);
  EXPECT_EQ(status_of(test.exchange("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 500);
  answer = test.exchange("DELETE /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(answer), 405);
  EXPECT_NE(answer.find("Allow: POST"), answer.npos);
  answer =
      test.exchange("GET /split?v=a%0d%0aSet-Cookie:%20x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer.find("\r\nSet-Cookie"), answer.npos) << "a header value cannot end its line: " << answer;
}

// --- limits on time --------------------------------------------------------------------------------------------------

TEST_F(Http1, SlowHeadsBodiesAndIdleConnectionsEnd) {
  test.options.limits.header_read_us = 60'000;
  test.options.limits.body_stall_us = 60'000;
  test.options.limits.idle_us = 120'000;
  test.start();
  EXPECT_EQ(status_of(test.exchange("GET /hello HTTP/1.1\r\nHost: lo")), 408);
  EXPECT_EQ(status_of(test.exchange("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")), 408);
  EXPECT_EQ(test.exchange(""), "") << "idle: closed without a word";
  RawClient dripping(test.port());
  std::string got;
  for (int i = 0; i < 100 && dripping.send("X"); ++i) usleep(10'000);  // each byte comes in time, the head does not
  got = dripping.read();
  EXPECT_TRUE(status_of(got) == 408 || got.find("<reset>") != got.npos || status_of(got) == 400) << got;
}

TEST_F(Http1, DeadlinesCancelTheHandler) {
  test.route(Method::kGet, "/slow",
             [](Request& request, Response&) -> base::Task<void> {
               while (!request.ctx.cancelled.stop_requested()) co_await base::sleep_us(5'000);
             },
             {.deadline_us = 50'000});
  test.start();
  const std::string answer = test.exchange("GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(answer), 504) << answer;
}

TEST_F(Http1, AHandlerLearnsThatItsPeerHasGone) {
  std::atomic<bool> cancelled = false;
  std::atomic<bool> begun = false;
  test.route(Method::kGet, "/wait",
             [&](Request& request, Response&) -> base::Task<void> {
               begun = true;
               while (!request.ctx.cancelled.stop_requested()) co_await base::sleep_us(2'000);
               cancelled = true;
             },
             {.deadline_us = 0});
  test.start();
  {
    RawClient client(test.port());
    client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return begun.load(); }));
  }
  EXPECT_TRUE(eventually([&] { return cancelled.load(); }));
  EXPECT_TRUE(eventually([&] { return test.server->connections() == 0; }));
}

TEST_F(Http1, AReaderThatStopsIsCutOff) {
  test.options.limits.write_stall_us = 100'000;
  std::atomic<uint64_t> written = 0;
  std::atomic<bool> failed = false;
  test.route(Method::kGet, "/flood",
             [&](Request&, Response& response) -> base::Task<void> {
               std::ignore = co_await response.begin(200, "text/plain");
               const std::string piece(64 << 10, 'x');
               while (co_await response.write(piece)) written += piece.size();
               failed = true;
             },
             {.deadline_us = 0});
  test.start();
  RawClient client(test.port(), 4096);
  client.send("GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return failed.load(); })) << "write waited for ever";
  EXPECT_LT(written.load(), 32U << 20) << "back-pressure: only what the kernel buffers";
}

TEST_F(Http1, UploadsStreamWithBackPressure) {
  std::atomic<bool> go = false;
  std::atomic<uint64_t> read_bytes = 0;
  test.route(Method::kPut, "/upload",
             [&](Request& request, Response& response) -> base::Task<void> {
               while (!go) co_await base::sleep_us(1'000);
               char piece[10'000];
               for (;;) {
                 auto n = co_await request.read_some(piece);
                 if (!n || *n == 0) break;
                 read_bytes += *n;
               }
               response.send(200, "text/plain", "done");
             },
             {.body_bytes = 1 << 30});
  test.start();
  RawClient client(test.port());
  client.send("PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33554432\r\n\r\n");
  fcntl(client.fd(), F_SETFL, O_NONBLOCK);
  const std::string piece(1 << 16, 'x');
  size_t sent = 0;
  for (int quiet = 0; quiet < 20;) {
    const ssize_t n = ::send(client.fd(), piece.data(), std::min(piece.size(), 33554432 - sent), MSG_NOSIGNAL);
    if (n > 0)
      sent += static_cast<size_t>(n), quiet = 0;
    else
      usleep(2'000), ++quiet;
    ASSERT_LT(sent, 33554432U) << "a body that nobody reads must not be taken in";
  }
  fcntl(client.fd(), F_SETFL, 0);
  go = true;
  while (sent < 33554432) {
    const size_t n = std::min<size_t>(piece.size(), 33554432 - sent);
    ASSERT_TRUE(client.send({piece.data(), n}));
    sent += n;
  }
  EXPECT_NE(client.read("done").find("200 OK"), std::string::npos);
  EXPECT_EQ(read_bytes.load(), 33554432U);
}

TEST_F(Http1, TooManyRequestsAndConnectionsAreRefusedNotQueued) {
  test.options.limits.connections = 3;
  test.options.limits.requests_in_flight = 1;
  std::atomic<bool> go = false;
  test.route(Method::kGet, "/hold", [&](Request&, Response& response) -> base::Task<void> {
    while (!go) co_await base::sleep_us(1'000);
    response.send(200, "text/plain", "held");
  });
  test.start();
  RawClient holder(test.port());
  holder.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  RawClient second(test.port());
  std::string answer;
  ASSERT_TRUE(eventually([&] {
    second.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    answer = second.read("\r\n\r\n");
    return status_of(answer) == 503;
  }));
  EXPECT_NE(answer.find("Retry-After: 1"), answer.npos);
  RawClient third(test.port());
  ASSERT_TRUE(eventually([&] { return test.server->connections() == 3; }));
  answer = test.exchange("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(status_of(answer), 503) << answer;
  go = true;
  EXPECT_NE(holder.read("held").find("200 OK"), std::string::npos);
}

TEST_F(Http1, FilesAreStreamed) {
  char path[] = "/tmp/lathe-net-XXXXXX";
  base::Fd file(mkstemp(path));
  unlink(path);
  std::string bytes;
  for (int i = 0; i < 400'000; ++i) bytes += std::to_string(i);
  ASSERT_TRUE(base::write_all(file.get(), bytes));
  test.route(Method::kGet, "/file", [&](Request& request, Response& response) -> base::Task<void> {
    const uint64_t size = request.query_value("long") ? bytes.size() + 5 : bytes.size() - 5;
    std::ignore = co_await response.begin(200, "application/octet-stream", size);
    std::ignore = co_await response.send_file(file.get(), 5, size);
    std::ignore = co_await response.end();
  });
  test.start();
  std::string answer = test.exchange("GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\n" + bytes.substr(5)));
  answer = test.exchange("GET /file?long=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(answer.ends_with(bytes.substr(bytes.size() - 20))) << "a file that is too short ends the connection";
}

TEST_F(Http1, DrainLetsRequestsEndAndEndsStreams) {
  std::atomic<int> begun = 0;
  test.route(Method::kGet, "/short", [&](Request&, Response& response) -> base::Task<void> {
    ++begun;
    co_await base::sleep_us(100'000);
    response.send(200, "text/plain", "finished");
  });
  test.route(Method::kGet, "/endless",
             [&](Request& request, Response& response) -> base::Task<void> {
               std::ignore = co_await response.begin(200, "text/event-stream");
               std::ignore = co_await response.write("first");
               ++begun;
               while (!request.ctx.cancelled.stop_requested()) co_await base::sleep_us(1'000);
               std::ignore = co_await response.end();
             },
             {.deadline_us = 0});
  test.start();
  RawClient idle(test.port()), busy(test.port()), endless(test.port());
  busy.send("GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n");
  endless.send("GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return begun == 2; }));
  const uint16_t port = test.port();
  EXPECT_TRUE(test.server->drain(5'000'000));
  EXPECT_TRUE(busy.read().ends_with("finished"));
  EXPECT_TRUE(endless.read().ends_with("0\r\n\r\n"));
  EXPECT_EQ(idle.read(), "");
  base::Fd probe(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(connect(probe.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
}

TEST(Listen, SharesItsPortWithItselfOnly) {
  base::Registry metrics;
  ServerOptions options;
  options.threads = 3;
  auto first = Server::listen(options, base::system_clock(), metrics);
  ASSERT_TRUE(first) << first.error().message;
  options.port = (*first)->port();
  auto second = Server::listen(options, base::system_clock(), metrics);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::Code::kConflict);
  options.address = "203.0.113.1";  // of documentation, nobody's
  auto elsewhere = Server::listen(options, base::system_clock(), metrics);
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code, base::Code::kInvalid);
}

TEST(Listen, ManyThreadsAnswer) {
  TestServer test({.threads = 3});
  test.route(Method::kGet, "/hello", hello);
  test.start();
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(status_of(test.exchange("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 200);
  }
}

}  // namespace
}  // namespace net
