#include "serve/capture_archive.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"

namespace serve {
namespace {

constexpr size_t kMaxHeld = 4;           // archived segments in memory while they are being read …
constexpr int64_t kHeldUs = 60'000'000;  // … and for this long after
constexpr int64_t kChildUs = 120'000'000;
constexpr size_t kMaxRestoredBytes = size_t{256} << 20;
constexpr size_t kMaxIndexBytes = size_t{64} << 20;

base::Result<base::ChildResult> run(const base::Path& binary, const char* command, const base::Path& file) {
  base::ChildSpec spec{.argv = {binary.string(), "child", command, file.string()},
                       .env = base::allowed_environment(),
                       .timeout_us = kChildUs,
                       .max_output_bytes = kMaxRestoredBytes};
  if (const char* duckdb = std::getenv("LATHE_DUCKDB")) spec.env["LATHE_DUCKDB"] = duckdb;
  TRY_SET(base::ChildResult child, base::run_child(spec));
  if (child.ok() && !child.truncated) return child;
  const std::string told = child.out.substr(0, 500);
  if (child.exit_code == kArchiveUnavailable) return base::fail(base::Code::kUnavailable, told);
  if (child.exit_code == kArchiveRefused) return base::invalid(told);
  return base::internal(file.filename().string() + ": the process that handles it ended with " + child.describe() +
                        (child.err.empty() ? "" : ": " + child.err.substr(0, 500)));
}

// Header, footer's frame, trailer: a segment without its requests. The trailer says how long the segment was.
std::string encode_index(const Segment& segment, const format::Footer& footer) {
  std::string out = format::encode_header(segment.header);
  format::append_frame(out, format::encode_footer(footer));
  return out + format::encode_trailer(static_cast<uint64_t>(segment.readable.load()));
}

std::shared_ptr<Segment> archived(const Segment& of, const base::Path& parquet, const format::Footer& footer) {
  auto segment = std::make_shared<Segment>();
  segment->path = parquet;
  segment->header = of.header;
  segment->data_begin = of.data_begin;
  segment->readable = of.readable.load();
  segment->closed = true;
  segment->archived = true;
  segment->first_us = footer.first_us;
  segment->last_us = footer.last_us;
  std::error_code error;
  segment->disk_bytes = static_cast<int64_t>(std::filesystem::file_size(parquet, error));
  for (const CaptureSource& source : footer.sources) segment->add_source(source);
  return segment;
}

base::Path with_extension(base::Path path, const char* extension) { return path.replace_extension(extension); }

}  // namespace

const int64_t* RestoredSegment::find(const base::Uuid& id) const {
  const auto found = std::ranges::lower_bound(requests, id, {}, &std::pair<base::Uuid, int64_t>::first);
  return found != requests.end() && found->first == id ? &found->second : nullptr;
}

base::Result<std::shared_ptr<Segment>> archive_segment(const base::Path& binary, const Segment& segment) {
  TRY(run(binary, "archive-capture", segment.path));
  TRY_SET(const format::Footer footer, read_footer(segment));
  const base::Path parquet = with_extension(segment.path, ".parquet");
  TRY(base::write_file_durably(with_extension(segment.path, ".index"), encode_index(segment, footer)));
  return archived(segment, parquet, footer);
}

base::Result<RestoredSegment> restore_segment(const base::Path& binary, const Segment& segment) {
  std::error_code error;
  if (!std::filesystem::exists(segment.path, error)) return base::not_found(segment.path.string());
  TRY_SET(base::ChildResult child, run(binary, "restore-capture", segment.path));
  RestoredSegment out{.bytes = std::move(child.out)};
  const auto begin = static_cast<size_t>(segment.data_begin);
  if (out.bytes.size() < begin || out.bytes.size() > static_cast<size_t>(segment.readable.load()))
    return base::internal(segment.path.filename().string() + " gives back a segment of another length");
  for (size_t at = begin; at < out.bytes.size();) {
    const auto frame = format::next_frame(std::string_view(out.bytes).substr(at));
    if (!frame) return base::internal(segment.path.filename().string() + " gives back a damaged segment");
    if (frame->payload[0] == format::kRequestFrame)
      out.requests.emplace_back(format::request_id(frame->payload), static_cast<int64_t>(at));
    at += frame->length;
  }
  std::ranges::sort(out.requests);
  return out;
}

std::shared_ptr<Segment> open_archived(const base::Path& index_file) {
  const base::Path parquet = with_extension(index_file, ".parquet");
  const auto read = [&]() -> base::Result<std::shared_ptr<Segment>> {
    TRY_SET(const std::string text, base::read_file(index_file, kMaxIndexBytes));
    Segment of;
    size_t head = 0;
    TRY_SET(of.header, format::decode_header(text, head));
    const auto frame = format::next_frame(std::string_view(text).substr(head));
    const auto length =
        text.size() < format::kTrailerBytes
            ? std::nullopt
            : format::decode_trailer(std::string_view(text).substr(text.size() - format::kTrailerBytes));
    if (!frame || !length) return base::invalid("it is damaged");
    TRY_SET(const format::Footer footer, format::decode_footer(frame->payload, of.header));
    std::error_code error;
    if (!std::filesystem::exists(parquet, error)) return base::invalid("its Parquet file is missing");
    of.data_begin = static_cast<int64_t>(head);
    of.readable = static_cast<int64_t>(*length);
    return archived(of, parquet, footer);
  };
  auto segment = read();
  if (segment) return std::move(*segment);
  base::log::warn("capture: an archived segment is lost",
                  {{"segment", index_file.filename().string()}, {"error", segment.error().message}});
  std::error_code error;
  std::filesystem::remove(index_file, error);
  return nullptr;
}

void remove_segment_files(const Segment& segment) {
  for (const char* extension : {".cap", ".index", ".parquet"}) {
    std::error_code error;
    std::filesystem::remove(with_extension(segment.path, extension), error);
  }
}

SegmentArchive::SegmentArchive(Options options, SegmentIndex& index, base::Registry& metrics)
    : options_(std::move(options)),
      index_(index),
      archived_(metrics.counter("lathe_capture_archived_total", "Segments closed into Parquet.")),
      not_archived_(metrics.counter("lathe_capture_not_archived_total", "Segments that Parquet cannot hold.")) {
  if (!options_.binary.empty()) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

SegmentArchive::~SegmentArchive() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void SegmentArchive::run(const std::stop_token& stop) {
  while (!stop.stop_requested() && !unavailable_) {
    {
      std::unique_lock lock(wake_mutex_);
      wake_.wait_for(lock, stop, std::chrono::microseconds(options_.look_us), [] { return false; });
    }
    const int64_t now = base::system_clock().wall_us();
    for (const auto& segment : index_.all()) {
      if (stop.stop_requested() || unavailable_) return;
      const bool due = segment->closed && !segment->archived && !segment->stays_as_is && segment->first_us != 0 &&
                       now - segment->last_us >= options_.after_us;
      if (due) archive(segment);
    }
  }
}

void SegmentArchive::archive(const SegmentIndex::Ptr& segment) {
  const auto done = archive_segment(options_.binary, *segment);
  std::error_code error;
  if (done && index_.replace(*segment, *done)) {
    std::filesystem::remove(segment->path, error);
    return archived_.add();
  }
  if (!index_.find(segment->header.writer, segment->header.segment))
    return remove_segment_files(*segment);  // retention
  segment->stays_as_is = true;              // until the next start
  unavailable_ = done.error().code == base::Code::kUnavailable;
  if (!unavailable_) not_archived_.add();
  base::log::warn("capture: segments stay in their own format",
                  {{"segment", segment->path.filename().string()}, {"reason", done.error().message}});
}

base::Result<std::shared_ptr<const RestoredSegment>> SegmentArchive::restored(const Segment& segment) {
  const std::lock_guard lock(held_mutex_);  // two readers of one segment start one child
  const int64_t now = base::system_clock().mono_us();
  auto found = held_.find(segment.path);
  if (found == held_.end()) {
    TRY_SET(RestoredSegment bytes, restore_segment(options_.binary, segment));
    if (held_.size() >= kMaxHeld)
      held_.erase(std::ranges::min_element(held_, {}, [](const auto& held) { return held.second.used_us; }));
    found = held_.emplace(segment.path, Held{std::make_shared<const RestoredSegment>(std::move(bytes)), now}).first;
  }
  found->second.used_us = now;
  return found->second.segment;
}

void SegmentArchive::forget_unused() {
  const std::unique_lock lock(held_mutex_, std::try_to_lock);
  if (!lock) return;
  const int64_t now = base::system_clock().mono_us();
  std::erase_if(held_, [now](const auto& held) { return now - held.second.used_us > kHeldUs; });
}

}  // namespace serve
