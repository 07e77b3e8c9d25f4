#include "serve/capture_segment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"

namespace serve {
namespace {

constexpr size_t kReadWindow = size_t{1} << 20;

base::Result<size_t> read_at(int fd, char* into, size_t size, int64_t offset) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, into + done, size - done, offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::errno_error("reading a capture segment", errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

void note_request(format::Footer& footer, std::string_view payload) {
  const int64_t at_us = format::request_time(payload);
  const base::Uuid id = format::request_id(payload);
  if (footer.requests++ == 0) {
    footer.first_us = footer.last_us = at_us;
    footer.first_id = footer.last_id = id;
    return;
  }
  footer.first_us = std::min(footer.first_us, at_us);
  footer.last_us = std::max(footer.last_us, at_us);
  footer.first_id = std::min(footer.first_id, id);
  footer.last_id = std::max(footer.last_id, id);
}

base::Result<void> write_footer(int fd, int64_t at, const format::Footer& footer) {
  std::string tail;
  format::append_frame(tail, format::encode_footer(footer));
  tail += format::encode_trailer(static_cast<uint64_t>(at));
  if (::lseek(fd, at, SEEK_SET) < 0) return base::errno_error("closing a capture segment", errno);
  TRY(base::write_all(fd, tail));
  if (::fsync(fd) != 0) return base::errno_error("fsync of a capture segment", errno);
  return {};
}

// The footer of a properly closed file, or nullopt.
base::Result<std::optional<format::Footer>> closed_footer(int fd, int64_t size, Segment& segment) {
  if (size < segment.data_begin + static_cast<int64_t>(format::kTrailerBytes)) return std::nullopt;
  std::string trailer(format::kTrailerBytes, 0);
  TRY(read_at(fd, trailer.data(), trailer.size(), size - static_cast<int64_t>(trailer.size())));
  const auto offset = format::decode_trailer(trailer);
  const int64_t end = size - static_cast<int64_t>(format::kTrailerBytes);
  if (!offset || *offset > static_cast<uint64_t>(end) || static_cast<int64_t>(*offset) < segment.data_begin)
    return std::nullopt;
  std::string bytes(static_cast<size_t>(end) - *offset, 0);
  TRY(read_at(fd, bytes.data(), bytes.size(), static_cast<int64_t>(*offset)));
  const auto frame = format::next_frame(bytes);
  if (!frame || frame->length != bytes.size()) return std::nullopt;
  auto footer = format::decode_footer(frame->payload, segment.header);
  if (!footer) return std::nullopt;
  segment.readable = static_cast<int64_t>(*offset);
  return std::move(*footer);
}

}  // namespace

std::vector<CaptureSource> Segment::sources() const {
  std::lock_guard lock(mutex_);
  return sources_;
}

bool Segment::holds(uint64_t origin) const {
  std::lock_guard lock(mutex_);
  return std::ranges::find(sources_, origin, &CaptureSource::origin) != sources_.end();
}

void Segment::add_source(CaptureSource source) {
  std::lock_guard lock(mutex_);
  sources_.push_back(std::move(source));
}

void SegmentIndex::add(Ptr segment) {
  std::lock_guard lock(mutex_);
  const format::FileHeader& header = segment->header;
  by_number_[{header.segment, header.writer}] = segment;
  by_endpoint_[{header.project, header.endpoint}][header.segment] = std::move(segment);
}

void SegmentIndex::remove(const Segment& segment) {
  std::lock_guard lock(mutex_);
  const format::FileHeader& header = segment.header;
  by_number_.erase({header.segment, header.writer});
  if (const auto found = by_endpoint_.find({header.project, header.endpoint}); found != by_endpoint_.end()) {
    found->second.erase(header.segment);
  }
}

bool SegmentIndex::replace(const Segment& old, Ptr now) {
  std::lock_guard lock(mutex_);
  const format::FileHeader& header = old.header;
  const auto found = by_number_.find({header.segment, header.writer});
  if (found == by_number_.end() || found->second.get() != &old) return false;
  by_endpoint_[{header.project, header.endpoint}][header.segment] = now;
  found->second = std::move(now);
  return true;
}

SegmentIndex::Ptr SegmentIndex::find(uint16_t writer, uint32_t number) const {
  std::lock_guard lock(mutex_);
  const auto found = by_number_.find({number, writer});
  return found == by_number_.end() ? nullptr : found->second;
}

std::vector<SegmentIndex::Ptr> SegmentIndex::of_endpoint(int64_t project, std::string_view endpoint,
                                                         int64_t from_segment) const {
  std::lock_guard lock(mutex_);
  std::vector<Ptr> out;
  const auto found = by_endpoint_.find({project, std::string(endpoint)});
  if (found == by_endpoint_.end()) return out;
  const auto from = static_cast<uint32_t>(std::clamp<int64_t>(from_segment, 0, UINT32_MAX));
  for (auto it = found->second.lower_bound(from); it != found->second.end(); ++it) out.push_back(it->second);
  return out;
}

std::vector<std::pair<int64_t, std::string>> SegmentIndex::endpoints() const {
  std::lock_guard lock(mutex_);
  std::vector<EndpointKey> out;
  for (const auto& [key, segments] : by_endpoint_) {
    if (!segments.empty()) out.push_back(key);
  }
  return out;
}

std::vector<SegmentIndex::Ptr> SegmentIndex::all() const {
  std::lock_guard lock(mutex_);
  std::vector<Ptr> out;
  for (const auto& entry : by_number_) out.push_back(entry.second);
  return out;
}

base::Result<void> walk_segment(const Segment& segment, int64_t offset, const FrameVisitor& visit) {
  TRY_SET(const base::Fd fd, base::open_file(segment.path, O_RDONLY));
  int64_t at = std::max(offset, segment.data_begin);
  const int64_t end = segment.readable.load(std::memory_order_acquire);
  std::string window;
  while (at < end) {
    size_t want = std::min<size_t>(kReadWindow, static_cast<size_t>(end - at));
    for (bool whole = false; !whole;) {
      window.resize(want);
      TRY_SET(const size_t got, read_at(fd.get(), window.data(), want, at));
      window.resize(got);
      size_t needed = 0;
      whole = format::next_frame(window, &needed).has_value();
      if (!whole && (needed <= want || needed > static_cast<size_t>(end - at))) {
        return base::internal("capture segment " + segment.path.filename().string() + " is damaged at byte " +
                              std::to_string(at));
      }
      if (!whole) want = needed;  // one frame larger than the window
    }
    std::string_view rest = window;
    while (const auto frame = format::next_frame(rest)) {
      rest.remove_prefix(frame->length);
      at += static_cast<int64_t>(frame->length);
      TRY_SET(const bool go_on, visit(frame->payload, at));
      if (!go_on) return {};
    }
  }
  return {};
}

base::Result<void> walk_frames(std::string_view bytes, int64_t offset, const FrameVisitor& visit) {
  auto at = std::min(static_cast<size_t>(offset), bytes.size());
  while (const auto frame = format::next_frame(bytes.substr(at))) {
    at += frame->length;
    TRY_SET(const bool go_on, visit(frame->payload, static_cast<int64_t>(at)));
    if (!go_on) break;
  }
  return {};
}

base::Result<format::Footer> read_footer(const Segment& segment) {
  TRY_SET(const base::Fd fd, base::open_file(segment.path, O_RDONLY));
  const int64_t at = segment.readable.load();
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return base::errno_error(segment.path.string(), errno);
  std::string bytes(static_cast<size_t>(std::max<int64_t>(info.st_size - at, 0)), 0);
  TRY(read_at(fd.get(), bytes.data(), bytes.size(), at));
  const auto frame = format::next_frame(bytes);
  if (!frame) return base::internal(segment.path.filename().string() + " has no footer");
  return format::decode_footer(frame->payload, segment.header);
}

base::Result<std::unique_ptr<SegmentFile>> SegmentFile::create(const base::Path& folder,
                                                               const format::FileHeader& header) {
  char name[32];
  std::snprintf(name, sizeof name, "%08x.cap", header.segment);
  auto file = std::unique_ptr<SegmentFile>(new SegmentFile());
  file->segment_ = std::make_shared<Segment>();
  file->segment_->path = folder / name;
  file->segment_->header = header;
  TRY_SET(file->fd_, base::open_file(file->segment_->path, O_WRONLY | O_CREAT | O_EXCL, 0644));
  const std::string head = format::encode_header(header);
  TRY(base::write_all(file->fd_.get(), head));
  TRY(base::fsync_dir(folder));
  file->written_ = head.size();
  file->unsynced_ = head.size();
  file->segment_->data_begin = static_cast<int64_t>(head.size());
  file->segment_->readable = static_cast<int64_t>(head.size());
  return file;
}

uint32_t SegmentFile::number_of(const CaptureSource& source) {
  if (&source == last_source_) return last_number_;
  const auto found = std::ranges::find(footer_.sources, source);
  last_source_ = &source;
  last_number_ = static_cast<uint32_t>(found - footer_.sources.begin());
  if (found != footer_.sources.end()) return last_number_;
  const auto number = static_cast<uint32_t>(footer_.sources.size());
  footer_.sources.push_back(source);
  pending_sources_.push_back(source);
  format::append_frame(pending_, format::encode_source(number, source));
  return number;
}

void SegmentFile::append_request(char* payload, size_t size, uint32_t source_number) {
  format::set_source_number(payload, source_number);
  format::append_frame(pending_, {payload, size});
  note_request(footer_, {payload, size});
  ++pending_requests_;
}

base::Result<void> SegmentFile::write() {
  if (pending_.empty()) return {};
  auto written = base::write_all(fd_.get(), pending_);
  if (!written) {
    // Whole frames or none: what a short write left is cut off again. The footer keeps counting what was lost as seen,
    // which only makes its ranges wider; its sources must stay as written.
    if (::ftruncate(fd_.get(), static_cast<off_t>(written_)) == 0)
      ::lseek(fd_.get(), static_cast<off_t>(written_), SEEK_SET);
    footer_.sources.resize(footer_.sources.size() - pending_sources_.size());
    last_source_ = nullptr;
  } else {
    written_ += pending_.size();
    unsynced_ += pending_.size();
    for (CaptureSource& source : pending_sources_) segment_->add_source(std::move(source));
    segment_->first_us = footer_.first_us;
    segment_->last_us = footer_.last_us;
    segment_->readable.store(static_cast<int64_t>(written_), std::memory_order_release);
  }
  pending_.clear();
  pending_requests_ = 0;
  pending_sources_.clear();
  return written;
}

base::Result<void> SegmentFile::sync() {
  if (unsynced_ == 0) return {};
  if (::fdatasync(fd_.get()) != 0) return base::errno_error("fdatasync of a capture segment", errno);
  unsynced_ = 0;
  return {};
}

base::Result<void> SegmentFile::close() {
  TRY(write());
  TRY(write_footer(fd_.get(), static_cast<int64_t>(written_), footer_));
  segment_->closed = true;
  unsynced_ = 0;
  return {};
}

base::Result<std::shared_ptr<Segment>> recover_segment(const base::Path& path, int64_t& cut_bytes) {
  TRY_SET(const base::Fd fd, base::open_file(path, O_RDWR));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return base::errno_error(path.string(), errno);
  std::string head(std::min<size_t>(8192, static_cast<size_t>(info.st_size)), 0);
  TRY(read_at(fd.get(), head.data(), head.size(), 0));
  size_t head_bytes = 0;
  auto header = format::decode_header(head, head_bytes);
  if (!header) {
    if (header.error().code == base::Code::kUnsupported) return std::unexpected(std::move(header).error());
    cut_bytes += info.st_size;
    ::unlink(path.c_str());
    return std::shared_ptr<Segment>();
  }
  auto segment = std::make_shared<Segment>();
  segment->path = path;
  segment->header = std::move(*header);
  segment->data_begin = static_cast<int64_t>(head_bytes);
  TRY_SET(std::optional<format::Footer> footer, closed_footer(fd.get(), info.st_size, *segment));
  if (!footer) {
    footer.emplace();
    int64_t good = segment->data_begin;
    segment->readable = info.st_size;
    const auto walked = walk_segment(*segment, good, [&](std::string_view payload, int64_t next) -> base::Result<bool> {
      uint32_t number = 0;
      if (payload[0] == format::kRequestFrame) note_request(*footer, payload);
      if (payload[0] == format::kSourceFrame) {
        TRY_SET(CaptureSource source, format::decode_source(payload, segment->header, number));
        footer->sources.push_back(std::move(source));
      }
      if (payload[0] == format::kFooterFrame) return false;  // its trailer is torn: it is written again
      good = next;
      return true;
    });
    if (!walked && walked.error().code != base::Code::kInternal) return std::unexpected(walked.error());
    if (good < info.st_size) {
      cut_bytes += info.st_size - good;
      base::log::warn("capture: a torn tail was cut off",
                      {{"segment", path.filename().string()}, {"bytes", info.st_size - good}});
      if (::ftruncate(fd.get(), good) != 0) return base::errno_error(path.string(), errno);
    }
    TRY(write_footer(fd.get(), good, *footer));
    segment->readable = good;
  }
  segment->first_us = footer->first_us;
  segment->last_us = footer->last_us;
  segment->closed = true;
  for (CaptureSource& source : footer->sources) segment->add_source(std::move(source));
  return segment;
}

}  // namespace serve
