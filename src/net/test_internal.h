// For net's tests: a server on a free port, and a client that sends exactly the bytes it is told to.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "base/fs.h"
#include "net/server.h"

namespace net {

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer != 0) setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Reads until `until` has come, the peer has closed, or five seconds have passed without a byte.
  std::string read(std::string_view until = {}) {
    std::string got = std::move(left_);
    left_.clear();
    for (;;) {
      if (const size_t at = until.empty() ? got.npos : got.find(until); at != got.npos) {
        left_ = got.substr(at + until.size());
        got.resize(at + until.size());
        return got;
      }
      pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (poll(&p, 1, 5000) <= 0) return got + "<timeout>";
      char piece[4096];
      const ssize_t n = recv(fd_.get(), piece, sizeof piece, 0);
      if (n < 0) return got + "<reset>";
      if (n == 0) return got;
      got.append(piece, static_cast<size_t>(n));
    }
  }
  void finish_sending() { shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  base::Fd fd_;
  std::string left_;
};

// Status of the first answer in `text`; 0 if there is none.
inline int status_of(std::string_view text) { return text.starts_with("HTTP/1.1 ") ? std::atoi(text.data() + 9) : 0; }

// Knows the token "good", a stage's in project 7, and the server's own user; nobody administers.
class TestAccess final : public Access {
 public:
  AccessPolicy& settings() { return policy_; }
  Fingerprint fingerprint(const Presented& presented) const override {
    return {static_cast<uint64_t>(presented.kind) + 1, std::hash<std::string_view>()(presented.secret)};
  }
  bool is_current(const Grant& grant) const override { return !grant.revoked; }
  base::Task<base::Result<std::shared_ptr<const Grant>>> admit(const Request& request,
                                                               const Presented& presented) override {
    ++asked;
    auto grant = std::make_shared<Grant>();
    using base::Permission;
    grant->permissions = {Permission::kRead, Permission::kWrite, Permission::kInfer};
    if (presented.kind == Presented::Kind::kBearer) {
      if (presented.secret != "good") co_return base::fail(base::Code::kUnauthenticated, "an unknown token");
      grant->actor = {base::ActorKind::kAttempt, "attempt:at_1", "at_1"};
      grant->project = 7;
    } else {
      if (!request.peer.same_user) co_return base::fail(base::Code::kForbidden, "another user");
      grant->actor = {base::ActorKind::kLocal, "local", ""};
    }
    last = grant;
    co_return grant;
  }
  std::atomic<int> asked{0};
  std::shared_ptr<Grant> last;
};

struct TestServer {
  explicit TestServer(ServerOptions given = {}) : options(std::move(given)) {}
  void route(Method method, std::string pattern, Handler handler, RouteLimits limits = {},
             base::Permission permission = base::Permission::kRead) {
    routes.add({method, std::move(pattern), Protocol::kLathe, permission, limits, std::move(handler)});
  }
  void start() {
    auto listening = Server::listen(options, base::system_clock(), metrics);
    ASSERT_TRUE(listening) << listening.error().message;
    server = std::move(*listening);
    server->start(routes, errors, access);
  }
  uint16_t port() const { return server->port(); }
  std::string exchange(std::string_view bytes, std::string_view until = {}) {
    RawClient client(port());
    client.send(bytes);
    return client.read(until);
  }

  ServerOptions options;
  base::Registry metrics;
  RouteTable routes;
  ErrorWriters errors;
  TestAccess access;
  std::unique_ptr<Server> server;
};

template <class Condition>
bool eventually(Condition condition, int patience_ms = 5000) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    usleep(2000);
  }
  return true;
}

}  // namespace net
