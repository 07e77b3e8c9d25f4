#include "track/old_points.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "track/metrics.h"

namespace track {

using base::Result;

namespace {

constexpr int64_t kStep = 8'000;  // points of one transaction

std::optional<int64_t> next_project(store::Tx& tx) {
  return tx.query_i64("SELECT project FROM track_metric_points ORDER BY project LIMIT 1");
}

struct OldSeries {
  int64_t run = 0, key = 0, exp = 0;
  std::string run_id, name;
};

std::optional<OldSeries> next_series(store::Tx& tx) {
  auto rows = tx.query(
      "SELECT p.run, p.key_id, r.exp, r.run_id, k.name FROM "
      "(SELECT run, key_id FROM track_metric_points WHERE project = ? ORDER BY run, key_id LIMIT 1) p "
      "JOIN track_runs r ON r.id = p.run JOIN track_keys k ON k.id = p.key_id",
      tx.project());
  if (!rows.next()) return std::nullopt;
  return OldSeries{rows.i64(0), rows.i64(1), rows.i64(2), rows.str(3), rows.str(4)};
}

// The first points of the project's first series; how many. Their latest value is known already and stays.
Result<int64_t> take_some(store::Tx& tx) {
  const auto series = next_series(tx);
  TRY(tx.status());
  if (!series) return 0;
  std::vector<Metric> metrics;
  {
    auto rows = tx.query(
        "SELECT at_ms, step, value, is_nan FROM track_metric_points WHERE project = ? AND run = ? AND key_id = ? "
        "ORDER BY at_ms, step, value, is_nan LIMIT ?",
        tx.project(), series->run, series->key, kStep);
    while (rows.next()) {
      Metric& metric = metrics.emplace_back();
      metric.key = series->name;
      metric.at_ms = rows.i64(0);
      metric.step = rows.i64(1);
      metric.value = rows.boolean(3) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(2);
    }
  }
  const Metric& last = metrics.back();
  tx.exec(
      "DELETE FROM track_metric_points WHERE project = ? AND run = ? AND key_id = ? "
      "AND (at_ms, step, value, is_nan) <= (?, ?, ?, ?)",
      tx.project(), series->run, series->key, last.at_ms, last.step, std::isnan(last.value) ? 0 : last.value,
      std::isnan(last.value));
  TRY(add_metrics(tx, {series->run, series->exp, series->run_id}, metrics));
  return static_cast<int64_t>(metrics.size());
}

}  // namespace

Result<void> take_over_old_points(store::Store& store, const base::Clock& clock) {
  base::Context ctx = base::Context::system(clock, "system:track");
  int64_t taken = 0;
  while (true) {
    TRY_SET(const auto project,
            store.read_blocking(ctx, [](store::Tx& tx) -> Result<std::optional<int64_t>> { return next_project(tx); }));
    if (!project) break;
    ctx.project = *project;
    TRY_SET(const int64_t some, store.write_blocking(ctx, take_some));
    if (some == 0) return base::internal("metric points of a run or a metric that is not there");
    taken += some;
  }
  if (taken > 0) base::log::info("metric points were moved into chunks", {{"points", taken}});
  return {};
}

}  // namespace track
