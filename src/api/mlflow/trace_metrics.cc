// POST …/traces/metrics: figures for charts.
#include "api/mlflow/door.h"
#include "traces/statistics.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;
using net::Method;

namespace {

constexpr std::string_view kViews[] = {"TRACES", "SPANS", "ASSESSMENTS"};
constexpr std::string_view kAggregates[] = {"COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX"};

traces::FigureQuery parse(Args& args) {
  traces::FigureQuery out;
  out.experiment_ids = args.texts("experiment_ids");
  if (out.experiment_ids.empty()) args.missing("experiment_ids");
  if (!args.has("view_type")) args.missing("view_type");
  out.of = static_cast<traces::Figure>(args.choice("view_type", kViews, 1).value_or(1));
  out.metric = args.required_text("metric_name");
  const auto aggregations = args.objects("aggregations");
  if (aggregations.empty()) args.missing("aggregations");
  for (size_t i = 0; i < aggregations.size(); ++i) {
    const std::string where = "aggregations[" + std::to_string(i) + "]";
    traces::Aggregation& added = out.aggregations.emplace_back();
    const auto type = args.choice_in(*aggregations[i], "aggregation_type", where, kAggregates, 1);
    if (!type) args.missing(where + ".aggregation_type");
    added.type = static_cast<traces::Aggregate>(type.value_or(1));
    if (added.type == traces::Aggregate::kPercentile) {
      added.percentile = args.number_in(*aggregations[i], "percentile_value", where);
    }
  }
  out.dimensions = args.texts("dimensions");
  out.filters = args.texts("filters");
  if (const auto seconds = args.integer("time_interval_seconds"); seconds && *seconds != 0) out.interval_s = seconds;
  out.from_ms = args.integer("start_time_ms");
  out.to_ms = args.integer("end_time_ms");
  out.max_results = args.integer("max_results").value_or(traces::kDefaultFigurePoints);
  return out;
}

void render(JsonWriter& out, const std::vector<traces::FigurePoint>& points) {
  if (points.empty()) return;
  out.key("data_points").begin_array();
  for (const traces::FigurePoint& point : points) {
    out.begin_object().field("metric_name", point.metric);
    if (!point.dimensions.empty()) {
      out.key("dimensions").begin_object();
      for (const auto& [key, value] : point.dimensions) out.field(key, value);
      out.end_object();
    }
    out.key("values").begin_object();
    for (const auto& [key, value] : point.values) out.field(key, value);
    out.end_object().end_object();
  }
  out.end_array();
}

}  // namespace

void add_trace_metric_routes(Door& door) { door.read(Method::kPost, "traces/metrics", parse, traces::figures, render); }

}  // namespace api::mlflow
