#include "track/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "base/json_writer.h"
#include "store/bulk.h"
#include "track/keys.h"
#include "track/models.h"
#include "track/page_token.h"
#include "track/points.h"
#include "track/runs.h"
#include "track/step_reader.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kMaxHistory = 1'000'000;  // points of one answer when the client sets no limit

std::string join(std::string_view path, std::string_view field) {
  return path.empty() ? std::string(field) : std::string(path).append(".").append(field);
}

}  // namespace

Result<void> check_metric(const Metric& metric, std::string_view path) {
  TRY(check_key(metric.key, join(path, "name")));
  if (metric.at_ms < 0) {
    std::string message = "Invalid value " + std::to_string(metric.at_ms) + " for parameter '" +
                          join(path, "timestamp") + "' supplied: metric '" + metric.key + "' (value=";
    base::append_double(message, storable(metric.value));
    return invalid(message + "). Timestamp must be a nonnegative long (64-bit integer) ");
  }
  return check_length("Metric name", kMaxKey, metric.key);
}

namespace {

// What one batch does to one key's row of track_latest_metrics.
struct KeyChange {
  std::string_view key;
  std::vector<Point> points;
  int64_t key_id = 0;
  bool known = false;                     // the row is there
  Point newest{};                         // by (step, time, value)
  std::optional<double> least, greatest;  // of the numbers
  SeriesState series;
};

bool is_newer(const Point& a, const Point& b) {
  return std::tuple(a.step, a.at_ms, storable(a.value)) > std::tuple(b.step, b.at_ms, storable(b.value));
}

// By key, in the order in which the keys first come.
std::vector<KeyChange> by_key(std::span<const Metric> metrics) {
  std::vector<KeyChange> keys;
  std::unordered_map<std::string_view, size_t> places;
  keys.reserve(metrics.size());
  for (const Metric& metric : metrics) {
    const auto [place, fresh] = places.try_emplace(metric.key, keys.size());
    if (fresh) keys.emplace_back().key = metric.key;
    keys[place->second].points.push_back({metric.at_ms, metric.step, metric.value});
  }
  return keys;
}

// What is known of the keys, in one query. Its text is one of few: the list of names is as long as a power of two.
Result<void> load_states(store::Tx& tx, const RunKey& run, std::vector<KeyChange>& keys) {
  std::string sql =
      "SELECT k.name, k.id, m.value, m.at_ms, m.step, m.is_nan, m.min_value, m.max_value, m.tail, m.chunked_ms, "
      "m.chunked_step FROM track_keys k LEFT JOIN track_latest_metrics m "
      "ON m.project = k.project AND m.run = ? AND m.key_id = k.id WHERE k.project = ? AND k.name IN (?";
  std::vector<store::Param> params = {run.row, tx.project()};
  std::unordered_map<std::string_view, KeyChange*> places;
  for (KeyChange& key : keys) {
    places[key.key] = &key;
    params.emplace_back(key.key);
  }
  const size_t count = std::bit_ceil(keys.size());
  params.resize(2 + count, store::Param(keys.back().key));
  for (size_t i = 1; i < count; ++i) sql += ", ?";
  auto rows = tx.open(sql + ")", params);
  while (rows.next()) {
    KeyChange& key = *places.at(rows.text(0));
    key.key_id = rows.i64(1);
    key.known = !rows.is_null(2);
    if (!key.known) continue;
    key.newest = {rows.i64(3), rows.i64(4), rows.boolean(5) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(2)};
    key.least = rows.opt_f64(6);
    key.greatest = rows.opt_f64(7);
    if (!rows.is_null(8)) TRY(decode_points(rows.text(8), key.series.tail));
    key.series.chunked_ms = rows.opt_i64(9);
    key.series.chunked_step = rows.opt_i64(10);
  }
  return tx.status();
}

// The newest point is among those that came, or is the one that was there.
void note_points(KeyChange& key) {
  for (size_t i = 0; i < key.points.size(); ++i) {
    const Point& point = key.points[i];
    if ((i == 0 && !key.known) || is_newer(point, key.newest)) key.newest = point;
    if (std::isnan(point.value)) continue;
    const double value = storable(point.value);
    key.least = std::min(key.least.value_or(value), value);
    key.greatest = std::max(key.greatest.value_or(value), value);
  }
}

void store_states(store::Tx& tx, const RunKey& run, const std::vector<KeyChange>& keys) {
  std::vector<std::string> tails(keys.size());  // held until they are written
  store::BulkInsert insert(
      tx,
      "INSERT INTO track_latest_metrics (project, run, key_id, exp, value, at_ms, step, is_nan, min_value, max_value, "
      "tail, chunked_ms, chunked_step) VALUES ",
      13,
      " ON CONFLICT (project, run, key_id) DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms, "
      "step = excluded.step, is_nan = excluded.is_nan, min_value = excluded.min_value, "
      "max_value = excluded.max_value, tail = excluded.tail, chunked_ms = excluded.chunked_ms, "
      "chunked_step = excluded.chunked_step");
  for (size_t i = 0; i < keys.size(); ++i) {
    const KeyChange& key = keys[i];
    tails[i] = encode_points(key.series.tail);
    insert.add(tx.project(), run.row, key.key_id, run.exp, storable(key.newest.value), key.newest.at_ms,
               key.newest.step, std::isnan(key.newest.value), key.least, key.greatest, store::Blob{tails[i]},
               key.series.chunked_ms, key.series.chunked_step);
  }
  insert.finish();
}

Result<void> add_histories(store::Tx& tx, const RunKey& run, std::span<const Metric> metrics) {
  std::vector<KeyChange> keys = by_key(metrics);
  lock_series(tx, run.run_id);
  TRY(load_states(tx, run, keys));
  for (KeyChange& key : keys) {
    if (key.key_id == 0) key.key_id = key_id(tx, key.key);
    note_points(key);
    TRY(add_points(tx, {run.row, key.key_id}, key.series, std::move(key.points)));
  }
  store_states(tx, run, keys);
  return tx.status();
}

}  // namespace

Result<void> add_metrics(store::Tx& tx, const RunKey& run, std::span<const Metric> metrics) {
  if (metrics.empty()) return {};
  TRY(add_histories(tx, run, metrics));
  std::string_view last_id;
  int64_t last_row = 0;
  for (const Metric& metric : metrics) {
    if (metric.model_id.empty()) continue;
    if (metric.model_id != last_id) {
      TRY_SET(last_row, model_row(tx, metric.model_id));
      last_id = metric.model_id;
    }
    tx.exec(
        "INSERT INTO track_model_metrics (project, model, key, at_ms, step, run_id, value, is_nan, dataset_name, "
        "dataset_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        tx.project(), last_row, metric.key, metric.at_ms, metric.step, run.run_id, storable(metric.value),
        std::isnan(metric.value), metric.dataset_name, metric.dataset_digest);
  }
  return {};
}

namespace {

Point point_of(const std::vector<Value>& token) {
  return {token[0].i, token[1].i, token[3].i != 0 ? std::numeric_limits<double>::quiet_NaN() : token[2].d};
}

std::vector<Value> values_of(const Point& point) {
  return {Value::of(point.at_ms), Value::of(point.step), Value::of(storable(point.value)),
          Value::of(int64_t{std::isnan(point.value)})};
}

Metric& add_row(std::vector<Metric>& rows, std::string_view key, const Point& point) {
  Metric& metric = rows.emplace_back();
  metric.key = key;
  metric.at_ms = point.at_ms;
  metric.step = point.step;
  metric.value = point.value;
  return metric;
}

}  // namespace

void drop_metrics(store::Tx& tx, int64_t run_row) {
  tx.exec("DELETE FROM track_metric_chunks WHERE project = ? AND run = ?", tx.project(), run_row);
  tx.exec("DELETE FROM track_latest_metrics WHERE project = ? AND run = ?", tx.project(), run_row);
}

Result<Page<Metric>> metric_history(store::Tx& tx, const HistoryQuery& query) {
  if (query.max_results && *query.max_results <= 0) {
    return invalid("Invalid value " + std::to_string(*query.max_results) +
                   " for parameter 'max_results' supplied. It must be a positive integer.");
  }
  const std::string search = "history " + query.run_id + " " + query.key;
  TRY_SET(const PageToken token, decode_page_token(search, query.page_token));
  if (!token.after.empty() && token.after.size() != 4) return invalid("Invalid page token: it is damaged");
  Page<Metric> page;
  const auto key = find_key(tx, query.key);
  const auto run =
      tx.query_i64("SELECT id FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), query.run_id);
  if (!key || !run) return page;
  const int64_t limit = std::min(query.max_results.value_or(kMaxHistory), kMaxHistory);
  std::optional<Point> after;
  if (!token.after.empty()) after = point_of(token.after);
  PointReader reader(tx, {*run, *key}, after);
  for (int64_t skipped = 0; skipped < token.offset && reader.next() != nullptr;) ++skipped;
  page.rows.reserve(static_cast<size_t>(std::min<int64_t>(limit, 25'000)));
  Point last;
  while (const Point* point = reader.next()) {
    if (static_cast<int64_t>(page.rows.size()) == limit) {
      page.next_token = encode_page_token(search, values_of(last));
      break;
    }
    last = *point;
    add_row(page.rows, query.key, *point);
  }
  TRY(reader.status());
  return page;
}

Result<std::vector<Metric>> metric_history_bulk(store::Tx& tx, const BulkQuery& query) {
  std::vector<Metric> out;
  std::vector<std::string> ids = query.run_ids;
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  for (const std::string& id : ids) {
    const int64_t left = query.max_results - static_cast<int64_t>(out.size());
    if (left <= 0) break;
    TRY_SET(Page<Metric> page,
            metric_history(tx, {.run_id = id, .key = query.key, .max_results = left, .page_token = ""}));
    for (Metric& metric : page.rows) {
      metric.run_id = id;
      out.push_back(std::move(metric));
    }
  }
  return out;
}

Result<std::vector<Metric>> metric_history_sampled(store::Tx& tx, const IntervalQuery& query) {
  std::vector<Metric> out;
  const auto key = find_key(tx, query.key);
  if (!key) return out;
  const StepRange range{query.start_step.value_or(std::numeric_limits<int64_t>::min()),
                        query.end_step.value_or(std::numeric_limits<int64_t>::max())};
  const int64_t gaps = std::max<int64_t>(query.max_points - 1, 1);
  for (const std::string& id : query.run_ids) {
    const auto run = tx.query_i64("SELECT id FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), id);
    if (!run) continue;
    TRY_SET(StepReader reader, StepReader::open(tx, {*run, *key}));
    TRY_SET(const int64_t count, reader.count(range));
    // Numbers of points fall into `gaps` buckets; a point is taken where a bucket begins, and the last one always.
    int64_t number = 0;
    const auto is_taken = [&](int64_t first, int64_t last) {  // one of the points from first to last
      return count <= query.max_points || first == 0 || last == count - 1 ||
             last * gaps / (count - 1) != (first - 1) * gaps / (count - 1);
    };
    const auto wants = [&](int64_t points) {
      if (is_taken(number, number + points - 1)) return true;
      number += points;
      return false;
    };
    TRY(reader.visit_wanted(range, wants, [&](const Point& point) {
      if (is_taken(number, number)) add_row(out, query.key, point).run_id = id;
      ++number;
    }));
  }
  return out;
}

}  // namespace track
