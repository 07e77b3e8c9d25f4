#include "flow/held.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace flow {
namespace {

constexpr int kAgainMs = 200;  // between attempts to reach a warden that has gone

std::string kill_frame(std::string_view id, std::string_view why) {
  return encode(
      {.type = FrameType::kKill, .fields = {std::string(id), std::string(name(Outcome::kKilled)), std::string(why)}});
}

}  // namespace

Held::Held(base::Path dir, std::function<void(HeldNews)> sink)
    : dir_(std::move(dir)), sink_(std::move(sink)), wake_(::eventfd(0, EFD_CLOEXEC)) {
  std::error_code error;
  if (base::Path whole = std::filesystem::absolute(dir_, error); !error) dir_ = std::move(whole);
  thread_ = std::thread([this] { listen(); });
}

Held::~Held() {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  thread_.join();
}

void Held::start(const StartRequest& request) {
  const std::string frame = encode(request.to_frame());
  std::lock_guard guard(mutex_);
  if (told_.try_emplace(request.attempt, Told{.first = frame, .kill = {}}).second) send(frame);
}

void Held::adopt(std::string_view id) {
  const std::string frame = encode({.type = FrameType::kQuery, .fields = {std::string(id)}});
  std::lock_guard guard(mutex_);
  if (told_.try_emplace(std::string(id), Told{.first = frame, .kill = {}}).second) send(frame);
}

void Held::stop(std::string_view id, std::string_view why) {
  std::lock_guard guard(mutex_);
  const auto at = told_.find(id);
  if (at == told_.end()) return;
  at->second.kill = why;
  send(kill_frame(id, why));
}

// What cannot be sent is said again by connect().
void Held::send(std::string_view bytes) {
  while (socket_ && !bytes.empty()) {
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void Held::listen() {
  for (;;) {
    const bool connected = socket_ ? true : connect();  // only this thread changes it
    pollfd fds[2] = {{wake_.get(), POLLIN, 0}, {connected ? socket_.get() : -1, POLLIN, 0}};
    if (::poll(fds, 2, connected ? -1 : kAgainMs) < 0) continue;
    if (fds[0].revents != 0) return;
    if (connected && fds[1].revents != 0 && !read()) {
      std::lock_guard guard(mutex_);
      socket_.reset();
    }
  }
}

// Start is idempotent by id, so everything is simply said again.
bool Held::connect() {
  auto fd = connect_warden(dir_);
  if (!fd) return false;
  reader_ = FrameReader();
  std::lock_guard guard(mutex_);
  socket_ = std::move(*fd);
  for (const auto& [id, told] : told_) {
    send(told.first);
    if (!told.kill.empty()) send(kill_frame(id, told.kill));
  }
  return true;
}

bool Held::read() {
  char buffer[65536];
  const ssize_t n = ::read(socket_.get(), buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  reader_.feed({buffer, static_cast<size_t>(n)});
  for (;;) {
    auto frame = reader_.next();
    if (!frame) return false;
    if (!*frame) return true;
    hear(**frame);
  }
}

void Held::hear(const Frame& frame) {
  HeldNews news{.id = frame.field(0), .status = {}};
  {
    std::lock_guard guard(mutex_);
    const auto at = told_.find(news.id);
    if (at == told_.end()) return;  // a stage's
    switch (frame.type) {
      case FrameType::kStarted:
        news.runs = true;
        if (!at->second.kill.empty()) send(kill_frame(news.id, at->second.kill));
        break;
      case FrameType::kEnded:
        news.status = AttemptStatus::from_text(frame.field(1));
        told_.erase(at);
        break;
      case FrameType::kUnknown:
        news.status.outcome = Outcome::kNotStarted;
        news.status.detail = "the server ended before it was started";
        told_.erase(at);
        break;
      default: return;
    }
  }
  sink_(std::move(news));
}

}  // namespace flow
