// TLS straight over the descriptor: OpenSSL reads and writes the socket itself, and the loop only says when there is
// more. It stops at EAGAIN, which is what an edge-triggered wait needs. Memory BIOs would copy every record once more
// and cost a call more for each (docs/design/net.md has the figures).
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "base/log.h"
#include "net/event_loop.h"
#include "net/tls.h"
#include "net/tls_internal.h"

namespace net {
namespace {

constexpr size_t kFilePiece = 64 << 10;         // of a file, between disk and socket
constexpr size_t kTurnBytes = size_t{1} << 20;  // so that one fast peer does not keep the loop to itself
constexpr int kTurnReads = 32;
constexpr unsigned char kHandshakeRecord = 0x16;  // the first byte of a TLS connection

class TlsSocketStream final : public TlsStream, EventLoop::Watcher {
 public:
  TlsSocketStream(EventLoop& loop, int fd, std::shared_ptr<const TlsPair> pair)
      : loop_(loop), fd_(fd), pair_(std::move(pair)), ssl_(SSL_new(pair_->context.get())) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    error_ = ssl_ && SSL_set_fd(ssl_.get(), fd) == 1 ? loop_.watch(fd, *this) : ENOMEM;
  }
  ~TlsSocketStream() override {
    say_goodbye();
    loop_.unwatch(fd_.get(), *this);
    loop_.cancel(turn_);
  }

  base::Task<TlsHandshake> handshake() override;
  std::string_view protocol() const override {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }

  bool is_peer_certified() const override {
    return SSL_get0_peer_certificate(ssl_.get()) != nullptr && SSL_get_verify_result(ssl_.get()) == X509_V_OK;
  }

  void cancel() override {
    if (writing_.op != nullptr) broken_ = true;  // in the middle of a record
    for (Waiter* waiter : {&reading_, &writing_}) {
      Pending* op = std::exchange(*waiter, {}).op;
      if (op == nullptr) continue;
      op->outcome.error = ECANCELED;
      loop_.post([op] { op->handle.resume(); });
    }
  }
  void shutdown_write() override {
    say_goodbye();
    ::shutdown(fd_.get(), SHUT_WR);
  }
  bool peer_gone() const override {
    pollfd p{.fd = fd_.get(), .events = POLLRDHUP, .revents = 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }
  uint64_t bytes_written() const override { return bytes_written_; }
  int descriptor() const override { return fd_.get(); }

 protected:
  bool start_read(std::span<char> into, Pending& op) override {
    if (plain_) return read_plain(into, op);
    ERR_clear_error();
    size_t n = 0;
    if (SSL_read_ex(ssl_.get(), into.data(), into.size(), &n) == 1) {
      op.outcome = {n, 0};
      if (++reads_in_turn_ < kTurnReads) return true;
      wait(reading_, op, [] { return true; });
      return take_next_turn();
    }
    return stopped(reading_, op, [this, into, &op] { return start_read(into, op); });
  }

  bool start_write(std::string_view bytes, Pending& op) override { return send(bytes, {}, 0, op); }

  bool start_send_file(int fd, uint64_t offset, uint64_t length, Pending& op) override {
    if (length != 0 && !piece_) piece_ = std::make_unique<char[]>(kFilePiece);
    return send({}, {fd, offset, length}, 0, op);
  }

 private:
  struct Rest {  // of a file, not read yet
    int fd = -1;
    uint64_t offset = 0;
    uint64_t length = 0;
  };

  // `bytes`, then the rest of the file; `taken` of this turn have gone already.
  bool send(std::string_view bytes, Rest rest, size_t taken, Pending& op) {
    if (plain_) return send_plain(bytes, op);
    for (;;) {
      if (bytes.empty()) {
        if (rest.length == 0) return true;
        const ssize_t n = ::pread(rest.fd, piece_.get(), std::min<uint64_t>(kFilePiece, rest.length),
                                  static_cast<off_t>(rest.offset));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {  // the file is shorter than was promised
          op.outcome.error = n == 0 ? ENODATA : errno;
          return true;
        }
        bytes = {piece_.get(), static_cast<size_t>(n)};
        rest.offset += bytes.size();
        rest.length -= bytes.size();
      }
      const auto again = [this, &op, rest](std::string_view left) {
        return [this, &op, rest, left] { return send(left, rest, 0, op); };
      };
      if (taken >= kTurnBytes) {
        wait(writing_, op, again(bytes));
        return take_next_turn();
      }
      ERR_clear_error();
      size_t n = 0;
      if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n) != 1) return stopped(writing_, op, again(bytes));
      op.outcome.bytes += n;
      bytes_written_ += n;
      taken += n;
      bytes.remove_prefix(n);
    }
  }

  // An operation that waits for the socket, and how it goes on; true from there: it has finished.
  struct Waiter {
    Pending* op = nullptr;
    std::function<bool()> again;
  };

  // What OpenSSL could not finish: goes on when the socket has more to say, or tells the end.
  bool stopped(Waiter& waiter, Pending& op, std::function<bool()> again) {
    const int saved_errno = errno;
    switch (SSL_get_error(ssl_.get(), 0)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE: return wait(waiter, op, std::move(again));
      case SSL_ERROR_ZERO_RETURN: return true;  // close_notify: the peer has ended its side
      case SSL_ERROR_SYSCALL:
        broken_ = true;
        op.outcome.error = saved_errno;
        return true;
      default:
        broken_ = true;
        // Many clients end without close_notify. HTTP's own framing tells a cut message from a whole one.
        if (ERR_GET_REASON(ERR_peek_last_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING) op.outcome.error = EPROTO;
        ERR_clear_error();
        return true;
    }
  }

  bool wait(Waiter& waiter, Pending& op, std::function<bool()> again) {
    waiter.op = &op;
    waiter.again = std::move(again);
    return false;
  }

  // The other connections first.
  bool take_next_turn() {
    loop_.cancel(turn_);
    turn_ = loop_.after(0, [this] { on_ready(0); });
    return false;
  }

  // Either direction may have waited for either event: a record of one can want a record of the other first.
  void on_ready(uint32_t) override {
    reads_in_turn_ = 0;
    Pending* finished[2] = {go_on(reading_), go_on(writing_)};
    for (Pending* op : finished) {  // the first may end this object
      if (op != nullptr) op->handle.resume();
    }
  }
  Pending* go_on(Waiter& waiter) {
    if (waiter.op == nullptr) return nullptr;
    Waiter now = std::exchange(waiter, {});
    return now.again() ? now.op : nullptr;
  }

  // After kPlainHttp: one answer in the clear.
  bool read_plain(std::span<char> into, Pending& op) {
    const ssize_t n = ::recv(descriptor(), into.data(), into.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return wait(reading_, op, [this, into, &op] { return read_plain(into, op); });
    op.outcome = {static_cast<size_t>(std::max<ssize_t>(n, 0)), n < 0 ? errno : 0};
    return true;
  }
  bool send_plain(std::string_view bytes, Pending& op) {
    if (::send(descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) op.outcome.error = errno;
    return true;
  }

  struct Ready : Pending {  // co_await: false when cancelled
    explicit Ready(TlsSocketStream& s) : stream(s) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      handle = h;
      stream.wait(stream.reading_, *this, [] { return true; });
    }
    bool await_resume() const noexcept { return outcome.error == 0; }
    TlsSocketStream& stream;
  };

  void say_goodbye() {
    if (!established_ || broken_ || said_goodbye_) return;
    said_goodbye_ = true;
    SSL_shutdown(ssl_.get());  // our close_notify; the peer's is not waited for
    ERR_clear_error();
  }

  EventLoop& loop_;
  base::Fd fd_;
  std::shared_ptr<const TlsPair> pair_;  // stays, whatever is in force by now
  Ssl ssl_;
  int error_ = 0;  // of the set-up
  Waiter reading_;
  Waiter writing_;
  EventLoop::TimerId turn_ = 0;
  std::unique_ptr<char[]> piece_;
  uint64_t bytes_written_ = 0;
  int reads_in_turn_ = 0;
  bool plain_ = false;
  bool established_ = false;
  bool broken_ = false;
  bool said_goodbye_ = false;
};

base::Task<TlsHandshake> TlsSocketStream::handshake() {
  if (error_ != 0) co_return TlsHandshake::kFailed;
  // One look at what comes, without taking it: whoever speaks HTTP here is told so in HTTP.
  for (unsigned char first = 0;;) {
    const ssize_t n = ::recv(descriptor(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 1 && first == kHandshakeRecord) break;
    if (n == 1 && first >= 'A' && first <= 'Z') {
      plain_ = true;
      co_return TlsHandshake::kPlainHttp;
    }
    if (n >= 0 || (errno != EAGAIN && errno != EINTR)) co_return TlsHandshake::kFailed;
    if (!co_await Ready(*this)) co_return TlsHandshake::kFailed;
  }
  for (;;) {
    ERR_clear_error();
    const int rc = SSL_accept(ssl_.get());
    if (rc == 1) break;
    const int why = SSL_get_error(ssl_.get(), rc);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      base::log::debug("a TLS handshake failed", {{"why", openssl_reason()}});
      co_return TlsHandshake::kFailed;
    }
    if (!co_await Ready(*this)) co_return TlsHandshake::kFailed;
  }
  established_ = true;
  co_return TlsHandshake::kDone;
}

}  // namespace

std::unique_ptr<TlsStream> make_tls_stream(EventLoop& loop, int connected_fd, const TlsIdentity& identity) {
  return std::make_unique<TlsSocketStream>(loop, connected_fd, identity.impl().current());
}

}  // namespace net
