// A history in the order of its steps (step, time, value), as charts and samples read it. Steps mostly grow with time:
// then the chunks are in order already, and one at a time is decoded. Else the points are gathered and sorted, up to
// kMaxSortedPoints; past it kTooLarge. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/points.h"

namespace track {

inline constexpr int64_t kMaxSortedPoints = 4'000'000;

bool in_step_order(const Point& a, const Point& b);  // step, time, value

struct StepRange {  // both inclusive
  int64_t from = 0, to = 0;
  bool holds(int64_t step) const { return from <= step && step <= to; }
  bool holds(const ChunkInfo& chunk) const { return from <= chunk.min_step && chunk.max_step <= to; }
  bool touches(const ChunkInfo& chunk) const { return chunk.min_step <= to && from <= chunk.max_step; }
};

class StepReader {
 public:
  static base::Result<StepReader> open(store::Tx& tx, const Series& series);

  base::Result<int64_t> count(const StepRange& range);  // points in it

  template <class F>  // f(const Point&)
  base::Result<void> visit(const StepRange& range, F f) {
    return visit_wanted(range, [](int64_t) { return true; }, f);
  }
  // Chunks that lie in the range whole are not read where wants(points of it), asked in their order, is false.
  template <class Wants, class F>
  base::Result<void> visit_wanted(const StepRange& range, Wants wants, F f) {
    if (!in_order_) return visit_sorted(range, f);
    for (const ChunkInfo& chunk : chunks_) {
      if (!range.touches(chunk) || (range.holds(chunk) && !wants(chunk.points))) continue;
      TRY(load_chunk(tx_, chunk.id, loaded_));
      give(range, loaded_, f);
    }
    give(range, tail_, f);
    return {};
  }

 private:
  StepReader(store::Tx& tx, std::vector<ChunkInfo> chunks, std::vector<Point> tail);

  template <class F>
  static void give(const StepRange& range, const std::vector<Point>& points, F& f) {
    for (const Point& point : points)
      if (range.holds(point.step)) f(point);
  }
  template <class F>
  base::Result<void> visit_sorted(const StepRange& range, F& f) {
    TRY_SET(const std::vector<Point> points, gather(range));
    give(range, points, f);
    return {};
  }
  base::Result<std::vector<Point>> gather(const StepRange& range);

  store::Tx& tx_;
  std::vector<ChunkInfo> chunks_;
  std::vector<Point> tail_;
  bool in_order_;
  std::vector<Point> loaded_;
};

}  // namespace track
