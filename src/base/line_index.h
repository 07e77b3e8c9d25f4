// LineIndex: where the lines of a text file begin, sparsely, so that any window of a file with millions of lines is
// read without reading what stands before it. The file may grow; it is read once. With `quoted`, a line end inside
// double quotes is part of the line (CSV records).
//
// LineIndexes keeps the indexes of the files that were looked at last. Thread: LineIndexes is safe anywhere (calls
// block on the disk); a LineIndex belongs to one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace base {

inline constexpr size_t kMaxWindowBytes = size_t{2} << 20;  // of one window; it then has fewer lines
inline constexpr size_t kMaxLineBytes = size_t{64} << 10;   // of a line; what follows is cut, and said

struct LineWindow {
  int64_t first = 0;      // number of the first line, from 0
  int64_t total = 0;      // lines by now; one that has no end yet counts
  int64_t bytes = 0;      // of the file, as read
  bool open_end = false;  // the last line of the file has no line end
  std::vector<std::string> lines;
};

struct LineMatches {
  std::vector<int64_t> lines;  // numbers, ascending
  int64_t total = 0;           // of the file
  bool truncated = false;
};

using LineTest = std::function<bool(std::string_view line)>;
// Does a text stand in another, ASCII letters of either case? `lower` must be in lower case.
bool contains_in_any_case(std::string_view text, std::string_view lower);
std::string lower_case(std::string_view text);  // ASCII

class LineIndex {
 public:
  explicit LineIndex(bool quoted = false) : quoted_(quoted) {}

  Result<void> extend(int fd);  // reads what has been appended since
  int64_t total() const { return lines_ + (bytes_ > line_begin_ ? 1 : 0); }
  // A negative `from` counts from the end.
  Result<LineWindow> window(int fd, int64_t from, size_t limit) const;
  Result<LineMatches> search(int fd, const LineTest& wanted, size_t limit) const;

 private:
  template <class F>
  Result<void> walk(int fd, int64_t from, const F& visit) const;

  bool quoted_;
  bool inside_quotes_ = false;
  int64_t bytes_ = 0;              // read so far
  int64_t lines_ = 0;              // ended ones
  int64_t line_begin_ = 0;         // where the line that has not ended begins
  std::vector<int64_t> marks_{0};  // offset of every kMarkEvery-th line
};

class LineIndexes {
 public:
  explicit LineIndexes(bool quoted, size_t most = 64) : quoted_(quoted), most_(most) {}

  // `key` names the file's content for good: a digest, an attempt. An absent file has no lines.
  Result<LineWindow> window(const std::string& key, const Path& path, int64_t from, size_t limit);
  Result<LineMatches> search(const std::string& key, const Path& path, const LineTest& wanted, size_t limit);

 private:
  struct Entry {
    explicit Entry(bool quoted) : index(quoted) {}
    std::mutex mutex;
    LineIndex index;
  };
  std::shared_ptr<Entry> entry(const std::string& key);

  const bool quoted_;
  const size_t most_;
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<Entry>>> entries_;  // used last first
};

}  // namespace base
