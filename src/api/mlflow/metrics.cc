#include "track/metrics.h"

#include <algorithm>

#include "api/mlflow/door.h"
#include "api/mlflow/json.h"

namespace api::mlflow {

using base::JsonWriter;
using net::Method;

namespace {

constexpr int64_t kMaxSampledPoints = 2500;  // per run

track::HistoryQuery parse_history(Args& args) {
  track::HistoryQuery query;
  query.run_id = args.run_id();
  query.key = args.required_text("metric_key");
  query.max_results = args.integer("max_results");
  query.page_token = args.text("page_token");
  return query;
}

void render_history(JsonWriter& json, const track::Page<track::Metric>& page) {
  if (!page.rows.empty()) {
    json.key("metrics").begin_array();
    for (const track::Metric& metric : page.rows) write(json, metric);
    json.end_array();
  }
  if (!page.next_token.empty()) json.field("next_page_token", page.next_token);
}

void render_list(JsonWriter& json, const std::vector<track::Metric>& metrics) {
  json.key("metrics").begin_array();
  for (const track::Metric& metric : metrics) write(json, metric);
  json.end_array();
}

void check_run_count(Args& args, size_t count, std::string_view call, std::string_view name) {
  if (count == 0) {
    args.fail(
        {base::Code::kInvalid, std::string(call) + " request must specify at least one " + std::string(name) + "."});
  } else if (count > track::kMaxBulkRuns) {
    args.fail({base::Code::kInvalid, std::string(call) + " request cannot specify more than " +
                                         std::to_string(track::kMaxBulkRuns) + " run_ids. Received " +
                                         std::to_string(count) + " run_ids."});
  }
}

track::BulkQuery parse_bulk(Args& args) {
  track::BulkQuery query;
  query.run_ids = args.texts("run_id");
  check_run_count(args, query.run_ids.size(), "GetMetricHistoryBulk", "run_id");
  if (!args.has("metric_key")) {
    args.fail({base::Code::kInvalid, "GetMetricHistoryBulk request must specify a metric_key."});
  }
  query.key = args.text("metric_key");
  query.max_results =
      std::clamp<int64_t>(args.integer("max_results").value_or(track::kMaxBulkPoints), 0, track::kMaxBulkPoints);
  return query;
}

track::IntervalQuery parse_interval(Args& args) {
  track::IntervalQuery query;
  query.run_ids = args.texts("run_ids");
  if (query.run_ids.empty()) args.missing("run_ids");
  check_run_count(args, query.run_ids.size(), "GetMetricHistoryBulkInterval", "run_id");
  query.key = args.required_text("metric_key");
  query.start_step = args.integer("start_step");
  query.end_step = args.integer("end_step");
  query.max_points = args.integer("max_results").value_or(kMaxSampledPoints);
  if (query.max_points < 1 || query.max_points > kMaxSampledPoints) {
    args.fail({base::Code::kInvalid,
               "max_results must be between 1 and " + std::to_string(kMaxSampledPoints) + "." + std::string(kSeeDocs)});
  }
  if (query.start_step.has_value() != query.end_step.has_value()) {
    args.fail({base::Code::kInvalid, "If either start step or end step are specified, both must be specified."});
  } else if (query.start_step && *query.start_step > *query.end_step) {
    args.fail({base::Code::kInvalid,
               "end_step must be greater than start_step. Found start_step=" + std::to_string(*query.start_step) +
                   " and end_step=" + std::to_string(*query.end_step) + "."});
  }
  return query;
}

}  // namespace

void add_metric_routes(Door& door) {
  door.read(Method::kGet, "metrics/get-history", parse_history, track::metric_history, render_history);
  door.read(Method::kGet, "metrics/get-history-bulk", parse_bulk, track::metric_history_bulk, render_list);
  door.read(Method::kGet, "metrics/get-history-bulk-interval", parse_interval, track::metric_history_sampled,
            [](JsonWriter& json, const std::vector<track::Metric>& metrics) {
              if (!metrics.empty()) render_list(json, metrics);
            });
}

}  // namespace api::mlflow
