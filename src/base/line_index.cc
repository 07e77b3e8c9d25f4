#include "base/line_index.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace base {
namespace {

constexpr int64_t kMarkEvery = 256;
constexpr size_t kPiece = size_t{1} << 18;

Result<size_t> read_piece(int fd, std::string& piece, int64_t offset) {
  piece.resize(kPiece);
  for (;;) {
    const ssize_t n = ::pread(fd, piece.data(), piece.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("reading lines", errno);
    return static_cast<size_t>(n);
  }
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Where the next line end stands in `bytes` from `at` on; npos if none does.
size_t line_end(std::string_view bytes, size_t at, bool quoted, bool& inside) {
  if (!quoted) return bytes.find('\n', at);
  for (; at < bytes.size(); ++at) {
    if (bytes[at] == '"') inside = !inside;
    if (bytes[at] == '\n' && !inside) return at;
  }
  return std::string_view::npos;
}

}  // namespace

bool contains_in_any_case(std::string_view text, std::string_view lower_needle) {
  return std::search(text.begin(), text.end(), lower_needle.begin(), lower_needle.end(),
                     [](char a, char b) { return lower(a) == b; }) != text.end();
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

Result<void> LineIndex::extend(int fd) {
  std::string piece;
  for (;;) {
    TRY_SET(const size_t got, read_piece(fd, piece, bytes_));
    if (got == 0) return {};
    const std::string_view bytes(piece.data(), got);
    for (size_t at = 0;;) {
      const size_t end = line_end(bytes, at, quoted_, inside_quotes_);
      if (end == std::string_view::npos) break;
      at = end + 1;
      line_begin_ = bytes_ + static_cast<int64_t>(at);
      if (++lines_ % kMarkEvery == 0) marks_.push_back(line_begin_);
    }
    bytes_ += static_cast<int64_t>(got);
  }
}

// Visits the lines from number `from` on, whole but for what is past kMaxLineBytes, until visit says false.
template <class F>
Result<void> LineIndex::walk(int fd, int64_t from, const F& visit) const {
  int64_t number = from / kMarkEvery * kMarkEvery;
  int64_t offset = marks_[static_cast<size_t>(from / kMarkEvery)];
  std::string piece, line;
  size_t length = 0;
  bool inside = false;
  const auto finish = [&]() {
    if (length > line.size()) line += " … [" + std::to_string(length) + " bytes]";
    const bool go_on = number < from || visit(number, line);
    ++number;
    line.clear();
    length = 0;
    return go_on;
  };
  const auto append = [&](std::string_view part) {
    length += part.size();
    line.append(part.substr(0, kMaxLineBytes - std::min(line.size(), kMaxLineBytes)));
  };
  while (offset < bytes_) {
    TRY_SET(const size_t got, read_piece(fd, piece, offset));
    if (got == 0) break;
    const std::string_view bytes(piece.data(), std::min(got, static_cast<size_t>(bytes_ - offset)));
    for (size_t at = 0; at < bytes.size();) {
      const size_t end = line_end(bytes, at, quoted_, inside);
      append(bytes.substr(at, end == std::string_view::npos ? end : end - at));
      if (end == std::string_view::npos) break;
      if (!finish()) return {};
      at = end + 1;
    }
    offset += static_cast<int64_t>(bytes.size());
  }
  if (length > 0) finish();
  return {};
}

Result<LineWindow> LineIndex::window(int fd, int64_t from, size_t limit) const {
  LineWindow out{.total = total(), .bytes = bytes_, .open_end = bytes_ > line_begin_};
  out.first = std::clamp<int64_t>(from < 0 ? out.total + from : from, 0, out.total);
  if (out.first == out.total) return out;
  size_t size = 0;
  TRY(walk(fd, out.first, [&](int64_t, std::string& line) {
    size += line.size() + 1;
    if (out.lines.size() == limit || (size > kMaxWindowBytes && !out.lines.empty())) return false;
    out.lines.push_back(std::move(line));
    return out.lines.size() < limit;
  }));
  return out;
}

Result<LineMatches> LineIndex::search(int fd, const LineTest& wanted, size_t limit) const {
  LineMatches out{.total = total()};
  TRY(walk(fd, 0, [&](int64_t number, const std::string& line) {
    if (!wanted(line)) return true;
    if (out.lines.size() == limit) return out.truncated = true, false;
    out.lines.push_back(number);
    return true;
  }));
  return out;
}

std::shared_ptr<LineIndexes::Entry> LineIndexes::entry(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(entries_, key, [](const auto& e) { return e.first; });
  if (known != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, known);
  } else {
    entries_.emplace_front(key, std::make_shared<Entry>(quoted_));
    if (entries_.size() > most_) entries_.pop_back();
  }
  return entries_.front().second;
}

Result<LineWindow> LineIndexes::window(const std::string& key, const Path& path, int64_t from, size_t limit) {
  const auto fd = open_file(path, O_RDONLY);
  if (!fd && fd.error().code == Code::kNotFound) return LineWindow{};
  if (!fd) return std::unexpected(fd.error());
  const auto mine = entry(key);
  std::lock_guard lock(mine->mutex);
  TRY(mine->index.extend(fd->get()));
  return mine->index.window(fd->get(), from, limit);
}

Result<LineMatches> LineIndexes::search(const std::string& key, const Path& path, const LineTest& wanted,
                                        size_t limit) {
  const auto fd = open_file(path, O_RDONLY);
  if (!fd && fd.error().code == Code::kNotFound) return LineMatches{};
  if (!fd) return std::unexpected(fd.error());
  const auto mine = entry(key);
  std::lock_guard lock(mine->mutex);
  TRY(mine->index.extend(fd->get()));
  return mine->index.search(fd->get(), wanted, limit);
}

}  // namespace base
