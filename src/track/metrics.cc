#include "track/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/json_writer.h"
#include "track/keys.h"
#include "track/models.h"
#include "track/page_token.h"
#include "track/runs.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kMaxHistory = 1'000'000;  // points of one answer when the client sets no limit

// SQL knows no infinities that all databases agree on: the largest finite doubles stand for them. NaN is 0 and a flag.
double storable(double value) {
  if (std::isnan(value)) return 0;
  if (std::isinf(value)) return std::copysign(std::numeric_limits<double>::max(), value);
  return value;
}

double from_row(store::Rows& rows, int value_column, int nan_column) {
  return rows.boolean(nan_column) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(value_column);
}

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

Result<void> add_metrics(store::Tx& tx, const RunKey& run, std::span<const Metric> metrics) {
  // A batch names few keys many times.
  std::vector<std::pair<std::string_view, int64_t>> keys;
  for (const Metric& metric : metrics) {
    auto known = std::ranges::find(keys, metric.key, [](const auto& k) -> std::string_view { return k.first; });
    if (known == keys.end()) known = keys.insert(keys.end(), {metric.key, key_id(tx, metric.key)});
    const bool is_nan = std::isnan(metric.value);
    const double value = storable(metric.value);
    const int64_t added = tx.exec(
        "INSERT INTO track_metric_points (project, run, key_id, at_ms, step, value, is_nan) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        tx.project(), run.row, known->second, metric.at_ms, metric.step, value, is_nan);
    if (added == 0) continue;  // an exact duplicate changes nothing
    tx.exec(
        "INSERT INTO track_latest_metrics (project, run, key_id, exp, value, at_ms, step, is_nan) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, run, key_id) DO UPDATE SET "
        "value = excluded.value, at_ms = excluded.at_ms, step = excluded.step, is_nan = excluded.is_nan "
        "WHERE (excluded.step, excluded.at_ms, excluded.value) > "
        "(track_latest_metrics.step, track_latest_metrics.at_ms, track_latest_metrics.value)",
        tx.project(), run.row, known->second, run.exp, value, metric.at_ms, metric.step, is_nan);
  }
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
  const auto run = tx.query_i64("SELECT id FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), query.run_id);
  if (!key || !run) return page;
  const int64_t limit = std::min(query.max_results.value_or(kMaxHistory), kMaxHistory);
  auto rows =
      token.after.empty()
          ? tx.query("SELECT at_ms, step, value, is_nan FROM track_metric_points "
                     "WHERE project = ? AND run = ? AND key_id = ? ORDER BY at_ms, step, value, is_nan LIMIT ? OFFSET ?",
                     tx.project(), *run, *key, limit + 1, token.offset)
          : tx.query("SELECT at_ms, step, value, is_nan FROM track_metric_points "
                     "WHERE project = ? AND run = ? AND key_id = ? AND (at_ms, step, value, is_nan) > (?, ?, ?, ?) "
                     "ORDER BY at_ms, step, value, is_nan LIMIT ?",
                     tx.project(), *run, *key, token.after[0].i, token.after[1].i, token.after[2].d, token.after[3].i,
                     limit + 1);
  page.rows.reserve(static_cast<size_t>(std::min<int64_t>(limit, 25'000)));
  while (rows.next()) {
    if (static_cast<int64_t>(page.rows.size()) == limit) {
      const Metric& last = page.rows.back();
      page.next_token = encode_page_token(search, {Value::of(last.at_ms), Value::of(last.step),
                                                   Value::of(storable(last.value)),
                                                   Value::of(int64_t{std::isnan(last.value)})});
      break;
    }
    Metric& metric = page.rows.emplace_back();
    metric.key = query.key;
    metric.at_ms = rows.i64(0);
    metric.step = rows.i64(1);
    metric.value = from_row(rows, 2, 3);
  }
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
    TRY_SET(Page<Metric> page, metric_history(tx, {.run_id = id, .key = query.key, .max_results = left, .page_token = ""}));
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
  const int64_t first = query.start_step.value_or(std::numeric_limits<int64_t>::min());
  const int64_t last = query.end_step.value_or(std::numeric_limits<int64_t>::max());
  const int64_t gaps = std::max<int64_t>(query.max_points - 1, 1);
  for (const std::string& id : query.run_ids) {
    const auto run = tx.query_i64("SELECT id FROM track_runs WHERE project = ? AND run_id = ?", tx.project(), id);
    if (!run) continue;
    // Row numbers fall into `gaps` buckets; a row is taken where a bucket begins, and the last one always.
    auto rows = tx.query(
        "SELECT at_ms, step, value, is_nan FROM ("
        "SELECT at_ms, step, value, is_nan, ROW_NUMBER() OVER (ORDER BY step, at_ms, value) AS rn, "
        "COUNT(*) OVER () AS n FROM track_metric_points "
        "WHERE project = ? AND run = ? AND key_id = ? AND step >= ? AND step <= ?) AS numbered "
        "WHERE n <= ? OR rn = 1 OR rn = n OR ((rn - 1) * ?) / (n - 1) <> ((rn - 2) * ?) / (n - 1) "
        "ORDER BY step, at_ms, value",
        tx.project(), *run, *key, first, last, query.max_points, gaps, gaps);
    while (rows.next()) {
      Metric& metric = out.emplace_back();
      metric.key = query.key;
      metric.run_id = id;
      metric.at_ms = rows.i64(0);
      metric.step = rows.i64(1);
      metric.value = from_row(rows, 2, 3);
    }
  }
  return out;
}

}  // namespace track
