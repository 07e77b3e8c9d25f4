#include "net/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/fs.h"
#include "base/log.h"
#include "net/event_loop.h"
#include "net/http1.h"
#include "net/http2.h"
#include "net/limits.h"
#include "net/peer.h"
#include "net/tls.h"

namespace net {
namespace {

constexpr int kBacklog = 1024;
constexpr int64_t kAcceptPauseUs = 50'000;  // when the process has no descriptor left
constexpr int64_t kQuietPollUs = 1'000;
constexpr int64_t kLastWordUs = 1'000'000;  // of a drain's patience: for handlers that were told to stop

constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
    "Content-Length: 36\r\nConnection: close\r\n\r\ntoo many open connections; try later";
static_assert(kBusy.size() - kBusy.find("\r\n\r\n") - 4 == 36);

constexpr std::string_view kSpeaksTls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 55\r\nConnection: close\r\n\r\nthis port speaks HTTPS; begin the address with https://";
static_assert(kSpeaksTls.size() - kSpeaksTls.find("\r\n\r\n") - 4 == 55);

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  in_port_t& port() {
    return storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                         : reinterpret_cast<sockaddr_in&>(storage).sin_port;
  }
};

base::Result<Endpoint> parse_endpoint(const std::string& address) {
  Endpoint endpoint;
  auto& v4 = reinterpret_cast<sockaddr_in&>(endpoint.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(endpoint.storage);
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    endpoint.storage.ss_family = AF_INET;
    endpoint.size = sizeof v4;
    return endpoint;
  } else if (inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    endpoint.storage.ss_family = AF_INET6;
    endpoint.size = sizeof v6;
    return endpoint;
  }
  return base::invalid("the listening address is '" + address +
                       "'; it must be an IPv4 or IPv6 address such as 127.0.0.1 or 0.0.0.0");
}

// The first socket is bound alone, so that a port on which somebody else listens is refused rather than shared; it
// opens to the others afterwards.
base::Result<base::Fd> bind_socket(Endpoint& endpoint, bool first) {
  base::Fd fd(socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return base::errno_error("socket", errno);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!first) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(fd.get(), endpoint.get(), endpoint.size) != 0) {
    const int error = errno;
    const std::string what = "port " + std::to_string(ntohs(endpoint.port()));
    if (error == EADDRINUSE)
      return base::fail(base::Code::kConflict, what + " is taken by another process; choose another with --listen");
    if (error == EADDRNOTAVAIL)
      return base::invalid("the listening address is none of this machine's; 0.0.0.0 is all of them");
    if (error == EACCES)
      return base::fail(base::Code::kForbidden, what + " is for root only; choose one above 1023 with --listen");
    return base::errno_error(what, error);
  }
  socklen_t size = sizeof endpoint.storage;
  getsockname(fd.get(), endpoint.get(), &size);
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  return fd;
}

}  // namespace

struct Server::Impl {
  Impl(const ServerOptions& options, const base::Clock& clock, base::Registry& metrics)
      : shared(options.limits, clock, metrics, options.label),
        tls(options.tls),
        plane_certificates(options.plane_certificates),
        proxies(options.proxies) {
    shared.tracer = options.tracer;
    if (tls == nullptr) return;
    const auto count = [&](const char* how) {
      return &metrics.counter("lathe_tls_handshakes_total", "TLS handshakes by how they ended", {{"result", how}});
    };
    shaken = count("done"), plain = count("plain-http"), failed = count("failed"), crowded = count("too-many");
  }

  // One loop, its listening socket and its connections.
  struct Worker final : EventLoop::Watcher {
    explicit Worker(Impl& s) : server(s) {}
    void start_accepting();
    void on_ready(uint32_t) override { accept_all(); }
    void accept_all();
    base::Task<void> serve(int fd);
    base::Task<void> converse(int fd);
    base::Task<void> run(ServerConnection& connection);
    base::Task<std::unique_ptr<TlsStream>> shake_hands(int fd);
    base::Task<void> answer_plain(Stream& stream);
    void refuse(base::Fd fd);
    void sweep();
    void sweep_handshakes(int64_t now_us);
    void keep_sweeping();
    void look_at_certificate();
    void stop_accepting();
    void stop_when_quiet();

    Impl& server;
    EventLoop loop;
    base::Fd listener;
    base::TaskScope scope;
    std::vector<ServerConnection*> connections;
    struct Handshake {
      Stream* stream;
      int64_t since_us;
    };
    std::vector<Handshake> handshakes;
    bool sweeping = false;
    std::thread thread;
  };

  ServerShared shared;
  TlsIdentity* tls;
  const bool plane_certificates;
  std::vector<AddressRange> proxies;
  base::Counter *shaken = nullptr, *plain = nullptr, *failed = nullptr, *crowded = nullptr;
  std::atomic<size_t> handshakes{0};
  std::vector<std::unique_ptr<Worker>> workers;
  uint16_t port = 0;
  bool running = false;
  std::mutex mutex;
  std::condition_variable ended;  // a connection of a draining server has
};

void Server::Impl::Worker::start_accepting() {
  if (const int error = loop.watch(listener.get(), *this); error != 0)
    base::log::error("cannot watch the listening socket", {{"why", std::strerror(error)}});
}

// Until nobody waits: the next edge tells of the next.
void Server::Impl::Worker::accept_all() {
  while (listener) {
    const int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      const int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      if (error == EINTR || error == ECONNABORTED || error == EPROTO) continue;
      base::log::warn("cannot accept a connection", {{"why", std::strerror(error)}});
      loop.after(kAcceptPauseUs, [this] { accept_all(); });
      return;
    }
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
  co_await converse(fd);
  const size_t left = server.shared.connections.fetch_sub(1) - 1;
  if (left == 0 && server.shared.draining) {
    std::lock_guard guard(server.mutex);
    server.ended.notify_all();
  }
}

base::Task<void> Server::Impl::Worker::converse(int fd) {
  Peer peer = describe_peer(fd);
  peer.secure = server.tls != nullptr;
  peer.wants_certificate = server.plane_certificates;
  peer.is_proxy = contains(server.proxies, peer.address);
  std::unique_ptr<Stream> stream;
  std::string read;  // of HTTP/2, already
  bool http2 = false;
  if (server.tls != nullptr) {
    auto secure = co_await shake_hands(fd);
    if (!secure) co_return;
    http2 = secure->protocol() == "h2";
    peer.certified = secure->is_peer_certified();
    stream = std::move(secure);
  } else {
    stream = make_fd_stream(loop, fd);
  }
  if (!http2) {
    Http1Connection connection(server.shared, std::move(stream), peer);
    co_await run(connection);
    stream = connection.release_for_http2(read);
    if (!stream) co_return;
  }
  Http2Connection connection(server.shared, std::move(stream), std::move(peer), std::move(read));
  co_await run(connection);
}

base::Task<void> Server::Impl::Worker::run(ServerConnection& connection) {
  connections.push_back(&connection);
  keep_sweeping();
  co_await connection.run();
  std::erase(connections, &connection);
}

// Null: the peer was no TLS client; it has been answered as far as it understands.
base::Task<std::unique_ptr<TlsStream>> Server::Impl::Worker::shake_hands(int fd) {
  auto stream = make_tls_stream(loop, fd, *server.tls);
  if (server.handshakes.fetch_add(1) >= server.shared.limits.handshakes) {
    server.handshakes.fetch_sub(1);
    server.crowded->add();
    co_return nullptr;
  }
  handshakes.push_back({stream.get(), server.shared.clock.mono_us()});
  keep_sweeping();
  const TlsHandshake how = co_await stream->handshake();
  (how == TlsHandshake::kDone ? server.shaken : how == TlsHandshake::kPlainHttp ? server.plain : server.failed)->add();
  if (how == TlsHandshake::kPlainHttp) co_await answer_plain(*stream);
  std::erase_if(handshakes, [&](const Handshake& h) { return h.stream == stream.get(); });
  server.handshakes.fetch_sub(1);
  if (how != TlsHandshake::kDone) co_return nullptr;
  co_return stream;
}

// Then reads until the peer has taken the answer and closed: closing over unread bytes would reset the connection. The
// time is the handshake's.
base::Task<void> Server::Impl::Worker::answer_plain(Stream& stream) {
  const auto written = co_await stream.write(kSpeaksTls);
  stream.shutdown_write();
  char dropped[4096];
  for (size_t total = 0; written.error == 0 && total < server.shared.limits.header_bytes;) {
    const auto read = co_await stream.read_some(dropped);
    if (read.error != 0 || read.bytes == 0) break;
    total += read.bytes;
  }
}

void Server::Impl::Worker::keep_sweeping() {
  if (std::exchange(sweeping, true)) return;
  loop.after(server.shared.limits.sweep_us, [this] { sweep(); });
}

void Server::Impl::Worker::sweep() {
  const int64_t now_us = server.shared.clock.mono_us();
  sweep_handshakes(now_us);
  const auto all = connections;  // telling a handler to stop may end its connection at once
  for (ServerConnection* connection : all) {
    if (std::ranges::find(connections, connection) != connections.end()) connection->sweep(now_us);
  }
  sweeping = false;
  if (!connections.empty() || !handshakes.empty()) keep_sweeping();
}

void Server::Impl::Worker::sweep_handshakes(int64_t now_us) {
  const auto all = handshakes;
  for (const Handshake& one : all) {
    if (now_us - one.since_us < server.shared.limits.handshake_us && !server.shared.draining) continue;
    if (std::ranges::any_of(handshakes, [&](const Handshake& h) { return h.stream == one.stream; }))
      one.stream->cancel();
  }
}

void Server::Impl::Worker::look_at_certificate() {
  server.tls->refresh();
  if (!server.shared.draining) loop.after(limits::kTlsLookUs, [this] { look_at_certificate(); });
}

void Server::Impl::Worker::stop_accepting() {
  if (!listener) return;
  loop.unwatch(listener.get(), *this);
  listener.reset();
}

// Only coroutines of connections that do not end may be left behind.
void Server::Impl::Worker::stop_when_quiet() {
  if (scope.running() <= connections.size() + handshakes.size()) return loop.stop();
  loop.after(kQuietPollUs, [this] { stop_when_quiet(); });
}

base::Result<std::unique_ptr<Server>> Server::listen(const ServerOptions& options, const base::Clock& clock,
                                                     base::Registry& metrics) {
  auto impl = std::make_unique<Impl>(options, clock, metrics);
  TRY_SET(Endpoint endpoint, parse_endpoint(options.address));
  endpoint.port() = htons(options.port);
  for (size_t i = 0; i < std::max<size_t>(options.threads, 1); ++i) {
    auto worker = std::make_unique<Impl::Worker>(*impl);
    TRY_SET(worker->listener, bind_socket(endpoint, i == 0));
    impl->workers.push_back(std::move(worker));
  }
  impl->port = ntohs(endpoint.port());
  for (auto& worker : impl->workers) {
    if (::listen(worker->listener.get(), kBacklog) != 0) return base::errno_error("listen", errno);
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  if (impl_->running && !drain(0)) std::ignore = impl_.release();  // frames that never end keep what they point to
}

uint16_t Server::port() const { return impl_->port; }
size_t Server::connections() const { return impl_->shared.connections; }

void Server::start(const RouteTable& routes, const ErrorWriters& errors, Access& access) {
  ASSERT_ALWAYS(!impl_->running);
  impl_->running = true;
  impl_->shared.routes = &routes;
  impl_->shared.errors = &errors;
  impl_->shared.access = &access;
  for (auto& worker : impl_->workers) {
    worker->thread = std::thread([w = worker.get()] {
      w->start_accepting();
      w->loop.run();
    });
  }
  if (impl_->tls != nullptr)
    impl_->workers.front()->loop.post([w = impl_->workers.front().get()] { w->look_at_certificate(); });
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
      for (ServerConnection* connection : all) {
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
