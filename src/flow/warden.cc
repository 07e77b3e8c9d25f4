// The server's side of the warden: launch, connect, stop; and what both sides share.
#include "flow/warden.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/clock.h"

namespace flow {
namespace {

constexpr int64_t kLaunchWaitUs = 10'000'000;  // an old warden may be on its way out, or ending its stages
constexpr int64_t kHelloWaitUs = 5'000'000;

int64_t to_int(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// A path of any length fits a socket address through the folder's descriptor.
base::Result<base::Fd> connect_socket(const base::Path& dir) {
  TRY_SET(const base::Fd folder, base::open_file(dir, O_PATH | O_DIRECTORY));
  base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return base::errno_error("socket", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/warden.sock", folder.get());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return base::fail(base::Code::kUnavailable, "no warden listens in " + dir.string());
  return fd;
}

// The warden speaks first. A peer that closes instead was on its way out.
base::Result<void> read_hello(int fd) {
  const int64_t until = detail::mono_us() + kHelloWaitUs;
  std::string bytes;
  for (;;) {
    pollfd wait{fd, POLLIN, 0};
    const int64_t left_us = until - detail::mono_us();
    if (left_us <= 0 || ::poll(&wait, 1, static_cast<int>(left_us / 1000 + 1)) == 0)
      return base::fail(base::Code::kUnavailable, "the warden does not answer");
    // One byte too many would belong to the executor's reader, so the frame is read to its exact end.
    char c;
    const ssize_t n = ::read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return base::fail(base::Code::kUnavailable, "the warden is ending");
    bytes.push_back(c);
    FrameReader reader;
    reader.feed(bytes);
    TRY_SET(const std::optional<Frame> frame, reader.next());
    if (!frame) continue;
    if (frame->type != FrameType::kHello || to_int(frame->field(0)) != kWardenProtocol)
      return base::fail(base::Code::kConflict, "the warden that still runs here speaks protocol " + frame->field(0) +
                                                   ", this server " + std::to_string(kWardenProtocol) +
                                                   "; let its stages end, or run `lathe down`");
    return {};
  }
}

// keeper: starts the warden again if it dies by a signal; ends when the warden ends of itself.
[[noreturn]] void run_keeper(const base::Path& dir, base::Fd first_client) {
  ::setsid();
  ::prctl(PR_SET_NAME, "lathe-keeper");
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);  // the warden decides
  for (;;) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_DFL);
      detail::run_warden(dir, std::move(first_client));
    }
    first_client.reset();
    int status = 0;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child > 0 && WIFEXITED(status)) ::_exit(0);
    ::usleep(200'000);
  }
}

void redirect_stdio(const base::Path& log) {
  const int null = ::open("/dev/null", O_RDWR);
  int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (out < 0) out = null;
  ::dup2(null, 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
}

// Two forks, so that init, not the server, is the keeper's parent and no zombie is left with the server.
base::Result<base::Fd> fork_warden(const base::Path& dir, base::Fd lock) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return base::errno_error("socketpair", errno);
  base::Fd ours(pair[0]), theirs(pair[1]);
  const pid_t middle = ::fork();
  if (middle < 0) return base::errno_error("fork", errno);
  if (middle == 0) {
    if (::fork() != 0) ::_exit(0);
    redirect_stdio(dir / "warden.log");
    detail::close_all_but({0, 1, 2, theirs.get(), lock.get()});
    run_keeper(dir, std::move(theirs));
  }
  int status = 0;
  while (::waitpid(middle, &status, 0) < 0 && errno == EINTR) {
  }
  theirs.reset();
  TRY(read_hello(ours.get()));
  return ours;
}

}  // namespace

base::Result<base::Fd> launch_warden(const base::Path& dir) {
  TRY_SET(const base::Path whole, [&]() -> base::Result<base::Path> {
    TRY(base::make_dirs(dir, 0700));
    std::error_code error;
    base::Path absolute = std::filesystem::absolute(dir, error);
    if (error) return base::internal(dir.string() + ": " + error.message());
    return absolute;
  }());
  const int64_t until = detail::mono_us() + kLaunchWaitUs;
  for (;;) {
    // Whoever holds the lock is the warden. Held but not answering: it is ending; wait for that.
    auto found = connect_warden(whole);
    if (found || found.error().code == base::Code::kConflict) return found;
    auto lock = detail::lock_file(whole / "warden.lock", false);
    if (lock) return fork_warden(whole, std::move(*lock));
    if (lock.error().code != base::Code::kConflict) return std::unexpected(std::move(lock).error());
    if (detail::mono_us() > until)
      return base::fail(base::Code::kUnavailable,
                        "the warden of " + dir.string() + " holds its lock but does not answer");
    ::usleep(20'000);
  }
}

base::Result<base::Fd> connect_warden(const base::Path& dir) {
  TRY_SET(base::Fd fd, connect_socket(dir));
  TRY(read_hello(fd.get()));
  return fd;
}

base::Result<void> stop_warden(const base::Path& dir, int64_t timeout_us) {
  std::error_code error;
  if (!std::filesystem::exists(dir / "warden.lock", error)) return {};
  const int64_t until = detail::mono_us() + timeout_us;
  bool asked = false;
  for (;;) {
    if (!asked) {
      if (auto fd = connect_warden(dir))
        asked = base::write_all(fd->get(), encode({.type = FrameType::kStop, .fields = {}})).has_value();
    }
    auto lock = detail::lock_file(dir / "warden.lock", false);
    if (lock) return {};
    if (lock.error().code != base::Code::kConflict) return std::unexpected(std::move(lock).error());
    if (detail::mono_us() > until)
      return base::fail(base::Code::kDeadline, "the warden of " + dir.string() + " has not ended in time");
    ::usleep(20'000);
  }
}

base::Path attempt_dir(const base::Path& dir, std::string_view attempt) { return dir / "attempts" / attempt; }

bool is_attempt_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

Frame StartRequest::to_frame() const {
  Frame frame{.type = FrameType::kStart,
              .fields = {attempt, cwd.string(), cmd, std::to_string(timeout_us), std::to_string(memory_bytes),
                         std::to_string(log_bytes), std::to_string(grace_us)}};
  frame.fields.insert(frame.fields.end(), env.begin(), env.end());
  return frame;
}

base::Result<StartRequest> StartRequest::from_frame(const Frame& frame) {
  constexpr size_t kFixed = 7;
  if (frame.fields.size() < kFixed || !is_attempt_id(frame.fields[0]))
    return base::invalid("a start frame that is not one");
  StartRequest request{.attempt = frame.fields[0], .cwd = frame.fields[1], .cmd = frame.fields[2], .env = {}};
  request.timeout_us = to_int(frame.fields[3]);
  request.memory_bytes = to_int(frame.fields[4]);
  request.log_bytes = to_int(frame.fields[5]);
  request.grace_us = to_int(frame.fields[6]);
  request.env.assign(frame.fields.begin() + kFixed, frame.fields.end());
  return request;
}

std::string AttemptStatus::to_text() const {
  std::string one_line = detail;
  std::ranges::replace(one_line, '\n', ' ');
  return "outcome=" + std::string(name(outcome)) + "\nexit_code=" + std::to_string(exit_code) +
         "\nsignal=" + std::to_string(signal) + "\nstarted_us=" + std::to_string(started_us) +
         "\nended_us=" + std::to_string(ended_us) + "\ndetail=" + one_line + "\n";
}

AttemptStatus AttemptStatus::from_text(std::string_view text) {
  AttemptStatus status;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
    if (key == "exit_code") status.exit_code = static_cast<int>(to_int(value));
    if (key == "signal") status.signal = static_cast<int>(to_int(value));
    if (key == "started_us") status.started_us = to_int(value);
    if (key == "ended_us") status.ended_us = to_int(value);
    if (key == "detail") status.detail = value;
    if (key == "outcome")
      for (int i = 0; i <= static_cast<int>(Outcome::kNotStarted); ++i)
        if (name(static_cast<Outcome>(i)) == value) status.outcome = static_cast<Outcome>(i);
  }
  return status;
}

namespace detail {

base::Result<base::Fd> lock_file(const base::Path& path, bool wait) {
  TRY_SET(base::Fd fd, base::open_file(path, O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return base::fail(base::Code::kConflict, path.string() + " is held by another process");
    return base::errno_error("flock " + path.string(), errno);
  }
  return fd;
}

void block_signals_of_children() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void close_all_but(std::vector<int> keep) {
  std::ranges::sort(keep);
  unsigned from = 0;
  for (const int fd : keep) {
    if (static_cast<unsigned>(fd) > from) ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(from, ~0U, 0);
}

int64_t wall_us() { return base::system_clock().wall_us(); }
int64_t mono_us() { return base::system_clock().mono_us(); }

}  // namespace detail
}  // namespace flow
