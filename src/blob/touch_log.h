// When blobs of a remote store were last asked for by an upload: their grace period counts from then, and a bucket has
// no time that is cheap to change. A text file of lines "<sha256> <microseconds>", written through at each touch.
//
// What the log does not know any more it says the safe way: nothing counts as used before floor(). A new log (a new
// machine), one of before a reboot (lines may be lost) and forgotten entries raise the floor, so that garbage lives a
// grace period longer, and nothing goes too early. Thread: safe anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "base/fs.h"
#include "base/hash.h"
#include "base/result.h"

namespace blob {

class TouchLog {
 public:
  static constexpr size_t kMostEntries = 200'000;  // past it the older half is forgotten
  static base::Result<std::unique_ptr<TouchLog>> open(const base::Path& file, int64_t now_us);
  base::Result<void> touch(const base::Digest& sha256, int64_t now_us);
  int64_t used_us(const base::Digest& sha256) const;  // at least floor

 private:
  explicit TouchLog(base::Path file) : file_(std::move(file)) {}
  base::Result<void> load(int64_t now_us);
  base::Result<void> rewrite();
  void forget_older_half();

  const base::Path file_;
  mutable std::mutex mutex_;
  base::Fd fd_;
  std::map<base::Digest, int64_t> used_us_;
  int64_t floor_us_ = 0;
  size_t lines_ = 0;
};

}  // namespace blob
