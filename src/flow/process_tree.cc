#include "flow/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/fs.h"

namespace flow {
namespace {

struct Stat {
  char state = '?';
  pid_t parent = 0;
  uint64_t start_ticks = 0;
};

// /proc/PID/stat: "pid (comm) state ppid …", start time is field 22. comm may hold spaces and parentheses.
std::optional<Stat> read_stat(pid_t pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const base::Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  char text[1024];
  const ssize_t n = ::read(fd.get(), text, sizeof text - 1);
  if (n <= 0) return std::nullopt;
  text[n] = '\0';
  const char* at = std::strrchr(text, ')');
  if (!at || at[1] != ' ') return std::nullopt;
  Stat stat;
  at += 2;
  stat.state = *at;
  for (int field = 3; field <= 22 && at; ++field) {
    if (field == 4) stat.parent = static_cast<pid_t>(std::strtol(at, nullptr, 10));
    if (field == 22) stat.start_ticks = std::strtoull(at, nullptr, 10);
    at = std::strchr(at, ' ');
    if (at) ++at;
  }
  return stat;
}

// "Pss:   123 kB" and "SwapPss: 4 kB" of smaps_rollup, in bytes.
int64_t rollup_bytes(pid_t pid) {
  const auto text = base::read_file("/proc/" + std::to_string(pid) + "/smaps_rollup", 65536);
  if (!text) return 0;
  int64_t kib = 0;
  for (const char* key : {"\nPss:", "\nSwapPss:"})
    if (const size_t at = text->find(key); at != std::string::npos)
      kib += std::strtoll(text->c_str() + at + std::strlen(key), nullptr, 10);
  return kib * 1024;
}

}  // namespace

std::vector<ProcessId> descendants_of(pid_t root) {
  std::unordered_multimap<pid_t, ProcessId> children;
  DIR* dir = ::opendir("/proc");
  if (!dir) return {};
  while (const dirent* entry = ::readdir(dir)) {
    const pid_t pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid <= 0) continue;
    if (const auto stat = read_stat(pid); stat && stat->state != 'Z' && stat->state != 'X')
      children.emplace(stat->parent, ProcessId{pid, stat->start_ticks});
  }
  ::closedir(dir);
  std::vector<ProcessId> found;
  std::vector<pid_t> open{root};
  while (!open.empty()) {
    const auto [begin, end] = children.equal_range(open.back());
    open.pop_back();
    for (auto it = begin; it != end; ++it) {
      found.push_back(it->second);
      open.push_back(it->second.pid);
    }
  }
  return found;
}

void signal_all(const std::vector<ProcessId>& processes, int signal) {
  for (const ProcessId& process : processes) {
    const base::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    if (!pidfd) continue;
    const auto stat = read_stat(process.pid);  // still the one that was seen? The pidfd holds it from here on
    if (stat && stat->start_ticks == process.start_ticks)
      ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
  }
}

int64_t pss_bytes(const std::vector<ProcessId>& processes) {
  int64_t sum = 0;
  for (const ProcessId& process : processes) sum += rollup_bytes(process.pid);
  return sum;
}

}  // namespace flow
