// The warden's own process: one thread, one poll loop. It starts minders, passes their news to whoever is connected,
// and ends when nobody is and nothing runs.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "base/log.h"
#include "flow/warden.h"

namespace flow::detail {
namespace {

constexpr size_t kMaxClients = 8;                       // the server, and a `lathe down` or two
constexpr size_t kMaxClientBacklog = size_t{16} << 20;  // a client that reads nothing is cut off; it may ask again
constexpr int kOrphanPollMs = 50;
constexpr int64_t kReconnectUs = 30'000'000;  // a warden that follows one that died waits so long for its server

struct Client {
  base::Fd fd;
  FrameReader reader;
  std::string out;  // not sent yet
};

// A running attempt of ours: its minder's process, and our end of the pair through which it is told to kill.
struct Ward {
  pid_t minder = 0;
  base::Fd control;
  FrameReader news;
};

class Warden {
 public:
  explicit Warden(base::Path dir) : dir_(std::move(dir)) {}

  bool open(base::Fd first_client);
  void run();

 private:
  void listen_here();
  void add_client(base::Fd fd);
  void read_client(Client& client);
  void flush(Client& client);
  void handle(Client& client, const Frame& frame);
  void start(const StartRequest& request);
  void fork_minder(const StartRequest& request);
  void query(Client& client, const std::string& attempt);
  void kill(const std::string& attempt, const Frame& order);
  void read_minder(Ward& ward);
  void reap();
  void check_orphans();
  void report_end(const std::string& attempt);
  void send(Client& client, const Frame& frame);
  void broadcast(const Frame& frame);

  base::Path dir_;
  base::Fd listener_, signals_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<std::string, Ward, std::less<>> wards_;
  // Attempts of a warden that died: their minders are ending them. Watched by their locks until they are free.
  std::vector<std::string> orphans_;
  bool stopping_ = false;
  int64_t patient_until_us_ = 0;

  bool needed() const {
    if (!wards_.empty() || !orphans_.empty()) return true;
    return !stopping_ && (!clients_.empty() || mono_us() < patient_until_us_);
  }
};

bool Warden::open(base::Fd first_client) {
  ::prctl(PR_SET_NAME, "lathe-warden");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what a minder that was killed leaves behind comes here, not to init
  block_signals_of_children();
  sigset_t set;
  ::sigprocmask(SIG_BLOCK, nullptr, &set);
  signals_ = base::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_ || !base::make_dirs(dir_ / "attempts", 0700)) return false;
  listen_here();
  if (first_client)
    add_client(std::move(first_client));
  else
    patient_until_us_ = mono_us() + kReconnectUs;
  return static_cast<bool>(listener_);
}

void Warden::listen_here() {
  const auto folder = base::open_file(dir_, O_PATH | O_DIRECTORY);
  base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!folder || !fd) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/warden.sock", folder->get());
  ::unlink(address.sun_path);
  ::umask(0077);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 8) != 0) {
    base::log::error("the warden cannot listen", {{"dir", dir_.string()}, {"errno", errno}});
    return;
  }
  listener_ = std::move(fd);
}

void Warden::add_client(base::Fd fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  if (!known || (peer.uid != ::geteuid() && peer.uid != 0) || clients_.size() == kMaxClients) return;
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  clients_.push_back(std::make_unique<Client>(Client{.fd = std::move(fd), .reader = {}, .out = {}}));
  send(*clients_.back(),
       {.type = FrameType::kHello, .fields = {std::to_string(kWardenProtocol), std::to_string(::getpid())}});
}

void Warden::run() {
  while (needed()) {
    std::vector<pollfd> fds{{signals_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    const size_t first_client = fds.size();
    for (const auto& client : clients_)
      fds.push_back({client->fd.get(), static_cast<short>(client->out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    const size_t first_ward = fds.size();
    for (const auto& [attempt, ward] : wards_) fds.push_back({ward.control.get(), POLLIN, 0});
    const bool idle = wards_.empty() && clients_.empty();
    const int wait_ms = !orphans_.empty() ? kOrphanPollMs : idle ? 1000 : -1;
    if (::poll(fds.data(), fds.size(), wait_ms) < 0 && errno != EINTR) return;
    size_t at = first_ward;
    for (auto& [attempt, ward] : wards_)
      if (fds[at++].revents) read_minder(ward);
    if (fds[0].revents) reap();
    at = first_client;
    for (const auto& client : clients_) {
      const short events = fds[at++].revents;
      if (events & POLLOUT) flush(*client);
      if (events & (POLLIN | POLLHUP | POLLERR)) read_client(*client);
    }
    std::erase_if(clients_, [](const auto& client) { return !client->fd; });
    if (fds[1].revents) add_client(base::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    check_orphans();
  }
  // Whoever connects now finds the socket gone or closed before a Hello, and starts a warden once our lock is free.
  ::unlink((dir_ / "warden.sock").c_str());
}

void Warden::read_client(Client& client) {
  char buffer[65536];
  const ssize_t n = ::read(client.fd.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return client.fd.reset();
  client.reader.feed({buffer, static_cast<size_t>(n)});
  while (client.fd) {
    auto frame = client.reader.next();
    if (!frame) return client.fd.reset();
    if (!*frame) return;
    handle(client, **frame);
  }
}

void Warden::handle(Client& client, const Frame& frame) {
  switch (frame.type) {
    case FrameType::kStart:
      if (const auto request = StartRequest::from_frame(frame)) return start(*request);
      return client.fd.reset();
    case FrameType::kQuery:
      if (is_attempt_id(frame.field(0))) return query(client, frame.field(0));
      return client.fd.reset();
    case FrameType::kKill: return kill(frame.field(0), frame);
    case FrameType::kStop:
      stopping_ = true;
      for (const auto& [attempt, ward] : wards_)
        kill(attempt, {.type = FrameType::kKill,
                       .fields = {attempt, std::string(name(Outcome::kKilled)), "`lathe down` ended it"}});
      return;
    default: return client.fd.reset();
  }
}

// The folder comes first: an attempt whose folder exists was started once, and never is again.
void Warden::start(const StartRequest& request) {
  if (wards_.contains(request.attempt)) return broadcast({.type = FrameType::kStarted, .fields = {request.attempt}});
  const base::Path folder = attempt_dir(dir_, request.attempt);
  if (::mkdir(folder.c_str(), 0700) == 0) {
    if (!stopping_) return fork_minder(request);
    return report_end(request.attempt);
  }
  if (errno != EEXIST) {
    const AttemptStatus status{.outcome = Outcome::kFailed,
                               .detail = base::errno_error(folder.string(), errno).error().message};
    return broadcast({.type = FrameType::kEnded, .fields = {request.attempt, status.to_text()}});
  }
  for (const auto& client : clients_)
    if (client->fd) query(*client, request.attempt);
}

void Warden::fork_minder(const StartRequest& request) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return report_end(request.attempt);
  base::Fd ours(pair[0]), theirs(pair[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    close_all_but({0, 1, 2, theirs.get()});
    run_minder(attempt_dir(dir_, request.attempt), request, theirs.get());
  }
  if (child < 0) {
    const AttemptStatus status{.outcome = Outcome::kFailed,
                               .detail = "the machine cannot start another process (fork failed)",
                               .started_us = wall_us(),
                               .ended_us = wall_us()};
    (void)base::write_file_durably(attempt_dir(dir_, request.attempt) / "status", status.to_text());
    return report_end(request.attempt);
  }
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  wards_.emplace(request.attempt, Ward{.minder = child, .control = std::move(ours), .news = {}});
  broadcast({.type = FrameType::kStarted, .fields = {request.attempt}});
}

void Warden::query(Client& client, const std::string& attempt) {
  if (wards_.contains(attempt) || std::ranges::find(orphans_, attempt) != orphans_.end())
    return send(client, {.type = FrameType::kStarted, .fields = {attempt}});
  // Whoever asks about an attempt that never came gives it up. A Start that is still on its way, from a server that
  // died, must not come after that answer: the folder is made now, and so it is never started.
  if (::mkdir(attempt_dir(dir_, attempt).c_str(), 0700) == 0) {
    const AttemptStatus status{
        .outcome = Outcome::kNotStarted, .detail = "the server ended before it was started", .ended_us = wall_us()};
    (void)base::write_file_durably(attempt_dir(dir_, attempt) / "status", status.to_text(), 0600);
    return send(client, {.type = FrameType::kUnknown, .fields = {attempt}});
  }
  if (lock_file(attempt_dir(dir_, attempt) / "lock", false)) return report_end(attempt);
  orphans_.push_back(attempt);
  send(client, {.type = FrameType::kStarted, .fields = {attempt}});
}

void Warden::kill(const std::string& attempt, const Frame& order) {
  const auto ward = wards_.find(attempt);
  if (ward == wards_.end()) return;  // ended already; its end has been or will be asked for
  const std::string bytes = encode(order);
  if (::send(ward->second.control.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
    base::log::warn("a minder does not take orders", {{"attempt", attempt}, {"errno", errno}});
}

// Its end, before its exit. Whoever connects in between hears it again when the minder is reaped.
void Warden::read_minder(Ward& ward) {
  char buffer[65536];
  const ssize_t n = ::read(ward.control.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return ward.control.reset();
  ward.news.feed({buffer, static_cast<size_t>(n)});
  for (auto frame = ward.news.next(); frame && *frame; frame = ward.news.next()) broadcast(**frame);
}

void Warden::reap() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    // TERM, INT and HUP are not for us: the warden outlives what sends them. `lathe down` says Stop.
  }
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto ward = std::ranges::find_if(wards_, [pid](const auto& entry) { return entry.second.minder == pid; });
    if (ward == wards_.end()) continue;  // a grandchild that a killed minder left to us
    const std::string attempt = ward->first;
    wards_.erase(ward);
    report_end(attempt);
  }
}

void Warden::check_orphans() {
  std::erase_if(orphans_, [this](const std::string& attempt) {
    if (!lock_file(attempt_dir(dir_, attempt) / "lock", false)) return false;
    report_end(attempt);
    return true;
  });
}

// The status file is the truth; where there is none, whatever ran has vanished.
void Warden::report_end(const std::string& attempt) {
  const auto text = base::read_file(attempt_dir(dir_, attempt) / "status", 65536);
  AttemptStatus lost{.outcome = Outcome::kLost,
                     .detail = "its processes vanished without a status: the machine or their minder was stopped"};
  lost.ended_us = wall_us();
  broadcast({.type = FrameType::kEnded, .fields = {attempt, text ? *text : lost.to_text()}});
}

void Warden::send(Client& client, const Frame& frame) {
  if (!client.fd) return;
  client.out += encode(frame);
  flush(client);
  if (client.out.size() > kMaxClientBacklog) client.fd.reset();
}

void Warden::broadcast(const Frame& frame) {
  for (const auto& client : clients_) send(*client, frame);
}

void Warden::flush(Client& client) {
  while (client.fd && !client.out.empty()) {
    const ssize_t n = ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return client.fd.reset();
    client.out.erase(0, static_cast<size_t>(n));
  }
}

}  // namespace

void run_warden(const base::Path& dir, base::Fd first_client) {
  Warden warden(dir);
  if (!warden.open(std::move(first_client))) ::_exit(1);
  warden.run();
  ::_exit(0);
}

}  // namespace flow::detail
