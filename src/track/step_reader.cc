#include "track/step_reader.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace track {

using base::Result;

bool in_step_order(const Point& a, const Point& b) { return a.step != b.step ? a.step < b.step : a < b; }

namespace {

bool in_order(const std::vector<ChunkInfo>& chunks, const std::vector<Point>& tail) {
  const ChunkInfo* before = nullptr;
  for (const ChunkInfo& chunk : chunks) {
    if (!chunk.in_step_order || (before != nullptr && chunk.min_step < before->max_step)) return false;
    before = &chunk;
  }
  if (!std::ranges::is_sorted(tail, in_step_order)) return false;
  if (tail.empty() || before == nullptr) return true;
  return tail.front().step > before->max_step && tail.front().at_ms >= before->last_ms;
}

}  // namespace

StepReader::StepReader(store::Tx& tx, std::vector<ChunkInfo> chunks, std::vector<Point> tail)
    : tx_(tx), chunks_(std::move(chunks)), tail_(std::move(tail)), in_order_(in_order(chunks_, tail_)) {}

Result<StepReader> StepReader::open(store::Tx& tx, const Series& series) {
  TRY_SET(std::vector<Point> tail, load_tail(tx, series));
  std::vector<ChunkInfo> chunks = list_chunks(tx, series);
  TRY(tx.status());
  return StepReader(tx, std::move(chunks), std::move(tail));
}

Result<int64_t> StepReader::count(const StepRange& range) {
  int64_t count = 0;
  const auto add = [&](const Point&) { ++count; };
  for (const ChunkInfo& chunk : chunks_) {
    if (!range.touches(chunk)) continue;
    if (range.holds(chunk)) {
      count += chunk.points;
      continue;
    }
    TRY(load_chunk(tx_, chunk.id, loaded_));
    give(range, loaded_, add);
  }
  give(range, tail_, add);
  return count;
}

Result<std::vector<Point>> StepReader::gather(const StepRange& range) {
  TRY_SET(const int64_t wanted, count(range));
  if (wanted > kMaxSortedPoints) {
    return base::fail(base::Code::kTooLarge, "the steps of this metric go back and forth, and " +
                                                 std::to_string(wanted) + " of its points lie in the range; at most " +
                                                 std::to_string(kMaxSortedPoints) +
                                                 " can be put in order. Ask for a smaller range");
  }
  std::vector<Point> points;
  points.reserve(static_cast<size_t>(wanted));
  const auto keep = [&](const Point& point) { points.push_back(point); };
  for (const ChunkInfo& chunk : chunks_) {
    if (!range.touches(chunk)) continue;
    TRY(load_chunk(tx_, chunk.id, loaded_));
    give(range, loaded_, keep);
  }
  give(range, tail_, keep);
  std::ranges::sort(points, in_step_order);
  return points;
}

}  // namespace track
