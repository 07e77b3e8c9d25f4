// Metric histories as charts draw them: at most two points per pixel column, the least and the greatest of what falls
// into it, each where it was, so that no outlier is lost (an edge between columns may lie a pixel off, where a chunk of
// points ends); and smoothing over the whole series, so that zooming never
// changes a curve. Thread: functions on a Tx; a history is read once, in order, and only what is drawn is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr size_t kMaxCurves = 500;               // runs × keys of one answer
inline constexpr int64_t kMaxPixels = 4000;             // columns of one curve
inline constexpr int64_t kMaxCurvePoints = 20'000'000;  // read for one answer; past it the curve says that it was cut

enum class CurveAxis : uint8_t { kStep, kTime };

struct CurveQuery {
  std::vector<std::string> run_ids;
  std::vector<std::string> keys;
  CurveAxis axis = CurveAxis::kStep;
  int64_t pixels = 800;
  std::optional<int64_t> from, to;  // of the axis, both inclusive: steps or milliseconds
  double smooth = 0;                // weight of an exponential average, 0: none, below 1
};

struct CurvePoint {
  int64_t step = 0;
  int64_t at_ms = 0;
  double value = 0;   // NaN: a gap
  double smooth = 0;  // the average so far, if asked
};
struct Curve {
  std::string run_id, key;
  int64_t start_ms = 0;  // of the run, for times relative to it
  int64_t total = 0;     // points in the range
  int64_t nans = 0;      // of them not a number
  bool sampled = false;  // fewer are given than there are
  bool cut = false;      // the server's limit ended the reading
  std::vector<CurvePoint> points;
};

// Runs and keys without a history are left out.
base::Result<std::vector<Curve>> curves(store::Tx& tx, const CurveQuery& query);

}  // namespace track
