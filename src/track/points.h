// Where metric points lie: the newest of a run and key in a short hot tail beside its latest value
// (track_latest_metrics.tail), the rest in chunks of up to kChunkPoints points (track_metric_chunks), which the tail is
// folded into when it is full. Chunks of a series never overlap in the order of a history, so that a point is in
// exactly one place and an exact duplicate is found by looking at one chunk. The tail may reach back into the chunks'
// time: readers merge the two.
//
// A chunk's row says what a chart wants to know of it (least, greatest, extent), so that most are never decoded.
// Thread: functions on a Tx. Writers of one run come one after the other (lock_series).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/point_codec.h"

namespace track {

inline constexpr size_t kTailPoints = 64;  // a tail that reaches this is folded

struct Series {
  int64_t run = 0;  // row
  int64_t key = 0;  // of track_keys
};

// What the series' row of track_latest_metrics keeps of it; read and stored by metrics.cc.
struct SeriesState {
  std::vector<Point> tail;                            // in order
  std::optional<int64_t> chunked_ms, chunked_step{};  // of the last point in a chunk; none: there is no chunk
};

void lock_series(store::Tx& tx, std::string_view run_id);
// Drops exact duplicates, of each other and of what is there. The state is the caller's to store.
base::Result<void> add_points(store::Tx& tx, const Series& series, SeriesState& state, std::vector<Point> points);

struct ChunkInfo {
  int64_t id = 0;
  int64_t first_ms = 0, last_ms = 0;
  int64_t min_step = 0, max_step = 0;
  int64_t points = 0, nans = 0;
  std::optional<Point> least, greatest;  // none: nothing but NaN
  bool in_step_order = false;
};
// In order; those that end before `from_ms` are left out.
std::vector<ChunkInfo> list_chunks(store::Tx& tx, const Series& series, std::optional<int64_t> from_ms = {});
base::Result<void> load_chunk(store::Tx& tx, int64_t id, std::vector<Point>& out);
base::Result<std::vector<Point>> load_tail(store::Tx& tx, const Series& series);

// A history in its order, point by point, chunk by chunk.
class PointReader {
 public:
  PointReader(store::Tx& tx, const Series& series, std::optional<Point> after = {});
  const Point* next();  // null: the end, or an error that status() tells
  base::Result<void> status() const { return status_; }

 private:
  size_t first_after(const std::vector<Point>& points) const;
  const Point* chunk_head();

  store::Tx& tx_;
  std::optional<Point> after_;
  std::vector<ChunkInfo> chunks_;
  size_t next_chunk_ = 0;
  std::vector<Point> loaded_;
  size_t at_ = 0;
  std::vector<Point> tail_;
  size_t tail_at_ = 0;
  base::Result<void> status_;
};

}  // namespace track
