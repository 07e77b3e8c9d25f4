#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "net/event_loop.h"
#include "net/stream.h"

namespace net {
namespace {

constexpr size_t kSendFilePiece = size_t{1} << 20;  // so that one fast peer does not keep the loop to itself
constexpr size_t kTurnBytes = size_t{256} << 10;    // the same for reading

class FdStream final : public Stream, EventLoop::Watcher {
 public:
  FdStream(EventLoop& loop, int fd) : loop_(loop), fd_(fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    error_ = loop_.watch(fd, *this);
  }
  ~FdStream() override {
    loop_.unwatch(fd_.get(), *this);
    loop_.cancel(turn_);
  }

  void cancel() override {
    answer_cancelled(reading_);
    answer_cancelled(writing_);
  }
  void shutdown_write() override { ::shutdown(fd_.get(), SHUT_WR); }
  bool peer_gone() const override { return ended_; }  // the loop has told: EPOLLRDHUP is always watched for
  uint64_t bytes_written() const override { return bytes_written_; }
  int descriptor() const override { return fd_.get(); }

 protected:
  bool start_read(std::span<char> into, Pending& op) override {
    if (refuse(op) || (readable_ && turn_bytes_ < kTurnBytes && try_read(into, op))) return true;
    reading_ = &op;
    into_ = into;
    if (readable_) take_next_turn(0);
    return false;
  }

  bool start_write(std::string_view bytes, Pending& op) override {
    if (refuse(op)) return true;
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        advance(op, static_cast<size_t>(n));
        bytes.remove_prefix(static_cast<size_t>(n));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return wait_writable(op, [this, bytes, &op] { return start_write(bytes, op); });
      } else if (errno != EINTR) {
        op.outcome.error = errno;
        return true;
      }
    }
    return true;
  }

  bool start_send_file(int fd, uint64_t offset, uint64_t length, Pending& op) override {
    if (length == 0 || refuse(op)) return true;
    auto at = static_cast<off_t>(offset);
    const ssize_t n = ::sendfile(fd_.get(), fd, &at, std::min<uint64_t>(length, kSendFilePiece));
    if (n == 0) {  // the file is shorter than was promised
      op.outcome.error = ENODATA;
      return true;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      op.outcome.error = errno;
      return true;
    }
    const auto sent = static_cast<uint64_t>(std::max<ssize_t>(n, 0));
    const bool full = n < 0 && errno == EAGAIN;
    advance(op, sent);
    if (sent == length) return true;
    const auto again = [this, fd, offset, length, sent, &op] {
      return start_send_file(fd, offset + sent, length - sent, op);
    };
    wait_writable(op, again);
    if (!full) take_next_turn(EPOLLOUT);
    return false;
  }

 private:
  void on_ready(uint32_t events) override {
    turn_bytes_ = 0;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ended_ = true;
    if ((events & EPOLLIN) != 0 || ended_) readable_ = true;
    Pending* read = nullptr;
    Pending* wrote = nullptr;
    if (reading_ != nullptr && readable_ && try_read(into_, *reading_)) read = std::exchange(reading_, nullptr);
    if (writing_ != nullptr && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
      Pending* op = std::exchange(writing_, nullptr);
      if (std::exchange(write_again_, nullptr)()) wrote = op;
    }
    if (read != nullptr) read->handle.resume();
    if (wrote != nullptr) wrote->handle.resume();
  }

  // True: answered. A read that comes short has taken all there is; the next edge tells of more.
  bool try_read(std::span<char> into, Pending& op) {
    for (;;) {
      const ssize_t n = ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT);
      if (n >= 0) {
        op.outcome.bytes = static_cast<size_t>(n);
        turn_bytes_ += op.outcome.bytes;
        readable_ = ended_ || op.outcome.bytes == into.size();
        return true;
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        readable_ = false;
        return false;
      }
      op.outcome.error = errno;
      return true;
    }
  }

  // The other connections first.
  void take_next_turn(uint32_t events) {
    loop_.cancel(turn_);
    turn_events_ |= events;
    turn_ = loop_.after(0, [this] { on_ready(std::exchange(turn_events_, 0)); });
  }

  bool refuse(Pending& op) const {  // the loop could not watch it
    op.outcome.error = error_;
    return error_ != 0;
  }

  void advance(Pending& op, size_t n) {
    op.outcome.bytes += n;
    bytes_written_ += n;
  }

  bool wait_writable(Pending& op, std::function<bool()> again) {
    writing_ = &op;
    write_again_ = std::move(again);
    return false;
  }

  void answer_cancelled(Pending*& slot) {
    Pending* op = std::exchange(slot, nullptr);
    if (op == nullptr) return;
    op->outcome.error = ECANCELED;
    loop_.post([op] { op->handle.resume(); });
  }

  EventLoop& loop_;
  base::Fd fd_;
  int error_ = 0;
  bool readable_ = false;  // there may be something to read
  bool ended_ = false;     // by the peer, or broken: reading never waits again
  size_t turn_bytes_ = 0;  // read since the loop last came by
  EventLoop::TimerId turn_ = 0;
  uint32_t turn_events_ = 0;
  Pending* reading_ = nullptr;
  std::span<char> into_;
  Pending* writing_ = nullptr;
  std::function<bool()> write_again_;
  uint64_t bytes_written_ = 0;
};

}  // namespace

std::unique_ptr<Stream> make_fd_stream(EventLoop& loop, int connected_fd) {
  return std::make_unique<FdStream>(loop, connected_fd);
}

}  // namespace net
