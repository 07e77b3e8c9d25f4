#include "serve/capture_reader.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/log.h"

namespace serve {
namespace {

constexpr size_t kNewestBytes = size_t{32} << 20;  // of requests in one answer of read_newest

// `sources`: those of the segment that are known so far; a record that names a later one has them asked again.
base::Result<CapturedRequest> decode(std::string_view payload, const Segment& segment,
                                     std::vector<CaptureSource>& sources) {
  const uint32_t source = format::source_number(payload);
  if (source >= sources.size()) sources = segment.sources();
  if (source >= sources.size()) return base::internal("a capture record names an unknown source");
  return format::decode_request(payload, sources[source]);
}

}  // namespace

// Segments are archived while they are read: whoever finds the old file gone finds the segment again by its number.
base::Result<void> CaptureReader::walk(const SegmentIndex::Ptr& segment, int64_t offset, const FrameVisitor& visit) {
  if (segment->archived) {
    TRY_SET(const auto bytes, archive_.restored(*segment));
    return walk_frames(bytes->bytes, std::max(offset, segment->data_begin), visit);
  }
  auto walked = walk_segment(*segment, offset, visit);
  if (walked || walked.error().code != base::Code::kNotFound) return walked;
  const auto now = index_.find(segment->header.writer, segment->header.segment);
  return now && now->archived ? walk(now, offset, visit) : walked;
}

base::Result<Capture::Batch> CaptureReader::read(int64_t project, std::string_view endpoint, CapturePosition from,
                                                 size_t limit) {
  Capture::Batch batch{.next = from};
  for (const auto& segment : index_.of_endpoint(project, endpoint, from.segment)) {
    if (batch.requests.size() >= limit) break;
    const auto number = static_cast<int64_t>(segment->header.segment);
    const int64_t offset = number == from.segment ? from.offset : 0;
    std::vector<CaptureSource> sources;
    const auto walked = walk(segment, offset, [&](std::string_view payload, int64_t next) -> base::Result<bool> {
      if (payload[0] == format::kRequestFrame) {
        TRY_SET(CapturedRequest request, decode(payload, *segment, sources));
        batch.requests.push_back(std::move(request));
      }
      batch.next = {number, next};
      return batch.requests.size() < limit;
    });
    if (!walked) {
      if (walked.error().code == base::Code::kNotFound) continue;  // retention took it meanwhile
      if (walked.error().code != base::Code::kInternal) return std::unexpected(walked.error());
      // Bit rot in one segment must not end all reading: what follows the damage in this segment is lost, and told.
      base::log::error("capture: a damaged segment is skipped", {{"error", walked.error().message}});
      batch.next = {number, segment->readable.load()};
    }
  }
  return batch;
}

// Of the frames that begin before `end`: at most `limit`, and of kNewestBytes but for the first.
base::Result<CaptureReader::NewestOf> CaptureReader::newest_of(const SegmentIndex::Ptr& segment, int64_t end,
                                                               size_t limit, const Capture::Filter& wanted) {
  NewestOf out;
  std::vector<CaptureSource> sources;
  int64_t begin = segment->data_begin;
  const auto walked = walk(segment, 0, [&](std::string_view payload, int64_t next) -> base::Result<bool> {
    const int64_t mine = std::exchange(begin, next);
    if (mine >= end) return false;
    if (payload[0] != format::kRequestFrame) return true;
    TRY_SET(CapturedRequest request, decode(payload, *segment, sources));
    ++out.scanned;
    if (!wanted(request)) return true;
    out.kept.push_back({std::move(request), mine, payload.size()});
    out.bytes += payload.size();
    while (out.kept.size() > limit || (out.bytes > kNewestBytes && out.kept.size() > 1)) {
      out.bytes -= out.kept.front().bytes;
      out.kept.pop_front();
      out.cut = true;
    }
    return true;
  });
  if (walked || walked.error().code == base::Code::kNotFound) return out;  // retention took it meanwhile
  if (walked.error().code != base::Code::kInternal) return std::unexpected(walked.error());
  base::log::error("capture: a damaged segment is read up to the damage", {{"error", walked.error().message}});
  return out;
}

// Frames do not point back, so a segment is walked from its beginning; it is at most Options::segment_bytes long.
base::Result<Capture::Newest> CaptureReader::read_newest(int64_t project, std::string_view endpoint,
                                                         CapturePosition before, size_t limit, size_t most_scanned,
                                                         const Capture::Filter& wanted) {
  Capture::Newest out;
  size_t bytes = 0;
  auto segments = index_.of_endpoint(project, endpoint, 0);
  std::ranges::reverse(segments);
  for (const auto& segment : segments) {
    const auto number = static_cast<int64_t>(segment->header.segment);
    if (number > before.segment || (number == before.segment && before.offset == 0)) continue;
    if (out.scanned >= most_scanned || bytes > kNewestBytes) return out;
    const int64_t end = number == before.segment ? before.offset : INT64_MAX;
    TRY_SET(auto found, newest_of(segment, end, limit - out.requests.size(), wanted));
    out.scanned += found.scanned;
    bytes += found.bytes;
    for (auto& placed : std::views::reverse(found.kept)) {
      out.next = {number, placed.begin};
      out.places.push_back(out.next);
      out.requests.push_back(std::move(placed.request));
    }
    if (found.cut || out.requests.size() == limit) return out;
    out.next = {number, 0};  // nothing more in this one
  }
  out.next = {};
  return out;
}

CapturePosition CaptureReader::seek(int64_t project, std::string_view endpoint, int64_t at_us) {
  CapturePosition end;
  for (const auto& segment : index_.of_endpoint(project, endpoint, 0)) {
    if (segment->last_us >= at_us) return {static_cast<int64_t>(segment->header.segment), 0};
    end = {static_cast<int64_t>(segment->header.segment), segment->readable.load()};
  }
  return end;
}

// Reads the segment until all that is wanted has been found.
base::Result<void> CaptureReader::look_in(const SegmentIndex::Ptr& segment, Wanted& wanted, Found& found) {
  int64_t offset = 0;
  if (segment->archived) {
    TRY_SET(const auto bytes, archive_.restored(*segment));
    std::optional<int64_t> first;
    for (const auto& [id, places] : wanted) {
      if (const int64_t* at = bytes->find(id)) first = std::min(first.value_or(*at), *at);
    }
    if (!first) return {};
    offset = *first;
  }
  std::vector<CaptureSource> sources;
  return walk(segment, offset, [&](std::string_view payload, int64_t) -> base::Result<bool> {
    if (payload[0] != format::kRequestFrame) return true;
    const auto at = wanted.find(format::request_id(payload));
    if (at == wanted.end()) return true;
    TRY_SET(const CapturedRequest request, decode(payload, *segment, sources));
    for (size_t index : at->second) found[index] = request;
    wanted.erase(at);
    return !wanted.empty();
  });
}

// Where the record of an id that names this writer and segment may lie.
std::vector<SegmentIndex::Ptr> CaptureReader::segments_of(uint16_t writer, uint32_t number) const {
  std::vector<SegmentIndex::Ptr> out;
  if (const auto named = index_.find(writer, number)) {
    // A record queued while its segment was being closed lies in the endpoint's next one.
    out = index_.of_endpoint(named->header.project, named->header.endpoint, number);
    if (out.size() > 2) out.resize(2);
  }
  if (writer == writer_) return out;
  const uint64_t origin = format::place_of({.writer = writer, .segment = number});
  for (auto& segment : index_.all()) {
    if (segment->holds(origin)) out.push_back(std::move(segment));
  }
  return out;
}

base::Result<CaptureReader::Found> CaptureReader::find(std::span<const std::string> ids) {
  Found found(ids.size());
  std::map<std::pair<uint16_t, uint32_t>, Wanted> by_segment;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = parse_prediction_id(ids[i]);
    if (!id) continue;
    const format::IdParts parts = format::parse_id(*id);
    by_segment[{parts.writer, parts.segment}][*id].push_back(i);
  }
  for (auto& [place, wanted] : by_segment) {
    for (const auto& segment : segments_of(place.first, place.second)) {
      if (wanted.empty()) break;
      const auto looked = look_in(segment, wanted, found);
      if (looked || looked.error().code == base::Code::kNotFound) continue;  // retention took it meanwhile
      return std::unexpected(looked.error());
    }
  }
  return found;
}

}  // namespace serve
