// A minder: one process per attempt, between the warden and the stage. It is a child subreaper, so every process that
// the stage leaves behind is below it; it ends only when none is left, after the status is on the disk.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "flow/memory_limit.h"
#include "flow/process_tree.h"
#include "flow/warden.h"

namespace flow::detail {
namespace {

constexpr int64_t kSweepUs = 50'000;  // between looks at what is left, while ending

class Minder {
 public:
  Minder(base::Path folder, const StartRequest& request, int control)
      : folder_(std::move(folder)), request_(request), control_(control) {}

  [[noreturn]] void run();

 private:
  bool open_files();
  bool start_stage();
  [[noreturn]] void become_stage(int output, int failure);
  void watch();
  int64_t next_look_us(int64_t now) const;
  void read_output();
  void read_control();
  void read_signals();
  void reap();
  void check_limits(int64_t now);
  void begin_end(Outcome outcome, std::string detail, int64_t now);
  void sweep(int64_t now);
  void describe_exit(int status);
  void publish_status();
  [[noreturn]] void finish();

  base::Path folder_;
  const StartRequest& request_;
  base::Fd control_, lock_, log_, output_, signals_;
  FrameReader orders_;
  MemoryLimit memory_;
  int64_t log_written_ = 0;
  bool log_full_ = false;
  pid_t warden_ = 0, stage_ = 0;
  bool stage_ended_ = false;  // the shell was reaped
  bool childless_ = false;    // and as we are a subreaper, nothing is below us
  bool ending_ = false;       // TERM has been sent
  bool decided_ = false;      // the outcome is ours (time, memory, kill), not the exit code's
  int64_t kill_at_us_ = 0, sweep_at_us_ = 0, sample_at_us_ = 0, deadline_us_ = 0;
  AttemptStatus status_;
};

void Minder::run() {
  ::prctl(PR_SET_NAME, "lathe-minder");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::setpgid(0, 0);
  block_signals_of_children();
  warden_ = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // without its warden a stage would run unheard
  if (::getppid() != warden_) ::_exit(1);
  status_.started_us = wall_us();
  if (open_files() && start_stage()) watch();
  finish();
}

bool Minder::open_files() {
  auto lock = lock_file(folder_ / "lock", false);
  auto log = base::open_file(folder_ / "log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (!lock || !log) {
    status_.outcome = Outcome::kFailed;
    status_.detail = (lock ? log.error() : lock.error()).message;
    return false;
  }
  lock_ = std::move(*lock), log_ = std::move(*log);
  sigset_t set;
  ::sigprocmask(SIG_BLOCK, nullptr, &set);
  signals_ = base::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  memory_.prepare(request_.attempt, request_.memory_bytes);
  return true;
}

bool Minder::start_stage() {
  int out[2], failure[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(failure, O_CLOEXEC) != 0) {
    status_ = {.outcome = Outcome::kFailed, .detail = "out of file descriptors", .started_us = status_.started_us};
    return false;
  }
  output_ = base::Fd(out[0]);
  base::Fd out_end(out[1]), failure_read(failure[0]), failure_end(failure[1]);
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  stage_ = ::fork();
  if (stage_ == 0) become_stage(out_end.get(), failure_end.get());
  out_end.reset(), failure_end.reset();
  if (stage_ < 0) {
    status_ = {.outcome = Outcome::kFailed,
               .detail = "the machine cannot start another process (fork failed)",
               .started_us = status_.started_us};
    return false;
  }
  // The pipe closes at exec; before that it may carry an errno and the step that failed.
  int what[2] = {0, 0};
  if (::read(failure_read.get(), what, sizeof what) == sizeof what) {
    ::waitpid(stage_, nullptr, 0);
    const std::string step = what[0] == 1 ? "its working folder " + request_.cwd.string() : "/bin/sh";
    status_ = {
        .outcome = Outcome::kFailed, .detail = step + ": " + std::strerror(what[1]), .started_us = status_.started_us};
    return false;
  }
  if (request_.timeout_us > 0) deadline_us_ = mono_us() + request_.timeout_us;
  if (memory_.sampled()) sample_at_us_ = mono_us();
  return true;
}

// Between fork and exec. The minder has one thread, so memory may be taken here.
void Minder::become_stage(int output, int failure) {
  std::vector<char*> env;
  for (const std::string& variable : request_.env) env.push_back(const_cast<char*>(variable.c_str()));
  env.push_back(nullptr);
  const char* argv[] = {"/bin/sh", "-c", request_.cmd.c_str(), nullptr};
  const pid_t minder = ::getppid();
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != minder) ::_exit(127);
  memory_.enter();
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  int what[2] = {1, 0};
  if (::chdir(request_.cwd.c_str()) == 0) {
    what[0] = 2;
    ::close_range(3, static_cast<unsigned>(failure) - 1, 0);
    ::close_range(static_cast<unsigned>(failure) + 1, ~0U, 0);
    ::execve("/bin/sh", const_cast<char**>(argv), env.data());
  }
  what[1] = errno;
  (void)!::write(failure, what, sizeof what);
  ::_exit(127);
}

void Minder::watch() {
  for (;;) {
    const int64_t now = mono_us();
    check_limits(now);
    if (ending_) sweep(now);
    if (childless_) return;
    pollfd fds[3] = {{output_.get(), POLLIN, 0}, {control_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    const int64_t look = next_look_us(now);
    const int wait_ms = look < 0 ? -1 : static_cast<int>(look / 1000) + (look > 0 ? 1 : 0);
    if (::poll(fds, 3, wait_ms) < 0) continue;
    if (fds[0].revents) read_output();
    if (fds[1].revents) read_control();
    if (fds[2].revents) read_signals();
    reap();
    // The shell has ended: whatever is still below us was left behind and goes too.
    if (stage_ended_ && !ending_) begin_end(status_.outcome, status_.detail, mono_us());
  }
}

int64_t Minder::next_look_us(int64_t now) const {
  int64_t at = -1;
  const auto consider = [&at](int64_t when) {
    if (when > 0 && (at < 0 || when < at)) at = when;
  };
  if (!ending_) consider(deadline_us_), consider(sample_at_us_);
  if (ending_) consider(sweep_at_us_);
  return at < 0 ? -1 : at > now ? at - now : 0;
}

void Minder::check_limits(int64_t now) {
  if (ending_) return;
  if (deadline_us_ > 0 && now >= deadline_us_)
    return begin_end(Outcome::kTimedOut,
                     "it ran longer than its timeout of " + std::to_string(request_.timeout_us / 1'000'000) + " s",
                     now);
  if (sample_at_us_ == 0 || now < sample_at_us_) return;
  sample_at_us_ = now + kMemorySampleUs;
  const int64_t used = pss_bytes(descendants_of(::getpid()));
  if (used > request_.memory_bytes)
    begin_end(Outcome::kOutOfMemory,
              "it used " + std::to_string(used >> 20) + " MiB of memory, its limit is " +
                  std::to_string(request_.memory_bytes >> 20) + " MiB",
              now);
}

void Minder::begin_end(Outcome outcome, std::string detail, int64_t now) {
  if (!ending_) {
    ending_ = true;
    // Past the memory limit there is no time for manners.
    kill_at_us_ = outcome == Outcome::kOutOfMemory ? now : now + request_.grace_us;
    sweep_at_us_ = now;
    if (!childless_ && kill_at_us_ > now) signal_all(descendants_of(::getpid()), SIGTERM);
  }
  if (decided_ || stage_ended_) return;
  decided_ = true;
  status_.outcome = outcome;
  status_.detail = std::move(detail);
}

void Minder::sweep(int64_t now) {
  if (now < sweep_at_us_) return;
  sweep_at_us_ = now + kSweepUs;
  if (now >= kill_at_us_) signal_all(descendants_of(::getpid()), SIGKILL), memory_.kill_all();
}

void Minder::read_control() {
  char buffer[65536];
  const ssize_t n = ::read(control_.get(), buffer, sizeof buffer);
  if (n < 0) return;
  if (n == 0) return control_.reset();  // the warden died; its signal comes too
  orders_.feed({buffer, static_cast<size_t>(n)});
  for (;;) {
    auto frame = orders_.next();
    if (!frame || !*frame) return;
    if ((*frame)->type == FrameType::kKill) begin_end(Outcome::kKilled, (*frame)->field(2), mono_us());
  }
}

void Minder::read_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info)
    if (info.ssi_signo == SIGTERM)
      begin_end(Outcome::kLost, ::getppid() == warden_ ? "its minder was told to end" : "its warden died", mono_us());
}

void Minder::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != stage_) continue;
    stage_ended_ = true;
    describe_exit(status);
  }
  childless_ = pid < 0 && errno == ECHILD;
}

void Minder::describe_exit(int status) {
  if (WIFEXITED(status)) status_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) status_.signal = WTERMSIG(status);
  if (decided_) return;
  if (memory_.exceeded()) {
    status_.outcome = Outcome::kOutOfMemory;
    status_.detail = "it used more memory than its limit of " + std::to_string(request_.memory_bytes >> 20) + " MiB";
  } else if (WIFSIGNALED(status)) {
    status_.outcome = Outcome::kFailed;
    status_.detail = "signal " + std::to_string(status_.signal) + " (" + ::strsignal(status_.signal) + ")";
  } else {
    status_.outcome = status_.exit_code == 0 ? Outcome::kSucceeded : Outcome::kFailed;
    status_.detail = "exit code " + std::to_string(status_.exit_code);
  }
}

void Minder::read_output() {
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(output_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // nothing more for now
    if (n == 0) return output_.reset();
    if (log_full_) continue;
    const int64_t room = request_.log_bytes - log_written_;
    const std::string_view piece(buffer, static_cast<size_t>(std::min<int64_t>(n, room)));
    if (!base::write_all(log_.get(), piece)) log_full_ = true;  // a full disk must not stop the stage
    log_written_ += static_cast<int64_t>(piece.size());
    if (n > room) {
      log_full_ = true;
      (void)base::write_all(log_.get(), "\n[lathe: this log has reached its limit of " +
                                            std::to_string(request_.log_bytes) + " bytes; what follows is not kept]\n");
    }
  }
}

void Minder::finish() {
  if (output_) read_output();
  status_.ended_us = wall_us();
  memory_.remove();
  publish_status();
  ::_exit(0);
}

// The news goes out as soon as the status stands in its place, before it is forced to the disk: a server that takes the
// end over commits it with an fsync of its own. Until then a power cut loses it, and the attempt counts as lost.
void Minder::publish_status() {
  const std::string text = status_.to_text();
  const base::Path temporary = folder_ / "status.tmp";
  auto fd = base::open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (!fd || !base::write_all(fd->get(), text) || ::rename(temporary.c_str(), (folder_ / "status").c_str()) != 0)
    return;
  if (control_) {
    const std::string news = encode({.type = FrameType::kEnded, .fields = {request_.attempt, text}});
    (void)!::send(control_.get(), news.data(), news.size(), MSG_NOSIGNAL);
  }
  ::fsync(fd->get());
  (void)base::fsync_dir(folder_);
}

}  // namespace

void run_minder(const base::Path& folder, const StartRequest& request, int control) {
  Minder(folder, request, control).run();
}

}  // namespace flow::detail
