#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "net/asio_internal.h"
#include "net/stream.h"

namespace net {
namespace {

constexpr size_t kSendFilePiece = size_t{1} << 20;  // so that one fast peer does not keep the loop to itself

class FdStream final : public Stream {
 public:
  FdStream(AsioLoop& loop, int fd) : socket_(loop.impl().context.get_executor()) {
    boost::system::error_code ignored;
    socket_.assign(asio::generic::stream_protocol(AF_INET, IPPROTO_TCP), fd, ignored);
    socket_.non_blocking(true, ignored);
  }

  void cancel() override {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }
  void shutdown_write() override {
    boost::system::error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  }
  bool peer_gone() const override {
    pollfd p{.fd = const_cast<Socket&>(socket_).native_handle(), .events = POLLRDHUP, .revents = 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }
  uint64_t bytes_written() const override { return bytes_written_; }
  int descriptor() const override { return const_cast<Socket&>(socket_).native_handle(); }

 protected:
  bool start_read(std::span<char> into, Pending& op) override {
    socket_.async_read_some(asio::buffer(into.data(), into.size()),
                            [&op](const boost::system::error_code& ec, size_t n) {
                              op.outcome = {n, ec == asio::error::eof ? 0 : to_errno(ec)};
                              op.handle.resume();
                            });
    return false;
  }

  bool start_write(std::string_view bytes, Pending& op) override {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        advance(op, static_cast<size_t>(n));
        bytes.remove_prefix(static_cast<size_t>(n));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        wait_writable(op, [this, bytes, &op] { return start_write(bytes, op); });
        return false;
      } else if (errno != EINTR) {
        op.outcome.error = errno;
        return true;
      }
    }
    return true;
  }

  bool start_send_file(int fd, uint64_t offset, uint64_t length, Pending& op) override {
    if (length == 0) return true;
    auto at = static_cast<off_t>(offset);
    const ssize_t n = ::sendfile(socket_.native_handle(), fd, &at, std::min<uint64_t>(length, kSendFilePiece));
    if (n == 0) {  // the file is shorter than was promised
      op.outcome.error = ENODATA;
      return true;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      op.outcome.error = errno;
      return true;
    }
    const auto sent = static_cast<uint64_t>(std::max<ssize_t>(n, 0));
    advance(op, sent);
    if (sent == length) return true;
    wait_writable(op, [this, fd, offset, length, sent, &op] {
      return start_send_file(fd, offset + sent, length - sent, op);
    });
    return false;
  }

 private:
  static int to_errno(const boost::system::error_code& ec) {
    if (!ec) return 0;
    return ec == asio::error::operation_aborted ? ECANCELED : ec.value();
  }

  void advance(Pending& op, size_t n) {
    op.outcome.bytes += n;
    bytes_written_ += n;
  }

  template <class Again>
  void wait_writable(Pending& op, Again again) {
    socket_.async_wait(asio::socket_base::wait_write, [&op, again](const boost::system::error_code& ec) {
      if (ec) {
        op.outcome.error = to_errno(ec);
      } else if (!again()) {
        return;
      }
      op.handle.resume();
    });
  }

  Socket socket_;
  uint64_t bytes_written_ = 0;
};

}  // namespace

std::unique_ptr<Stream> make_fd_stream(AsioLoop& loop, int connected_fd) {
  return std::make_unique<FdStream>(loop, connected_fd);
}

}  // namespace net
