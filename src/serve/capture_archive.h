// Closed segments as Parquet. DuckDB stays out of the server: a child of the same binary (`lathe child
// archive-capture`) writes the Parquet file and proves that it gives the segment's frames back, before the segment's
// own file goes; another
// (`restore-capture`) gives them back. Beside the Parquet file stands a small index file, so that a server that starts
// knows endpoint, sources, times and ids without opening it.
//
// Crash-safe by order: <n>.parquet, then <n>.index, each complete and durable, then <n>.cap is removed. While <n>.cap
// is there, it is the truth. Thread: safe anywhere; blocks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "base/result.h"
#include "serve/capture_segment.h"

namespace serve {

// A segment's bytes once more, at the offsets that its file had, and where each request lies.
struct RestoredSegment {
  std::string bytes;
  std::vector<std::pair<base::Uuid, int64_t>> requests;  // id, offset of its frame; by id
  const int64_t* find(const base::Uuid& id) const;
};

// The archive of one Capture: a thread of its own closes segments into Parquet as they become old enough; what is read
// of them stays in memory for a while. Thread: construct and destroy from one; the rest from any.
class SegmentArchive {
 public:
  struct Options {
    base::Path binary;     // of `lathe`; empty: nothing is archived
    int64_t after_us = 0;  // a segment is due this long after its last request
    int64_t look_us = 0;   // how often that is looked for
  };
  SegmentArchive(Options options, SegmentIndex& index, base::Registry& metrics);
  ~SegmentArchive();  // waits for a child that is at work
  SegmentArchive(const SegmentArchive&) = delete;

  base::Result<std::shared_ptr<const RestoredSegment>> restored(const Segment& segment);  // blocks
  void forget_unused();                                                                   // never waits for a reader

 private:
  void run(const std::stop_token& stop);
  void archive(const SegmentIndex::Ptr& segment);

  const Options options_;
  SegmentIndex& index_;
  base::Counter& archived_;
  base::Counter& not_archived_;
  bool unavailable_ = false;  // the thread's

  struct Held {
    std::shared_ptr<const RestoredSegment> segment;
    int64_t used_us = 0;
  };
  std::mutex held_mutex_;
  std::map<base::Path, Held> held_;

  std::mutex wake_mutex_;
  std::condition_variable_any wake_;  // by the stop request only
  std::jthread thread_;               // last: it uses the others
};

void remove_segment_files(const Segment& segment);  // whatever form it has

// Answers the segment as it is now. kUnavailable: no DuckDB here. kInvalid: this segment does not fit Parquet (text
// that is not UTF-8, …) and stays as it is.
base::Result<std::shared_ptr<Segment>> archive_segment(const base::Path& binary, const Segment& segment);
base::Result<RestoredSegment> restore_segment(const base::Path& binary, const Segment& segment);

// At start: what an .index file says; null if it is damaged or its Parquet file is missing (both are removed).
std::shared_ptr<Segment> open_archived(const base::Path& index_file);

// Exit codes of the children; the error is on stdout.
inline constexpr int kArchiveRefused = 3;
inline constexpr int kArchiveUnavailable = 4;

}  // namespace serve
