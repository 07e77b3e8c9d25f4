// A notebook server that only answers: what the proxy is measured against. It is started as if it were jupyter-lab,
// listens on the socket that --ServerApp.sock names, and answers every request with the same few bytes.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string_view>

namespace {

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"version\": \"2.21.1\"}";

// Requests without a body, each whole in one read: enough for wrk through our proxy.
bool answer(int fd) {
  char buffer[16384];
  const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
  return n > 0 && send(fd, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(kAnswer.size());
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::string_view kSock = "--ServerApp.sock=";
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(kSock))
      std::snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[i] + kSock.size());
  }
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 1024) != 0) {
    std::perror(address.sun_path);
    return 1;
  }
  const int poller = epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {.fd = listener}};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    epoll_event ready[64];
    const int count = epoll_wait(poller, ready, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[i].data.fd;
      if (fd != listener) {
        if (!answer(fd)) close(fd);
        continue;
      }
      for (int accepted; (accepted = accept(listener, nullptr, nullptr)) >= 0;) {
        event.data.fd = accepted;
        epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event);
      }
    }
  }
}
