#include "net/connect.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/limits.h"
#include "net/event_loop.h"
#include "net/limits.h"

namespace net {
namespace {

std::string name_of(const Backend& backend) {
  return backend.unix_socket.empty() ? "port " + std::to_string(backend.port) : backend.unix_socket.string();
}

std::unexpected<base::Error> unreachable(const Backend& backend, int error) {
  return base::fail(base::Code::kUnavailable, "nobody answers at " + name_of(backend) + ": " + std::strerror(error));
}

// A path of any length fits a socket address through its folder's descriptor. Connecting to a Unix socket never waits
// for the other side's accept; a full backlog is EAGAIN.
base::Result<base::Fd> connect_unix(const Backend& backend) {
  auto folder = base::open_file(backend.unix_socket.parent_path(), O_PATH | O_DIRECTORY);
  if (!folder) return unreachable(backend, ENOENT);
  base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return base::errno_error("socket", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int size = std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder->get(),
                                 backend.unix_socket.filename().c_str());
  if (size < 0 || static_cast<size_t>(size) >= sizeof address.sun_path) return unreachable(backend, ENAMETOOLONG);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return unreachable(backend, errno);
  return fd;
}

struct Connected {
  LoopFd& socket;
  int error = 0;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    socket.when_writable([this, handle](int e) {
      error = e;
      handle.resume();
    });
  }
  int await_resume() const noexcept { return error; }
};

base::Task<base::Result<base::Fd>> connect_tcp(EventLoop& loop, Backend backend, std::stop_token cancelled) {
  base::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) co_return base::errno_error("socket", errno);
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(backend.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) co_return fd;
  if (errno != EINPROGRESS) co_return unreachable(backend, errno);
  LoopFd socket(loop, std::move(fd));
  int waited = 0;
  {
    const auto timer = loop.after(limits::kConnectUs, [&socket] { socket.cancel(); });
    const std::stop_callback stop(cancelled, [&socket] { socket.cancel(); });
    waited = co_await Connected{socket};
    loop.cancel(timer);
  }
  if (cancelled.stop_requested()) co_return base::fail(base::Code::kCancelled, "the request was cancelled");
  if (waited != 0) co_return unreachable(backend, ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return unreachable(backend, error);
  co_return socket.release();
}

}  // namespace

base::Task<base::Result<std::unique_ptr<Stream>>> connect(Backend backend, std::stop_token cancelled) {
  auto* loop = dynamic_cast<EventLoop*>(base::Loop::current());
  ASSERT_ALWAYS(loop != nullptr);
  if (backend.unix_socket.empty()) {
    auto fd = co_await connect_tcp(*loop, std::move(backend), std::move(cancelled));
    if (!fd) co_return std::unexpected(std::move(fd).error());
    co_return make_fd_stream(*loop, fd->release());
  }
  auto fd = connect_unix(backend);
  if (!fd) co_return std::unexpected(std::move(fd).error());
  co_return make_fd_stream(*loop, fd->release());
}

}  // namespace net
