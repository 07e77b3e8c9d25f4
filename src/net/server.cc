#include "net/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/assert.h"
#include "base/fs.h"
#include "base/log.h"
#include "net/asio_internal.h"
#include "net/http1.h"
#include "net/peer.h"

namespace net {
namespace {

constexpr int kBacklog = 1024;
constexpr int64_t kAcceptPauseUs = 50'000;   // when the process has no descriptor left
constexpr int64_t kQuietPollUs = 1'000;
constexpr int64_t kLastWordUs = 1'000'000;   // of a drain's patience: for handlers that were told to stop

constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
    "Content-Length: 36\r\nConnection: close\r\n\r\ntoo many open connections; try later";
static_assert(kBusy.size() - kBusy.find("\r\n\r\n") - 4 == 36);

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  in_port_t& port() {
    return storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                         : reinterpret_cast<sockaddr_in&>(storage).sin_port;
  }
};

base::Result<Endpoint> parse_loopback(const std::string& address) {
  Endpoint endpoint;
  auto& v4 = reinterpret_cast<sockaddr_in&>(endpoint.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(endpoint.storage);
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    endpoint.storage.ss_family = AF_INET;
    endpoint.size = sizeof v4;
    if ((ntohl(v4.sin_addr.s_addr) >> 24) == 127) return endpoint;
  } else if (inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    endpoint.storage.ss_family = AF_INET6;
    endpoint.size = sizeof v6;
    if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return endpoint;
  } else {
    return base::invalid("the listening address is '" + address + "'; it must be an IPv4 or IPv6 address such as 127.0.0.1");
  }
  return base::invalid("the listening address is '" + address +
                       "', which other machines can reach; without users that can log in, this server listens on "
                       "loopback only (127.0.0.1 or ::1)");
}

// The first socket is bound alone, so that a port on which somebody else listens is refused rather than shared; it opens
// to the others afterwards.
base::Result<base::Fd> bind_socket(Endpoint& endpoint, bool first) {
  base::Fd fd(socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return base::errno_error("socket", errno);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!first) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(fd.get(), endpoint.get(), endpoint.size) != 0) {
    const int error = errno;
    const std::string what = "port " + std::to_string(ntohs(endpoint.port()));
    if (error == EADDRINUSE) return base::fail(base::Code::kConflict, what + " is taken by another process; choose another with --listen");
    if (error == EACCES) return base::fail(base::Code::kForbidden, what + " is for root only; choose one above 1023 with --listen");
    return base::errno_error(what, error);
  }
  socklen_t size = sizeof endpoint.storage;
  getsockname(fd.get(), endpoint.get(), &size);
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  return fd;
}

}  // namespace

struct Server::Impl {
  Impl(const ServerOptions& options, const base::Clock& clock, base::Registry& metrics) : shared(options.limits, clock, metrics) {}

  // One loop, its listening socket and its connections.
  struct Worker {
    explicit Worker(Impl& s) : server(s) {}
    base::Task<void> accept_all();
    base::Task<void> serve(int fd);
    void refuse(base::Fd fd);
    void sweep();
    void stop_accepting();
    void stop_when_quiet();

    Impl& server;
    AsioLoop loop;
    base::Fd listener;
    Acceptor acceptor{loop.impl().context.get_executor()};
    base::TaskScope scope;
    std::vector<Http1Connection*> connections;
    bool sweeping = false;
    std::thread thread;
  };

  ServerShared shared;
  std::vector<std::unique_ptr<Worker>> workers;
  uint16_t port = 0;
  bool running = false;
  std::mutex mutex;
  std::condition_variable ended;  // a connection of a draining server has
};

namespace {

struct AcceptOne {
  Acceptor& acceptor;
  Socket socket;
  boost::system::error_code ec;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    acceptor.async_accept(socket, [this, handle](const boost::system::error_code& e) {
      ec = e;
      handle.resume();
    });
  }
  void await_resume() const noexcept {}
};

}  // namespace

base::Task<void> Server::Impl::Worker::accept_all() {
  while (acceptor.is_open()) {
    AcceptOne accepted{acceptor, Socket(loop.impl().context.get_executor()), {}};
    co_await accepted;
    if (!acceptor.is_open()) break;
    if (accepted.ec) {
      if (accepted.ec == asio::error::no_descriptors || accepted.ec.value() == ENFILE || accepted.ec.value() == ENOMEM) {
        base::log::warn("cannot accept a connection", {{"why", accepted.ec.message()}});
        co_await base::sleep_us(kAcceptPauseUs);
      }
      continue;
    }
    boost::system::error_code ignored;
    const int fd = accepted.socket.release(ignored);
    if (server.shared.connections.fetch_add(1) >= server.shared.limits.connections) {
      server.shared.connections.fetch_sub(1);
      refuse(base::Fd(fd));
      continue;
    }
    scope.spawn(serve(fd));
  }
}

void Server::Impl::Worker::refuse(base::Fd fd) {
  server.shared.refused_connections.add();
  std::ignore = ::send(fd.get(), kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(fd.get(), SHUT_WR);
  char request[4096];  // what has come already: closing over it would reset the connection and lose the answer
  std::ignore = ::recv(fd.get(), request, sizeof request, MSG_DONTWAIT);
}

base::Task<void> Server::Impl::Worker::serve(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  {
    Http1Connection connection(server.shared, make_fd_stream(loop, fd), describe_peer(fd));
    connections.push_back(&connection);
    if (!sweeping) {
      sweeping = true;
      loop.after(server.shared.limits.sweep_us, [this] { sweep(); });
    }
    co_await connection.run();
    std::erase(connections, &connection);
  }
  const size_t left = server.shared.connections.fetch_sub(1) - 1;
  if (left == 0 && server.shared.draining) {
    std::lock_guard guard(server.mutex);
    server.ended.notify_all();
  }
}

void Server::Impl::Worker::sweep() {
  const int64_t now_us = server.shared.clock.mono_us();
  const auto all = connections;  // telling a handler to stop may end its connection at once
  for (Http1Connection* connection : all) {
    if (std::ranges::find(connections, connection) != connections.end()) connection->sweep(now_us);
  }
  sweeping = !connections.empty();
  if (sweeping) loop.after(server.shared.limits.sweep_us, [this] { sweep(); });
}

void Server::Impl::Worker::stop_accepting() {
  boost::system::error_code ignored;
  acceptor.close(ignored);
}

// Only coroutines of connections that do not end may be left behind.
void Server::Impl::Worker::stop_when_quiet() {
  if (scope.running() <= connections.size()) return loop.stop();
  loop.after(kQuietPollUs, [this] { stop_when_quiet(); });
}

base::Result<std::unique_ptr<Server>> Server::listen(const ServerOptions& options, const base::Clock& clock,
                                                     base::Registry& metrics) {
  auto impl = std::make_unique<Impl>(options, clock, metrics);
  TRY_SET(Endpoint endpoint, parse_loopback(options.address));
  endpoint.port() = htons(options.port);
  for (size_t i = 0; i < std::max<size_t>(options.threads, 1); ++i) {
    auto worker = std::make_unique<Impl::Worker>(*impl);
    TRY_SET(worker->listener, bind_socket(endpoint, i == 0));
    impl->workers.push_back(std::move(worker));
  }
  impl->port = ntohs(endpoint.port());
  for (auto& worker : impl->workers) {
    if (::listen(worker->listener.get(), kBacklog) != 0) return base::errno_error("listen", errno);
    boost::system::error_code ec;
    worker->acceptor.assign(asio::generic::stream_protocol(endpoint.storage.ss_family, IPPROTO_TCP), worker->listener.get(), ec);
    if (ec) return base::internal("listening: " + ec.message());
    worker->listener.release();
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  if (impl_->running && !drain(0)) std::ignore = impl_.release();  // frames that never end keep what they point to
}

uint16_t Server::port() const { return impl_->port; }
size_t Server::connections() const { return impl_->shared.connections; }

void Server::start(const RouteTable& routes, const ErrorWriters& errors, const Access& access) {
  ASSERT_ALWAYS(!impl_->running);
  impl_->running = true;
  impl_->shared.routes = &routes;
  impl_->shared.errors = &errors;
  impl_->shared.access = &access;
  for (auto& worker : impl_->workers) {
    worker->thread = std::thread([w = worker.get()] {
      w->loop.post([w] { w->scope.spawn(w->accept_all()); });
      w->loop.run();
    });
  }
}

bool Server::drain(int64_t patience_us) {
  if (!impl_->running) return impl_->shared.connections == 0;
  auto& shared = impl_->shared;
  shared.draining = true;
  const auto each = [&](auto act) {
    for (auto& worker : impl_->workers) worker->loop.post([w = worker.get(), act] { act(*w); });
  };
  each([](Impl::Worker& w) {
    w.stop_accepting();
    w.sweep();
  });
  const auto wait = [&](int64_t us) {
    std::unique_lock lock(impl_->mutex);
    return impl_->ended.wait_for(lock, std::chrono::microseconds(us), [&] { return shared.connections == 0; });
  };
  if (!wait(std::max<int64_t>(patience_us - kLastWordUs, 0))) {
    each([](Impl::Worker& w) {
      const auto all = w.connections;
      for (Http1Connection* connection : all) {
        if (std::ranges::find(w.connections, connection) != w.connections.end()) connection->abort();
      }
    });
    wait(kLastWordUs);
  }
  for (auto& worker : impl_->workers) worker->loop.post([w = worker.get()] { w->stop_when_quiet(); });
  for (auto& worker : impl_->workers) worker->thread.join();
  impl_->running = false;
  return shared.connections == 0;
}

}  // namespace net
