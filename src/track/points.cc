#include "track/points.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace track {

using base::Result;

namespace {

Point point_at(store::Rows& rows, int column) {  // at_ms, step, value, is_nan
  return {.at_ms = rows.i64(column),
          .step = rows.i64(column + 1),
          .value = rows.boolean(column + 3) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(column + 2)};
}

// The chunk that a point belongs to, decoded; the last one asked for is kept, since points come in order.
class ChunkFinder {
 public:
  ChunkFinder(store::Tx& tx, const Series& series) : tx_(tx), series_(series) {}

  // Afterwards id(), points() and limit() are those of the last chunk that does not begin after the point; id() is 0
  // where there is none.
  Result<void> find(const Point& point) {
    if (known_ && !(point < from_) && (!limit_ || point < *limit_)) return {};
    known_ = false;
    id_ = 0;
    points_.clear();
    const double value = storable(point.value);
    const bool nan = std::isnan(point.value);
    {
      auto rows = tx_.query(
          "SELECT first_ms, first_step, first_value, first_nan, id, data FROM track_metric_chunks "
          "WHERE project = ? AND run = ? AND key_id = ? "
          "AND (first_ms, first_step, first_value, first_nan) <= (?, ?, ?, ?) "
          "ORDER BY first_ms DESC, first_step DESC, first_value DESC, first_nan DESC LIMIT 1",
          tx_.project(), series_.run, series_.key, point.at_ms, point.step, value, nan);
      if (rows.next()) {
        from_ = point_at(rows, 0);
        id_ = rows.i64(4);
        TRY(decode_points(rows.text(5), points_));
      }
    }
    limit_.reset();
    auto rows = tx_.query(
        "SELECT first_ms, first_step, first_value, first_nan FROM track_metric_chunks "
        "WHERE project = ? AND run = ? AND key_id = ? "
        "AND (first_ms, first_step, first_value, first_nan) > (?, ?, ?, ?) "
        "ORDER BY first_ms, first_step, first_value, first_nan LIMIT 1",
        tx_.project(), series_.run, series_.key, point.at_ms, point.step, value, nan);
    if (rows.next()) limit_ = point_at(rows, 0);
    known_ = id_ != 0;
    return tx_.status();
  }
  void forget() { known_ = false; }

  int64_t id() const { return id_; }
  std::vector<Point>& points() { return points_; }
  const std::optional<Point>& limit() const { return limit_; }  // where the next chunk begins

 private:
  store::Tx& tx_;
  const Series& series_;
  bool known_ = false;
  Point from_;
  int64_t id_ = 0;
  std::vector<Point> points_;
  std::optional<Point> limit_;
};

void store_chunk(store::Tx& tx, const Series& series, std::span<const Point> points) {
  const Point* least = nullptr;
  const Point* greatest = nullptr;
  int64_t nans = 0, min_step = points[0].step, max_step = points[0].step;
  bool in_step_order = true;
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& point = points[i];
    if (i > 0 && point.step < points[i - 1].step) in_step_order = false;
    min_step = std::min(min_step, point.step);
    max_step = std::max(max_step, point.step);
    if (std::isnan(point.value)) {
      ++nans;
      continue;
    }
    if (least == nullptr || point.value < least->value) least = &point;
    if (greatest == nullptr || point.value > greatest->value) greatest = &point;
  }
  const auto part = [](const Point* point, auto member) {
    return point ? std::optional(point->*member) : std::nullopt;
  };
  const Point& first = points.front();
  const std::string data = encode_points(points);
  tx.exec(
      "INSERT INTO track_metric_chunks (project, run, key_id, first_ms, first_step, first_value, first_nan, last_ms, "
      "min_step, max_step, points, nans, in_step_order, least, least_ms, least_step, greatest, greatest_ms, "
      "greatest_step, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), series.run, series.key, first.at_ms, first.step, storable(first.value), std::isnan(first.value),
      points.back().at_ms, min_step, max_step, points.size(), nans, in_step_order, part(least, &Point::value),
      part(least, &Point::at_ms), part(least, &Point::step), part(greatest, &Point::value),
      part(greatest, &Point::at_ms), part(greatest, &Point::step), store::Blob{data});
}

void store_pieces(store::Tx& tx, const Series& series, std::span<const Point> points, size_t size) {
  for (; !points.empty(); points = points.subspan(std::min(size, points.size())))
    store_chunk(tx, series, points.first(std::min(size, points.size())));
}

void remove_chunk(store::Tx& tx, int64_t id) {
  tx.exec("DELETE FROM track_metric_chunks WHERE project = ? AND id = ?", tx.project(), id);
}

// Puts points, which are in order and not beyond all chunks, into the chunks that they belong to.
Result<void> place(store::Tx& tx, const Series& series, std::span<const Point> points) {
  ChunkFinder finder(tx, series);
  while (!points.empty()) {
    TRY(finder.find(points.front()));
    size_t count = points.size();
    if (finder.limit())
      count = static_cast<size_t>(std::ranges::lower_bound(points, *finder.limit(), std::less()) - points.begin());
    std::vector<Point> merged;
    std::ranges::merge(finder.points(), points.first(count), std::back_inserter(merged), std::less());
    merged.erase(std::ranges::unique(merged, same).begin(), merged.end());
    if (finder.id() != 0) remove_chunk(tx, finder.id());
    const size_t pieces = (merged.size() + kChunkPoints - 1) / kChunkPoints;  // a chunk that is too full: even parts
    store_pieces(tx, series, merged, (merged.size() + pieces - 1) / pieces);
    finder.forget();
    points = points.subspan(count);
    TRY(tx.status());
  }
  return {};
}

// Puts points behind all chunks. Chunks no longer than what comes are taken up into it, so that a point is written
// again only each time that its chunk has doubled.
Result<void> append(store::Tx& tx, const Series& series, std::vector<Point> points) {
  while (true) {
    int64_t id = 0, size = 0;
    {
      auto rows = tx.query(
          "SELECT id, points FROM track_metric_chunks WHERE project = ? AND run = ? AND key_id = ? "
          "ORDER BY first_ms DESC, first_step DESC, first_value DESC, first_nan DESC LIMIT 1",
          tx.project(), series.run, series.key);
      if (rows.next()) id = rows.i64(0), size = rows.i64(1);
    }
    const auto coming = static_cast<int64_t>(points.size());
    if (id == 0 || size > coming || size + coming > static_cast<int64_t>(kChunkPoints)) break;
    std::vector<Point> before;
    TRY(load_chunk(tx, id, before));
    remove_chunk(tx, id);
    points.insert(points.begin(), before.begin(), before.end());
  }
  store_pieces(tx, series, points, kChunkPoints);
  return tx.status();
}

bool beyond_chunks(const SeriesState& state, const Point& point) {
  return !state.chunked_ms || std::pair(point.at_ms, point.step) > std::pair(*state.chunked_ms, *state.chunked_step);
}

// Leaves the points that no chunk holds.
Result<void> drop_stored(store::Tx& tx, const Series& series, const SeriesState& state, std::vector<Point>& points) {
  if (points.empty() || beyond_chunks(state, points.front())) return {};
  ChunkFinder finder(tx, series);
  std::vector<Point> fresh;
  for (const Point& point : points) {
    if (!beyond_chunks(state, point)) {
      TRY(finder.find(point));
      if (std::ranges::binary_search(finder.points(), point, std::less())) continue;
    }
    fresh.push_back(point);
  }
  points = std::move(fresh);
  return {};
}

Result<void> fold(store::Tx& tx, const Series& series, SeriesState& state) {
  const auto beyond =
      std::ranges::partition_point(state.tail, [&](const Point& point) { return !beyond_chunks(state, point); });
  std::vector<Point> behind(beyond, state.tail.end());
  TRY(place(tx, series, {state.tail.begin(), beyond}));
  state.tail.clear();
  if (behind.empty()) return {};
  state.chunked_ms = behind.back().at_ms;
  state.chunked_step = behind.back().step;
  return append(tx, series, std::move(behind));
}

}  // namespace

void lock_series(store::Tx& tx, std::string_view run_id) { tx.lock("track.metrics", run_id); }

Result<void> add_points(store::Tx& tx, const Series& series, SeriesState& state, std::vector<Point> points) {
  for (Point& point : points) {
    if (!std::isnan(point.value)) point.value = storable(point.value);
  }
  sort_unique(points);
  TRY(drop_stored(tx, series, state, points));
  if (points.empty()) return {};
  const bool in_order = state.tail.empty() || state.tail.back() < points.front();
  state.tail.insert(state.tail.end(), points.begin(), points.end());
  if (!in_order) sort_unique(state.tail);
  if (state.tail.size() < kTailPoints) return {};
  return fold(tx, series, state);
}

std::vector<ChunkInfo> list_chunks(store::Tx& tx, const Series& series, std::optional<int64_t> from_ms) {
  std::vector<ChunkInfo> out;
  auto rows = tx.query(
      "SELECT id, first_ms, last_ms, min_step, max_step, points, nans, in_step_order, least, least_ms, least_step, "
      "greatest, greatest_ms, greatest_step FROM track_metric_chunks "
      "WHERE project = ? AND run = ? AND key_id = ? AND last_ms >= ? "
      "ORDER BY first_ms, first_step, first_value, first_nan",
      tx.project(), series.run, series.key, from_ms.value_or(std::numeric_limits<int64_t>::min()));
  while (rows.next()) {
    ChunkInfo& info = out.emplace_back();
    info.id = rows.i64(0);
    info.first_ms = rows.i64(1);
    info.last_ms = rows.i64(2);
    info.min_step = rows.i64(3);
    info.max_step = rows.i64(4);
    info.points = rows.i64(5);
    info.nans = rows.i64(6);
    info.in_step_order = rows.boolean(7);
    if (rows.is_null(8)) continue;
    info.least = Point{rows.i64(9), rows.i64(10), rows.f64(8)};
    info.greatest = Point{rows.i64(12), rows.i64(13), rows.f64(11)};
  }
  return out;
}

Result<void> load_chunk(store::Tx& tx, int64_t id, std::vector<Point>& out) {
  auto rows = tx.query("SELECT data FROM track_metric_chunks WHERE project = ? AND id = ?", tx.project(), id);
  if (!rows.next()) return base::internal("a chunk of metric points is missing");
  return decode_points(rows.text(0), out);
}

Result<std::vector<Point>> load_tail(store::Tx& tx, const Series& series) {
  std::vector<Point> points;
  auto rows = tx.query("SELECT tail FROM track_latest_metrics WHERE project = ? AND run = ? AND key_id = ?",
                       tx.project(), series.run, series.key);
  if (rows.next() && !rows.is_null(0)) TRY(decode_points(rows.text(0), points));
  TRY(tx.status());
  return points;
}

PointReader::PointReader(store::Tx& tx, const Series& series, std::optional<Point> after)
    : tx_(tx), after_(after), chunks_(list_chunks(tx, series, after ? std::optional(after->at_ms) : std::nullopt)) {
  auto tail = load_tail(tx, series);
  if (!tail) {
    status_ = std::unexpected(tail.error());
    return;
  }
  tail_ = std::move(*tail);
  tail_at_ = first_after(tail_);
}

size_t PointReader::first_after(const std::vector<Point>& points) const {
  return after_ ? static_cast<size_t>(std::ranges::upper_bound(points, *after_, std::less()) - points.begin()) : 0;
}

const Point* PointReader::chunk_head() {
  while (at_ == loaded_.size() && next_chunk_ < chunks_.size()) {
    status_ = load_chunk(tx_, chunks_[next_chunk_++].id, loaded_);
    if (!status_) return nullptr;
    at_ = first_after(loaded_);
  }
  return at_ < loaded_.size() ? &loaded_[at_] : nullptr;
}

const Point* PointReader::next() {
  if (!status_) return nullptr;
  const Point* chunked = chunk_head();
  if (!status_) return nullptr;
  const Point* tail = tail_at_ < tail_.size() ? &tail_[tail_at_] : nullptr;
  if (chunked != nullptr && (tail == nullptr || *chunked < *tail)) {
    ++at_;
    return chunked;
  }
  if (tail == nullptr) {
    status_ = tx_.status();
    return nullptr;
  }
  ++tail_at_;
  return tail;
}

}  // namespace track
