// Metric points of a run: the whole history, and the latest value of each key for reading and searching.
//
// A point is (key, time, step, value); an exact duplicate is dropped. The latest value of a key is the largest
// (step, time, value). NaN is a flag; infinities are kept as the largest finite doubles, as upstream does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace track {

struct Metric {
  std::string key;
  double value = 0;
  int64_t at_ms = 0;
  int64_t step = 0;
  std::string model_id;  // also a metric of this logged model
  std::string dataset_name;
  std::string dataset_digest;
  std::string run_id;  // filled in when read as a logged model's metric or from many runs
};

struct RunKey {  // where a run's rows lie
  int64_t row = 0;
  int64_t exp = 0;
  std::string_view run_id;
};

// Used by runs.h within one transaction; the run was found active.
base::Result<void> check_metric(const Metric& metric, std::string_view path);
base::Result<void> add_metrics(store::Tx& tx, const RunKey& run, std::span<const Metric> metrics);

void drop_metrics(store::Tx& tx, int64_t run_row);  // all of a run that goes for good

struct HistoryQuery {
  std::string run_id;
  std::string key;
  std::optional<int64_t> max_results;  // none: everything
  std::string page_token;
};
base::Result<Page<Metric>> metric_history(store::Tx& tx, const HistoryQuery& query);  // by time, step, value

inline constexpr size_t kMaxBulkRuns = 100;
inline constexpr int64_t kMaxBulkPoints = 25'000;
struct BulkQuery {
  std::vector<std::string> run_ids;
  std::string key;
  int64_t max_results = kMaxBulkPoints;
};
// Histories of many runs, run by run in the order of their ids; runs that do not exist are left out.
base::Result<std::vector<Metric>> metric_history_bulk(store::Tx& tx, const BulkQuery& query);

struct IntervalQuery {
  std::vector<std::string> run_ids;
  std::string key;
  std::optional<int64_t> start_step;
  std::optional<int64_t> end_step;
  int64_t max_points = 2500;  // per run, evenly over the steps; first and last are always in
};
base::Result<std::vector<Metric>> metric_history_sampled(store::Tx& tx, const IntervalQuery& query);

}  // namespace track
