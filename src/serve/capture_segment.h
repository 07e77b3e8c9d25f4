// Segments on disk and the index over them: which segment holds which endpoint, time and prediction. Readers work on
// shared Segment objects, so that retention may delete a file under them.
//
// Thread: SegmentIndex is safe anywhere (one short lock); a Segment's fixed fields are set before it is published, what
// grows in an open one is guarded by its own lock or atomic. SegmentFile belongs to the writer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/capture_format.h"

namespace serve {

struct Segment {
  base::Path path;  // <number>.cap, or <number>.parquet once archived
  format::FileHeader header;
  int64_t data_begin = 0;            // offset of the first frame
  std::atomic<int64_t> readable{0};  // whole frames lie below this offset
  std::atomic<bool> closed{false};
  bool archived = false;                 // into Parquet (serve/capture_archive.h): `path` has no frames of its own
  int64_t disk_bytes = 0;                // of an archived one
  std::atomic<bool> stays_as_is{false};  // Parquet cannot hold it
  std::atomic<int64_t> first_us{0};      // 0: no request yet
  std::atomic<int64_t> last_us{0};

  std::vector<CaptureSource> sources() const;
  bool holds(uint64_t origin) const;  // some record of a data plane whose ids name that place
  void add_source(CaptureSource source);

 private:
  mutable std::mutex mutex_;
  std::vector<CaptureSource> sources_;
};

class SegmentIndex {
 public:
  using Ptr = std::shared_ptr<Segment>;

  void add(Ptr segment);
  void remove(const Segment& segment);
  bool replace(const Segment& old, Ptr now);  // false: the old one is not there any more
  Ptr find(uint16_t writer, uint32_t number) const;
  std::vector<Ptr> of_endpoint(int64_t project, std::string_view endpoint, int64_t from_segment) const;  // ascending
  std::vector<std::pair<int64_t, std::string>> endpoints() const;
  std::vector<Ptr> all() const;  // ascending

 private:
  using EndpointKey = std::pair<int64_t, std::string>;
  mutable std::mutex mutex_;
  std::map<std::pair<uint32_t, uint16_t>, Ptr> by_number_;
  std::map<EndpointKey, std::map<uint32_t, Ptr>> by_endpoint_;
};

// Walks whole frames of [offset, segment.readable); `visit` gets the payload and the offset behind it and returns false
// to stop. Fails with kInternal at a damaged frame.
using FrameVisitor = std::function<base::Result<bool>(std::string_view payload, int64_t next_offset)>;
base::Result<void> walk_segment(const Segment& segment, int64_t offset, const FrameVisitor& visit);
// The same over bytes that are here already; a frame that is not whole ends it.
base::Result<void> walk_frames(std::string_view bytes, int64_t offset, const FrameVisitor& visit);
base::Result<format::Footer> read_footer(const Segment& segment);  // of a closed one

// An open segment as its writer sees it.
class SegmentFile {
 public:
  static base::Result<std::unique_ptr<SegmentFile>> create(const base::Path& folder, const format::FileHeader& header);

  const std::shared_ptr<Segment>& segment() const { return segment_; }
  size_t size() const { return written_ + pending_.size(); }
  // Writes a source frame at its first use. A source is known by its address, and stays as long as the file is open.
  uint32_t number_of(const CaptureSource& source);
  void append_request(char* payload, size_t size, uint32_t source_number);
  base::Result<void> write();  // pending frames to the file; on failure they are dropped
  base::Result<void> sync();
  base::Result<void> close();  // footer, trailer, fsync
  size_t pending_requests() const { return pending_requests_; }
  size_t unsynced_bytes() const { return unsynced_; }

 private:
  SegmentFile() = default;
  base::Fd fd_;
  std::shared_ptr<Segment> segment_;
  format::Footer footer_;
  std::string pending_;
  size_t pending_requests_ = 0;
  std::vector<CaptureSource> pending_sources_;
  const CaptureSource* last_source_ = nullptr;  // whose number was asked for last: most often the next one's, too
  uint32_t last_number_ = 0;
  size_t written_ = 0;
  size_t unsynced_ = 0;
};

// Opens what a former process left: closed segments by their footer, others by scanning; a torn tail is cut off and the
// segment closed. `cut_bytes` counts what was cut. Null for a file without a whole header (it is removed).
base::Result<std::shared_ptr<Segment>> recover_segment(const base::Path& path, int64_t& cut_bytes);

}  // namespace serve
