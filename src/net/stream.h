// Stream: the bytes of one connection. A file descriptor now, TLS over one later; nothing above it sees a socket.
//
// At most one read and one write are pending at a time; what they point to stays valid until they have answered.
// Thread: all calls on the stream's own loop, where every awaiting coroutine resumes.
// Ownership: destroyed only when nothing is pending (cancel() first, then await the answer).
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace net {

class EventLoop;

class Stream {
 public:
  struct Outcome {
    size_t bytes = 0;  // a read of 0 bytes without an error: the peer has ended its side
    int error = 0;     // errno; ECANCELED after cancel()
  };

  struct Pending {
    std::coroutine_handle<> handle;
    Outcome outcome;
  };

  // An operation in the awaiting coroutine's frame; suspends only if it cannot finish at once.
  template <class Start>
  struct [[nodiscard]] Operation : Pending {
    explicit Operation(Start s) : start(s) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      handle = h;
      return !start(static_cast<Pending&>(*this));
    }
    Outcome await_resume() const { return outcome; }
    Start start;
  };

  virtual ~Stream() = default;

  auto read_some(std::span<char> into) {
    return Operation([this, into](Pending& op) { return start_read(into, op); });
  }
  // All of it, or an error.
  auto write(std::string_view bytes) {
    return Operation([this, bytes](Pending& op) { return start_write(bytes, op); });
  }
  auto send_file(int fd, uint64_t offset, uint64_t length) {
    return Operation([this, fd, offset, length](Pending& op) { return start_send_file(fd, offset, length, op); });
  }

  virtual void cancel() = 0;                   // what is pending answers ECANCELED
  virtual void shutdown_write() = 0;           // no more from us; the peer may still be sending
  virtual bool peer_gone() const = 0;          // without waiting: the peer has closed its side or the connection broke
  virtual uint64_t bytes_written() const = 0;  // for the write-stall limit: progress inside one write
  virtual int descriptor() const = 0;          // for questions about the peer (address, owner), never for bytes

 protected:
  // True: finished, the outcome is set. False: op.handle will be resumed with it.
  virtual bool start_read(std::span<char> into, Pending& op) = 0;
  virtual bool start_write(std::string_view bytes, Pending& op) = 0;
  virtual bool start_send_file(int fd, uint64_t offset, uint64_t length, Pending& op) = 0;
};

// Takes a connected stream socket (TCP or Unix), which becomes non-blocking.
std::unique_ptr<Stream> make_fd_stream(EventLoop& loop, int connected_fd);

}  // namespace net
