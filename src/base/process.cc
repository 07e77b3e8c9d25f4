#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "base/spawn.h"

extern char** environ;

namespace base {
namespace {

struct Pipe {
  Fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return errno_error("pipe", errno);
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Reads what a pipe has; closes it at its end. Keeps at most `limit` bytes of it.
void drain(Fd& from, std::string& into, size_t limit, bool& truncated) {
  char buffer[65536];
  const ssize_t n = ::read(from.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    from.reset();
    return;
  }
  const size_t keep = std::min(size_t(n), limit - std::min(limit, into.size()));
  into.append(buffer, keep);
  truncated |= keep < size_t(n);
}

// Moves bytes both ways until the child has ended and its pipes are closed, or the time is up.
void converse(const ChildSpec& spec, Pipe& in, Pipe& out, Pipe& err, int pidfd, ChildResult& result) {
  fcntl(in.write_end.get(), F_SETFL, O_NONBLOCK);
  std::string_view to_send = spec.stdin_bytes;
  if (to_send.empty()) in.write_end.reset();
  const int64_t start = system_clock().mono_us();
  bool ended = false;
  while (!ended || out.read_end || err.read_end) {
    int wait_ms = -1;
    if (spec.timeout_us > 0) {
      const int64_t left = spec.timeout_us - (system_clock().mono_us() - start);
      if (left <= 0) {
        result.timed_out = true;
        return;
      }
      wait_ms = int(left / 1000 + 1);
    }
    // Once the child has ended, a grandchild may still hold its pipes: give it no more than a moment.
    if (ended) wait_ms = wait_ms < 0 ? 200 : std::min(wait_ms, 200);
    pollfd fds[4] = {{ended ? -1 : pidfd, POLLIN, 0},
                     {out.read_end.get(), POLLIN, 0},
                     {err.read_end.get(), POLLIN, 0},
                     {in.write_end.get(), POLLOUT, 0}};
    const int ready = poll(fds, 4, wait_ms);
    if (ready == 0 && ended) return;
    if (ready <= 0) continue;
    if (fds[1].revents) drain(out.read_end, result.out, spec.max_output_bytes, result.truncated);
    if (fds[2].revents) drain(err.read_end, result.err, spec.max_output_bytes, result.truncated);
    if (fds[3].revents) {
      const ssize_t n = ::write(in.write_end.get(), to_send.data(), to_send.size());
      if (n > 0) to_send.remove_prefix(size_t(n));
      if ((n < 0 && errno != EAGAIN && errno != EINTR) || to_send.empty()) in.write_end.reset();
    }
    if (fds[0].revents) ended = true;
  }
}

}  // namespace

std::string ChildResult::describe() const {
  if (timed_out) return "timed out";
  if (signal != 0) return "ended by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  return "exit code " + std::to_string(exit_code);
}

Result<ChildResult> run_child(const ChildSpec& spec) {
  TRY_SET(Pipe in, make_pipe());
  TRY_SET(Pipe out, make_pipe());
  TRY_SET(Pipe err, make_pipe());
  SpawnSetup setup;
  posix_spawn_file_actions_adddup2(&setup.actions, in.read_end.get(), 0);
  posix_spawn_file_actions_adddup2(&setup.actions, out.write_end.get(), 1);
  posix_spawn_file_actions_adddup2(&setup.actions, err.write_end.get(), 2);
  if (!spec.cwd.empty()) posix_spawn_file_actions_addchdir_np(&setup.actions, spec.cwd.c_str());
  setup.stand_alone();

  std::vector<std::string> env_texts;
  for (const auto& [key, value] : spec.env) env_texts.push_back(key + "=" + value);
  pid_t pid = -1;
  if (const int error = posix_spawn(&pid, spec.argv.at(0).c_str(), &setup.actions, &setup.attributes,
                                    spawn_texts(spec.argv).data(), spawn_texts(env_texts).data())) {
    return errno_error("cannot start " + spec.argv[0], error);
  }
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  const Fd pidfd(int(syscall(SYS_pidfd_open, pid, 0)));

  ChildResult result;
  converse(spec, in, out, err, pidfd.get(), result);
  kill(-pid, SIGKILL);  // the rest of its group, if any
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

std::map<std::string, std::string> allowed_environment() {
  constexpr std::string_view kNames[] = {"PATH",
                                         "HOME",
                                         "USER",
                                         "LOGNAME",
                                         "LANG",
                                         "LANGUAGE",
                                         "TZ",
                                         "TMPDIR",
                                         "OMP_NUM_THREADS",
                                         "VIRTUAL_ENV",
                                         "LATHE_ONNXRUNTIME",
                                         "LATHE_PYTHON",
                                         "LATHE_DUCKDB"};  // Lathe's own steps look there too
  constexpr std::string_view kPrefixes[] = {"LC_", "SSL_CERT_", "OPENBLAS_"};
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const size_t eq = text.find('=');
    if (eq == std::string_view::npos) continue;
    const std::string_view key = text.substr(0, eq);
    bool allowed = false;
    for (auto name : kNames) allowed |= key == name;
    for (auto prefix : kPrefixes) allowed |= key.starts_with(prefix);
    if (allowed) out.emplace(key, text.substr(eq + 1));
  }
  return out;
}

}  // namespace base
