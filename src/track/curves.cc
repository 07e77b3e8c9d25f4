#include "track/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "track/keys.h"
#include "track/points.h"
#include "track/runs.h"
#include "track/step_reader.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

// Exponential average that does not start at zero: divided by the weight seen so far.
class Smoother {
 public:
  explicit Smoother(double weight) : weight_(weight) {}
  double next(double value) {
    if (weight_ <= 0 || std::isnan(value)) return seen_ > 0 ? sum_ / seen_ : value;
    sum_ = weight_ * sum_ + (1 - weight_) * value;
    seen_ = weight_ * seen_ + (1 - weight_);
    return sum_ / seen_;
  }

 private:
  double weight_, sum_ = 0, seen_ = 0;
};

// Keeps of each column of pixels its least and greatest point, in whatever order they come.
class Columns {
 public:
  Columns(int64_t first, int64_t last, int64_t pixels)
      : first_(first),
        scale_(static_cast<double>(pixels) / (static_cast<double>(last) - static_cast<double>(first) + 1)),
        columns_(static_cast<size_t>(pixels)) {}

  size_t column(int64_t x) const {
    const auto at = static_cast<int64_t>((static_cast<double>(x) - static_cast<double>(first_)) * scale_);
    return static_cast<size_t>(std::clamp<int64_t>(at, 0, static_cast<int64_t>(columns_.size()) - 1));
  }
  template <class Make>  // make() is the point as it is drawn, asked for only where it is kept
  void add(int64_t x, double value, Make make) {
    add_to(column(x), value, make);
  }
  template <class Make>
  void add_to(size_t number, double value, Make make) {
    Column& column = columns_[number];
    if (value < column.low) column.low = value, column.least = make();
    if (value > column.high) column.high = value, column.greatest = make();
    if (std::isnan(value)) column.gap = make();
  }
  std::vector<CurvePoint> take() const {
    std::vector<CurvePoint> out;
    for (const Column& column : columns_) {
      const auto& [low, high, least, greatest, gap] = column;
      if (least && greatest) {
        const bool least_first =
            least->step != greatest->step ? least->step < greatest->step : least->at_ms <= greatest->at_ms;
        const CurvePoint &one = least_first ? *least : *greatest, &other = least_first ? *greatest : *least;
        out.push_back(one);
        if (other.step != one.step || other.at_ms != one.at_ms || other.value != one.value) out.push_back(other);
      } else if (gap) {
        out.push_back(*gap);
      }
    }
    return out;
  }

 private:
  struct Column {
    double low = std::numeric_limits<double>::infinity(), high = -low;  // stored values are finite or NaN
    std::optional<CurvePoint> least, greatest, gap;
  };
  int64_t first_;
  double scale_;
  std::vector<Column> columns_;
};

struct Extent {
  int64_t total = 0, first = std::numeric_limits<int64_t>::max(), last = std::numeric_limits<int64_t>::min();
  void add(int64_t points, int64_t from, int64_t to) {
    total += points;
    first = std::min(first, from);
    last = std::max(last, to);
  }
};

// One curve. What a chunk's row says of it is enough where the chunk lies in one column, or is so short that it reaches
// into the next one only: then the edge between the two lies where the chunk ends. The others are decoded.
class CurveReader {
 public:
  CurveReader(store::Tx& tx, const CurveQuery& query, int64_t& budget, const Series& series)
      : tx_(tx), query_(query), budget_(budget), series_(series) {}

  Result<std::optional<Curve>> read(const RunInfo& run, const std::string& key) {
    chunks_ = list_chunks(tx_, series_);
    TRY_SET(tail_, load_tail(tx_, series_));
    TRY_SET(const Extent extent, measure());
    if (extent.total == 0) return std::nullopt;
    Curve out{.run_id = run.run_id, .key = key, .start_ms = run.start_ms, .total = extent.total, .points = {}};
    out.sampled = extent.total > 2 * query_.pixels;
    if (query_.smooth > 0) {
      TRY(read_smoothed(extent, out));
    } else if (out.sampled) {
      TRY(read_sampled(extent, out));
    } else {
      TRY(read_whole(out));
    }
    return out;
  }

 private:
  bool by_step() const { return query_.axis == CurveAxis::kStep; }
  int64_t x(const Point& point) const { return by_step() ? point.step : point.at_ms; }
  int64_t from() const { return query_.from.value_or(std::numeric_limits<int64_t>::min()); }
  int64_t to() const { return query_.to.value_or(std::numeric_limits<int64_t>::max()); }
  int64_t first_of(const ChunkInfo& chunk) const { return by_step() ? chunk.min_step : chunk.first_ms; }
  int64_t last_of(const ChunkInfo& chunk) const { return by_step() ? chunk.max_step : chunk.last_ms; }
  bool outside(const ChunkInfo& chunk) const { return last_of(chunk) < from() || first_of(chunk) > to(); }
  bool inside(const ChunkInfo& chunk) const { return first_of(chunk) >= from() && last_of(chunk) <= to(); }

  // f(point) for those in range. False: the limit of one answer is reached.
  template <class F>
  Result<bool> visit(const ChunkInfo& chunk, F f) {
    if (budget_ < chunk.points) return false;
    budget_ -= chunk.points;
    TRY(load_chunk(tx_, chunk.id, loaded_));
    visit(loaded_, f);
    return true;
  }
  template <class F>
  void visit(const std::vector<Point>& points, F f) const {
    for (const Point& point : points)
      if (x(point) >= from() && x(point) <= to()) f(point);
  }

  Result<Extent> measure() {
    Extent extent;
    const auto add = [&](const Point& point) { extent.add(1, x(point), x(point)); };
    for (const ChunkInfo& chunk : chunks_) {
      if (outside(chunk)) continue;
      if (inside(chunk)) {
        extent.add(chunk.points, first_of(chunk), last_of(chunk));
      } else {
        TRY_SET(const bool read, visit(chunk, add));
        if (!read) break;
      }
    }
    visit(tail_, add);
    return extent;
  }

  static CurvePoint plain(const Point& point) {
    return {.step = point.step, .at_ms = point.at_ms, .value = point.value, .smooth = point.value};
  }

  Result<void> read_whole(Curve& out) {
    std::vector<Point> points;
    const auto keep = [&](const Point& point) { points.push_back(point); };
    for (const ChunkInfo& chunk : chunks_) {
      if (outside(chunk)) continue;
      TRY_SET(const bool read, visit(chunk, keep));
      if (!read) out.cut = true;
    }
    visit(tail_, keep);
    by_step() ? std::ranges::sort(points, in_step_order) : std::ranges::sort(points, std::less());
    for (const Point& point : points) {
      out.nans += std::isnan(point.value);
      out.points.push_back(plain(point));
    }
    return {};
  }

  Result<void> read_sampled(const Extent& extent, Curve& out) {
    Columns columns(extent.first, extent.last, query_.pixels);
    const auto add = [&](const Point& point) {
      out.nans += std::isnan(point.value);
      columns.add(x(point), point.value, [&] { return plain(point); });
    };
    for (const ChunkInfo& chunk : chunks_) {
      if (outside(chunk)) continue;
      const size_t column = columns.column(first_of(chunk));
      if (chunk.least && inside(chunk) && columns.column(last_of(chunk)) <= column + 1) {
        out.nans += chunk.nans;
        columns.add_to(column, chunk.least->value, [&] { return plain(*chunk.least); });
        columns.add_to(column, chunk.greatest->value, [&] { return plain(*chunk.greatest); });
        continue;
      }
      TRY_SET(const bool read, visit(chunk, add));
      if (!read) out.cut = true;
    }
    visit(tail_, add);
    out.points = columns.take();
    return {};
  }

  // Smoothing looks back from the series' beginning, wherever the range starts, and point by point in order.
  Result<void> read_smoothed(const Extent& extent, Curve& out) {
    Columns columns(extent.first, extent.last, query_.pixels);
    Smoother smoother(query_.smooth);
    const auto add = [&](const Point& point) {
      if (budget_ <= 0) {
        out.cut = true;
        return;
      }
      --budget_;
      CurvePoint smoothed = plain(point);
      smoothed.smooth = smoother.next(point.value);
      if (x(point) < from() || x(point) > to()) return;
      out.nans += std::isnan(point.value);
      if (out.sampled) {
        columns.add(x(point), point.value, [&] { return smoothed; });
      } else {
        out.points.push_back(smoothed);
      }
    };
    if (by_step()) {
      TRY_SET(StepReader reader, StepReader::open(tx_, series_));
      TRY(reader.visit({std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}, add));
    } else {
      PointReader reader(tx_, series_);
      while (const Point* point = reader.next()) add(*point);
      TRY(reader.status());
    }
    if (out.sampled) out.points = columns.take();
    return {};
  }

  store::Tx& tx_;
  const CurveQuery& query_;
  int64_t& budget_;
  Series series_;
  std::vector<ChunkInfo> chunks_;
  std::vector<Point> tail_;
  std::vector<Point> loaded_;
};

Result<void> check(const CurveQuery& query) {
  if (query.run_ids.empty() || query.keys.empty()) return invalid("curves need at least one run and one metric");
  if (query.run_ids.size() * query.keys.size() > kMaxCurves)
    return invalid(std::to_string(query.run_ids.size()) + " runs times " + std::to_string(query.keys.size()) +
                   " metrics are asked for; at most " + std::to_string(kMaxCurves) + " curves fit in one answer");
  if (query.pixels < 1 || query.pixels > kMaxPixels)
    return invalid("pixels is " + std::to_string(query.pixels) + "; it must be from 1 to " +
                   std::to_string(kMaxPixels));
  if (!(query.smooth >= 0 && query.smooth < 1)) return invalid("smooth must be from 0 to below 1");
  return {};
}

}  // namespace

Result<std::vector<Curve>> curves(store::Tx& tx, const CurveQuery& query) {
  TRY(check(query));
  std::vector<Curve> out;
  int64_t budget = kMaxCurvePoints;
  for (const std::string& id : query.run_ids) {
    const auto run = get_run_info(tx, id);
    if (!run && run.error().code == base::Code::kNotFound) continue;
    if (!run) return std::unexpected(run.error());
    for (const std::string& key : query.keys) {
      const auto key_id = find_key(tx, key);
      if (!key_id) continue;
      TRY_SET(auto curve, CurveReader(tx, query, budget, {run->row, *key_id}).read(*run, key));
      if (curve) out.push_back(std::move(*curve));
    }
  }
  TRY(tx.status());
  return out;
}

}  // namespace track
