#include "blob/touch_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace blob {
namespace {

constexpr size_t kFileBytes = size_t{256} << 20;
constexpr size_t kDigestChars = 64;

std::string boot_id() {
  auto id = base::read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!id) return "unknown";
  while (!id->empty() && id->back() == '\n') id->pop_back();
  return *id;
}

bool read_number(std::string_view text, int64_t& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc() && end == text.data() + text.size();
}

}  // namespace

base::Result<std::unique_ptr<TouchLog>> TouchLog::open(const base::Path& file, int64_t now_us) {
  std::unique_ptr<TouchLog> log(new TouchLog(file));
  TRY(log->load(now_us));
  return log;
}

// The first line is "lathe-touched 1 <floor> <boot id>".
base::Result<void> TouchLog::load(int64_t now_us) {
  constexpr std::string_view kHead = "lathe-touched 1 ";
  const auto text = base::read_file(file_, kFileBytes);
  floor_us_ = now_us;
  if (text) {
    std::string_view rest = *text;
    const auto line = [&] {
      const size_t end = rest.find('\n');  // what follows the last one was cut short
      const std::string_view out = end == rest.npos ? std::string_view() : rest.substr(0, end);
      rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
      return out;
    };
    const std::string_view head = line();
    const size_t space = head.rfind(' ');
    int64_t floor_us = 0;
    const bool known = head.starts_with(kHead) && space > kHead.size() &&
                       read_number(head.substr(kHead.size(), space - kHead.size()), floor_us) &&
                       head.substr(space + 1) == boot_id();
    if (known) floor_us_ = floor_us;
    while (!rest.empty()) {
      const std::string_view entry = line();
      int64_t at_us = 0;
      if (entry.size() <= kDigestChars || !read_number(entry.substr(kDigestChars + 1), at_us)) continue;
      if (const auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, entry.substr(0, kDigestChars)))
        used_us_[*digest] = std::max(used_us_[*digest], at_us);
    }
  }
  return rewrite();
}

base::Result<void> TouchLog::rewrite() {
  if (used_us_.size() > kMostEntries) forget_older_half();
  std::erase_if(used_us_, [&](const auto& entry) { return entry.second <= floor_us_; });
  std::string text = "lathe-touched 1 " + std::to_string(floor_us_) + " " + boot_id() + "\n";
  for (const auto& [digest, at_us] : used_us_) text += digest.hex() + " " + std::to_string(at_us) + "\n";
  TRY(base::write_file_durably(file_, text, 0600));
  lines_ = used_us_.size();
  TRY_SET(fd_, base::open_file(file_, O_WRONLY | O_APPEND));
  return {};
}

void TouchLog::forget_older_half() {
  std::vector<int64_t> times;
  for (const auto& [digest, at_us] : used_us_) times.push_back(at_us);
  const auto middle = times.begin() + static_cast<ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  floor_us_ = std::max(floor_us_, *middle);
}

base::Result<void> TouchLog::touch(const base::Digest& sha256, int64_t now_us) {
  const std::lock_guard lock(mutex_);
  int64_t& at_us = used_us_[sha256];
  if (at_us >= now_us) return {};
  at_us = now_us;
  TRY(base::write_all(fd_.get(), sha256.hex() + " " + std::to_string(now_us) + "\n"));
  ++lines_;
  if (used_us_.size() > kMostEntries || lines_ > 2 * used_us_.size() + 10'000) return rewrite();
  return {};
}

int64_t TouchLog::used_us(const base::Digest& sha256) const {
  const std::lock_guard lock(mutex_);
  const auto found = used_us_.find(sha256);
  return found == used_us_.end() ? floor_us_ : std::max(floor_us_, found->second);
}

}  // namespace blob
