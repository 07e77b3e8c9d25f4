// CaptureReader: what of Capture reads. Segments are found in the index, those that became Parquet through the archive;
// the writer goes on meanwhile, archiving and retention too. What the answers mean stands with Capture (capture.h).
//
// Thread: safe anywhere; blocks on the disk.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/capture.h"
#include "serve/capture_archive.h"
#include "serve/capture_segment.h"

namespace serve {

class CaptureReader {
 public:
  // Both outlive it. `writer`: our own number.
  CaptureReader(const SegmentIndex& index, SegmentArchive& archive, uint16_t writer)
      : index_(index), archive_(archive), writer_(writer) {}

  base::Result<Capture::Batch> read(int64_t project, std::string_view endpoint, CapturePosition from, size_t limit);
  base::Result<Capture::Newest> read_newest(int64_t project, std::string_view endpoint, CapturePosition before,
                                            size_t limit, size_t most_scanned, const Capture::Filter& wanted);
  CapturePosition seek(int64_t project, std::string_view endpoint, int64_t at_us);
  using Found = std::vector<std::optional<CapturedRequest>>;
  base::Result<Found> find(std::span<const std::string> ids);

 private:
  using Wanted = std::map<base::Uuid, std::vector<size_t>>;  // with their places among the answers
  struct Placed {
    CapturedRequest request;
    int64_t begin = 0;  // offset of its frame
    size_t bytes = 0;
  };
  // The newest wanted requests of a segment, oldest first.
  struct NewestOf {
    std::deque<Placed> kept;
    size_t bytes = 0;
    size_t scanned = 0;
    bool cut = false;  // older ones were wanted too, and let go
  };
  base::Result<NewestOf> newest_of(const SegmentIndex::Ptr& segment, int64_t end, size_t limit,
                                   const Capture::Filter& wanted);
  base::Result<void> walk(const SegmentIndex::Ptr& segment, int64_t offset, const FrameVisitor& visit);
  std::vector<SegmentIndex::Ptr> segments_of(uint16_t writer, uint32_t number) const;
  base::Result<void> look_in(const SegmentIndex::Ptr& segment, Wanted& wanted, Found& found);

  const SegmentIndex& index_;
  SegmentArchive& archive_;
  const uint16_t writer_;
};

}  // namespace serve
