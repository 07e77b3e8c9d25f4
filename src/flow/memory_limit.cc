#include "flow/memory_limit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace flow {
namespace {

// A control file is written in place, in one write.
bool write_control(const base::Path& file, std::string_view text) {
  const base::Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool has_word(const base::Path& file, std::string_view word) {
  const auto text = base::read_file(file, 4096);
  return text && (" " + *text).find(" " + std::string(word)) != std::string::npos;
}

// The delegated group: the parent of ours (a service manager puts the server into a leaf, because a group with
// processes of its own cannot give controllers to children), if we may write there and it carries the memory
// controller.
base::Path delegated_group() {
  const auto own = base::read_file("/proc/self/cgroup", 65536);
  if (!own) return {};
  const size_t at = own->starts_with("0::") ? 0 : own->find("\n0::");
  if (at == std::string::npos) return {};
  std::string path = own->substr(own->find("0::", at) + 3);
  path = path.substr(0, path.find('\n'));
  const base::Path parent = base::Path("/sys/fs/cgroup" + path).parent_path();
  if (path.size() < 2 || ::access((parent / "cgroup.subtree_control").c_str(), W_OK) != 0) return {};
  if (!has_word(parent / "cgroup.subtree_control", "memory") &&
      (!has_word(parent / "cgroup.controllers", "memory") ||
       !write_control(parent / "cgroup.subtree_control", "+memory")))
    return {};
  return parent;
}

}  // namespace

void MemoryLimit::prepare(std::string_view attempt, int64_t bytes) {
  bytes_ = bytes;
  if (bytes <= 0) return;
  const base::Path parent = delegated_group();
  if (parent.empty()) return;
  const base::Path group = parent / ("lathe-" + std::string(attempt));
  if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) return;
  if (!write_control(group / "memory.max", std::to_string(bytes))) {
    ::rmdir(group.c_str());
    return;
  }
  write_control(group / "memory.swap.max", "0");
  write_control(group / "memory.oom.group", "1");
  group_ = group;
  procs_ = (group / "cgroup.procs").string();
}

void MemoryLimit::enter() {
  if (group_.empty()) return;
  const int fd = ::open(procs_.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!::write(fd, "0", 1);
  ::close(fd);
}

bool MemoryLimit::exceeded() const {
  if (group_.empty()) return false;
  const auto events = base::read_file(group_ / "memory.events", 4096);
  if (!events) return false;
  const size_t at = events->find("oom_kill ");
  return at != std::string::npos && (*events)[at + 9] != '0';
}

void MemoryLimit::kill_all() {
  if (!group_.empty()) write_control(group_ / "cgroup.kill", "1");
}

void MemoryLimit::remove() {
  if (!group_.empty()) ::rmdir(group_.c_str());
}

}  // namespace flow
