// Level-triggered epoll with nothing around it: the listener and the loop of the programs that are ceilings. One
// thread; for bench/ only.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bench {

inline int listen_on(int port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 512) != 0) {
    std::perror("listen");
    std::exit(1);
  }
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return listener;
}

// For ever. A Connection is made by `connect()` for each peer and hears what has come: `converse(connection, bytes,
// out)` appends the answer; false ends it. What the peer does not take at once waits, and with it the next request.
template <class Connect, class Converse>
[[noreturn]] void run_server(int port, Connect connect, Converse converse) {
  struct Peer {
    decltype(connect()) connection;
    std::string unsent;
    size_t sent = 0;
  };
  const int listener = listen_on(port);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [poll](int fd, int act, uint32_t what) {
    epoll_event event{.events = what, .data = {.fd = fd}};
    ::epoll_ctl(poll, act, fd, &event);
  };
  watch(listener, EPOLL_CTL_ADD, EPOLLIN);
  std::unordered_map<int, Peer> peers;
  std::vector<epoll_event> events(256);
  std::vector<char> buffer(64 << 10);
  std::string out;
  // False: the peer has gone.
  const auto flush = [&](int fd, Peer& peer) {
    while (peer.sent < peer.unsent.size()) {
      const ssize_t n = ::send(fd, peer.unsent.data() + peer.sent, peer.unsent.size() - peer.sent, MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN;
      peer.sent += static_cast<size_t>(n);
    }
    peer.unsent.clear();
    peer.sent = 0;
    watch(fd, EPOLL_CTL_MOD, EPOLLIN);
    return true;
  };
  const auto hear = [&](int fd, Peer& peer) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    out.clear();
    if (got <= 0 || !converse(peer.connection, {buffer.data(), static_cast<size_t>(got)}, out)) return false;
    if (out.empty()) return true;
    const ssize_t n = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
    if (n == static_cast<ssize_t>(out.size())) return true;
    if (n < 0 && errno != EAGAIN) return false;
    peer.unsent.swap(out);
    peer.sent = n < 0 ? 0 : static_cast<size_t>(n);
    watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
    return true;
  };
  for (;;) {
    const int ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener) {
        const int made = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (made < 0) continue;
        const int one = 1;
        ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        peers.emplace(made, Peer{connect(), {}, 0});
        watch(made, EPOLL_CTL_ADD, EPOLLIN);
        continue;
      }
      Peer& peer = peers.at(fd);
      if (peer.unsent.empty() ? hear(fd, peer) : flush(fd, peer)) continue;
      peers.erase(fd);
      ::close(fd);
    }
  }
}

}  // namespace bench
