#include "serve/python_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/utf8.h"

extern "C" const char lathe_python_worker_begin[];
extern "C" const char lathe_python_worker_end[];

namespace serve::python {
namespace {

constexpr int kFirstFree = 16;         // descriptors that a child keeps are moved below this, ours stay above
constexpr size_t kMaxMessage = 65536;  // of the keeper
constexpr size_t kMaxOrderFds = 64;
constexpr size_t kMaxLine = 2048;  // of a model's output, in the log
constexpr size_t kTailBytes = 4096;
constexpr size_t kLinesPerWindow = 100;  // past it: dropped and counted
constexpr int64_t kWindowUs = 10'000'000;
constexpr int kFinishMs = 2000;
// Read at its own place: the interpreter shows a short command, and the script needs no file.
constexpr const char* kBoot = "import os;exec(compile(os.pread(4,1<<20,0),'lathe_worker.py','exec'))";

base::Result<base::Fd> raised(int fd) {  // so that dup2 to 3 and 4 meets nothing that is still needed
  base::Fd low(fd);
  base::Fd high(fcntl(fd, F_DUPFD_CLOEXEC, kFirstFree));
  if (!high) return base::errno_error("cannot raise a descriptor", errno);
  return high;
}

base::Result<base::Fd> script() {
  const int fd = memfd_create("lathe_worker.py", MFD_CLOEXEC);
  if (fd < 0) return base::errno_error("memfd_create", errno);
  TRY_SET(base::Fd file, raised(fd));
  TRY(base::write_all(file.get(), {lathe_python_worker_begin, lathe_python_worker_end}));
  return file;
}

std::map<std::string, std::string> environment() {
  auto env = base::allowed_environment();  // no secret of the server is in it
  // Workers are the unit of parallelism; a library's own threads would fight them for the cores, and cannot be forked.
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"})
    env.emplace(name, "1");
  env["PYTHONDONTWRITEBYTECODE"] = "1";
  env["PYTHONUNBUFFERED"] = "1";
  env["MLFLOW_DISABLE_TELEMETRY"] = "true";
  env["LATHE_PARENT"] = std::to_string(::getpid());
  return env;
}

}  // namespace

base::Result<void> Keeper::start(const base::Path& folder, const base::Path& interpreter, size_t memory_bytes) {
  folder_ = folder;
  tail_.clear();
  int pair[2], pipes[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return base::errno_error("socketpair", errno);
  base::Fd ours(pair[0]);
  TRY_SET(const base::Fd theirs, raised(pair[1]));
  if (pipe2(pipes, O_CLOEXEC) != 0) return base::errno_error("pipe", errno);
  base::Fd reading(pipes[0]);
  TRY_SET(const base::Fd writing, raised(pipes[1]));
  TRY_SET(const base::Fd source, script());
  fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  fcntl(reading.get(), F_SETFL, O_NONBLOCK);

  base::SpawnSetup setup;
  posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&setup.actions, writing.get(), 1);
  posix_spawn_file_actions_adddup2(&setup.actions, writing.get(), 2);
  posix_spawn_file_actions_adddup2(&setup.actions, theirs.get(), 3);
  posix_spawn_file_actions_adddup2(&setup.actions, source.get(), 4);
  posix_spawn_file_actions_addchdir_np(&setup.actions, folder.c_str());
  setup.stand_alone();

  std::vector<std::string> argv = {
      interpreter.string(),        "-c", kBoot, "keeper", std::filesystem::absolute(folder).string(),
      std::to_string(memory_bytes)};
  std::vector<std::string> env;
  for (const auto& [key, value] : environment()) env.push_back(key + "=" + value);
  pid_t pid = -1;
  if (const int error = posix_spawn(&pid, interpreter.c_str(), &setup.actions, &setup.attributes,
                                    base::spawn_texts(argv).data(), base::spawn_texts(env).data()))
    return base::errno_error("cannot start " + interpreter.string(), error);
  pid_ = pid;
  pidfd_ = base::Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  control_ = std::move(ours);
  output_ = std::move(reading);
  return {};
}

void Keeper::order(const std::string& text, std::span<const base::Fd> with) {
  if (!control_ || with.size() > kMaxOrderFds) return;
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int) * kMaxOrderFds)] = {};
  if (!with.empty()) {
    message.msg_control = room;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * with.size());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * with.size());
    for (size_t i = 0; i < with.size(); ++i) {
      const int fd = with[i].get();
      std::memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  // A keeper that has gone is noticed where it is heard.
  std::ignore = ::sendmsg(control_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

std::optional<std::string> Keeper::hear() {
  if (!control_) return std::nullopt;
  std::string message;
  ssize_t n = 0;
  message.resize_and_overwrite(kMaxMessage, [&](char* data, size_t size) {
    do n = ::recv(control_.get(), data, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return static_cast<size_t>(std::max<ssize_t>(n, 0));
  });
  if (n < 0 && errno == EAGAIN) return std::nullopt;
  return message;
}

std::string Keeper::finish() {
  if (pid_ <= 0) return "";
  control_.reset();  // it ends its workers and itself
  pollfd p{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&p, 1, kFinishMs) == 0) ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ::kill(-pid_, SIGKILL);  // what it left in its group; its number is still the group's, if there is any
  read_output();
  pid_ = 0;
  pidfd_.reset();
  output_.reset();
  if (WIFSIGNALED(status))
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

void Keeper::read_output() {
  char piece[16384];
  for (int i = 0; i < 16 && output_; ++i) {  // so much at a time: there is more to do
    const ssize_t n = ::read(output_.get(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (n == 0) output_.reset();
      return;
    }
    std::string_view text(piece, static_cast<size_t>(n));
    tail_.append(text);
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    while (!text.empty()) {
      const size_t end = text.find('\n');
      if (line_.size() < kMaxLine) line_.append(text.substr(0, std::min(end, kMaxLine)));
      if (end == text.npos) break;
      log_line(line_);
      line_.clear();
      text.remove_prefix(end + 1);
    }
  }
}

void Keeper::log_line(std::string_view line) {
  const int64_t now = base::system_clock().mono_us();
  if (now - window_us_ > kWindowUs) {
    if (dropped_ > 0)
      base::log::warn("a Python model writes too much: lines dropped",
                      {{"model", folder_.string()}, {"lines", dropped_}});
    window_us_ = now;
    lines_ = dropped_ = 0;
  }
  if (++lines_ > kLinesPerWindow) {
    ++dropped_;
    return;
  }
  std::string shown(line.substr(0, kMaxLine));
  if (!base::is_utf8(shown)) {
    for (char& c : shown) c = static_cast<unsigned char>(c) < 0x80 ? c : '?';
  }
  base::log::info("model output", {{"model", folder_.parent_path().filename().string()}, {"line", shown}});
}

}  // namespace serve::python
