// Metric points and the bytes of a chunk of them (docs/formats/metric-points.md). Pure. A decoder of stored bytes:
// damage is an error, never undefined.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace track {

struct Point {
  int64_t at_ms = 0;
  int64_t step = 0;
  double value = 0;  // NaN is a value; infinities are the largest finite doubles, see storable()
};

// SQL knows no infinities that all databases agree on: the largest finite doubles stand for them. NaN is 0 and a flag.
double storable(double value);

// The order of a history: time, step, value, and a NaN as a zero after the zeros. Neither before the other: the same.
bool operator<(const Point& a, const Point& b);
inline bool same(const Point& a, const Point& b) { return !(a < b) && !(b < a); }
void sort_unique(std::vector<Point>& points);

inline constexpr size_t kChunkPoints = 4096;  // the most that a chunk holds

std::string encode_points(std::span<const Point> points);  // in order, at most kChunkPoints
base::Result<void> decode_points(std::string_view bytes, std::vector<Point>& out);

}  // namespace track
