#include "traces/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <span>

#include "base/clock.h"
#include "traces/span.h"
#include "traces/traces.h"
#include "track/search_lexer.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

using base::invalid;
using base::Result;
using track::SqlText;
using track::Value;

namespace {

struct Dimension {
  std::string_view name, column;
};
struct Metric {
  std::string_view name, column;
  bool counted;  // COUNT only
  bool summed;   // SUM is offered
  std::span<const Dimension> dimensions;
};

constexpr std::array kTraceDimensions = {Dimension{"trace_name", "t.name"}, Dimension{"trace_status", "t.state"}};
constexpr std::span<const Dimension> kTraceName(kTraceDimensions.data(), 1);
constexpr std::array kSpanDimensions = {Dimension{"span_name", "s.name"}, Dimension{"span_status", "s.status"},
                                        Dimension{"span_type", "s.type"}, Dimension{"span_model_name", "s.model"},
                                        Dimension{"span_model_provider", "s.provider"}};
constexpr std::span<const Dimension> kSpanNameStatus(kSpanDimensions.data(), 2);
constexpr std::span<const Dimension> kSpanModel(kSpanDimensions.data() + 3, 2);
constexpr std::array kAssessmentDimensions = {Dimension{"assessment_name", "a.name"},
                                              Dimension{"assessment_value", "a.value"}};
constexpr std::span<const Dimension> kAssessmentName(kAssessmentDimensions.data(), 1);

constexpr std::array kTraceMetrics = {
    Metric{"trace_count", "t.id", true, false, kTraceDimensions},
    Metric{"session_count", "t.session", true, false, {}},
    Metric{"latency", "t.duration_ms", false, false, kTraceName},
    Metric{"input_tokens", "t.input_tokens", false, true, kTraceName},
    Metric{"output_tokens", "t.output_tokens", false, true, kTraceName},
    Metric{"total_tokens", "t.total_tokens", false, true, kTraceName},
    Metric{"cache_read_input_tokens", "t.cache_read_tokens", false, true, kTraceName},
    Metric{"cache_creation_input_tokens", "t.cache_creation_tokens", false, true, kTraceName},
};
constexpr std::array kSpanMetrics = {
    Metric{"span_count", "s.id", true, false, kSpanDimensions},
    Metric{"latency", "(s.end_ns - s.start_ns) / 1000000", false, false, kSpanNameStatus},
    Metric{"input_cost", "s.input_cost", false, true, kSpanModel},
    Metric{"output_cost", "s.output_cost", false, true, kSpanModel},
    Metric{"total_cost", "s.total_cost", false, true, kSpanModel},
};
constexpr std::array kAssessmentMetrics = {
    Metric{"assessment_count", "a.id", true, false, kAssessmentDimensions},
    Metric{"assessment_value", "a.number", false, false, kAssessmentName},
};

std::span<const Metric> metrics_of(Figure of) {
  switch (of) {
    case Figure::kTraces: return kTraceMetrics;
    case Figure::kSpans: return kSpanMetrics;
    case Figure::kAssessments: return kAssessmentMetrics;
  }
  return {};
}

std::string_view name(Aggregate type) {
  switch (type) {
    case Aggregate::kCount: return "COUNT";
    case Aggregate::kSum: return "SUM";
    case Aggregate::kAvg: return "AVG";
    case Aggregate::kPercentile: return "PERCENTILE";
    case Aggregate::kMin: return "MIN";
    case Aggregate::kMax: return "MAX";
  }
  return "COUNT";
}

std::string label(const Aggregation& aggregation) {
  if (aggregation.type != Aggregate::kPercentile) return std::string(name(aggregation.type));
  std::string out = "P";
  append_python_double(out, aggregation.percentile);
  return out;
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : ", ").append(track::python_repr(word));
  return "[" + out + "]";
}

bool offers(const Metric& metric, Aggregate type) {
  if (type == Aggregate::kCount) return metric.counted;
  return !metric.counted && (type != Aggregate::kSum || metric.summed);
}

Result<const Metric*> find_metric(const FigureQuery& query) {
  std::vector<std::string> names;
  for (const Metric& metric : metrics_of(query.of)) {
    if (metric.name == query.metric) return &metric;
    names.emplace_back(metric.name);
  }
  return invalid("metric_name must be one of " + listed(names) + ", got " + track::python_repr(query.metric));
}

Result<void> check_aggregations(const FigureQuery& query, const Metric& metric) {
  std::vector<std::string> wrong, right;
  for (const Aggregation& asked : query.aggregations) {
    if (!offers(metric, asked.type)) wrong.emplace_back(name(asked.type));
    if (asked.type == Aggregate::kPercentile && !(asked.percentile >= 0 && asked.percentile <= 100)) {
      return invalid("percentile_value must be between 0 and 100");
    }
  }
  if (wrong.empty()) return {};
  for (const Aggregate type : {Aggregate::kAvg, Aggregate::kCount, Aggregate::kMax, Aggregate::kMin,
                               Aggregate::kPercentile, Aggregate::kSum}) {
    if (offers(metric, type)) right.emplace_back(name(type));
  }
  std::ranges::sort(wrong);
  return invalid("Found invalid aggregation_type(s): " + listed(wrong) +
                 ". Supported aggregation types: " + listed(right));
}

Result<std::vector<Dimension>> find_dimensions(const FigureQuery& query, const Metric& metric) {
  std::vector<Dimension> out;
  std::vector<std::string> wrong, right;
  for (const Dimension& offered : metric.dimensions) right.emplace_back(offered.name);
  for (const std::string& asked : query.dimensions) {
    const auto found = std::ranges::find(metric.dimensions, asked, &Dimension::name);
    found == metric.dimensions.end() ? wrong.push_back(asked) : out.push_back(*found);
  }
  if (wrong.empty()) return out;
  std::ranges::sort(right);
  return invalid("Found invalid dimension(s): " + listed(wrong) + ". Supported dimensions: " + listed(right));
}

// --- filters: "<view>.<field>[.<key>] = '<value>'" ------------------------------------------------------------------

struct Condition {
  std::string view, field, key, value;
};

Result<Condition> parse_condition(std::string_view text) {
  if (text.size() > track::kMaxFilterBytes) return invalid("a filter is too long");
  track::Lexer lexer(text);
  TRY_SET(const track::Token named, lexer.next());
  TRY_SET(const track::Token sign, lexer.next());
  if (sign.kind == track::Token::Kind::kOperator && sign.text != "=") {
    return invalid("Invalid comparator: '" + std::string(sign.text) + "', only '=' operator is supported");
  }
  TRY_SET(const track::Token value, lexer.next());
  TRY_SET(const track::Token end, lexer.next());
  const bool is_text = value.kind == track::Token::Kind::kText || value.double_quoted;
  if (named.kind != track::Token::Kind::kName || sign.kind != track::Token::Kind::kOperator || !is_text ||
      end.kind != track::Token::Kind::kEnd) {
    return invalid("Invalid filter: '" + std::string(text) + "'. Expected one comparison such as trace.status = 'OK'");
  }
  Condition out;
  std::string_view rest = named.text;
  const auto take = [&] {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    rest = dot == rest.npos ? std::string_view() : rest.substr(dot + 1);
    return std::string(part);
  };
  const auto unquoted = [](std::string_view part) {
    if (part.size() >= 2 && (part[0] == '`' || part[0] == '"') && part.back() == part[0])
      part = part.substr(1, part.size() - 2);
    return std::string(part);
  };
  out.view = unquoted(take());
  out.field = unquoted(take());
  out.key = unquoted(rest);
  out.value = unquoted(value.text);
  return out;
}

Result<void> add_trace_condition(SqlText& where, const Condition& condition) {
  if (condition.field == "status" && condition.key.empty()) {
    where.add(" AND t.state = ").bind(Value::of(condition.value));
    return {};
  }
  if ((condition.field != "tag" && condition.field != "metadata") || condition.key.empty()) {
    return invalid("Invalid entity '" + condition.field +
                   "' specified for view type 'trace'. Valid are "
                   "trace.status, trace.tag.<key> and trace.metadata.<key>");
  }
  const bool tag = condition.field == "tag";
  if ((tag && condition.key == kTraceNameTag) || (!tag && condition.key == kSessionKey)) {
    where.add(tag ? " AND t.name = " : " AND t.session = ").bind(Value::of(condition.value));
    return {};
  }
  where.add(" AND (EXISTS (SELECT 1 FROM ").add(tag ? "trace_tags" : "trace_metadata");
  where.add(" x WHERE x.project = t.project AND x.trace = t.id AND x.key = ").bind(Value::of(condition.key));
  where.add(" AND x.value = ").bind(Value::of(condition.value)).add(")");
  if (!tag && condition.key == kSourceRunKey) {
    where.add(" OR EXISTS (SELECT 1 FROM trace_runs l WHERE l.project = t.project AND l.trace = t.id AND l.run_id = ");
    where.bind(Value::of(condition.value)).add(")");
  }
  where.add(")");
  return {};
}

Result<void> add_conditions(SqlText& where, const FigureQuery& query) {
  if (query.filters.size() > kFigureFilters) {
    return invalid("at most " + std::to_string(kFigureFilters) + " filters can be given");
  }
  for (const std::string& text : query.filters) {
    TRY_SET(const Condition condition, parse_condition(text));
    if (condition.view == "trace") {
      TRY(add_trace_condition(where, condition));
      continue;
    }
    const bool span = condition.view == "span" && query.of == Figure::kSpans;
    const bool assessment = condition.view == "assessment" && query.of == Figure::kAssessments;
    std::string_view column;
    if (span && condition.field == "name") column = "s.name";
    if (span && condition.field == "status") column = "s.status";
    if (span && condition.field == "type") column = "s.type";
    if (assessment && condition.field == "name") column = "a.name";
    if (assessment && condition.field == "type") column = "a.kind";
    if (column.empty() || !condition.key.empty()) {
      return invalid("Invalid filter: '" + text + "': this view has no such field");
    }
    where.add(" AND ").add(column).add(" = ").bind(Value::of(condition.value));
  }
  return {};
}

// --- the question ---------------------------------------------------------------------------------------------------

struct Group {
  std::vector<double> values;
  std::set<std::string> sessions;
  int64_t count = 0;
};

void add_source(SqlText& text, const FigureQuery& query) {
  text.add(" FROM traces t");
  if (query.of == Figure::kSpans) text.add(" JOIN trace_spans s ON s.project = t.project AND s.trace = t.id");
  if (query.of == Figure::kAssessments) {
    text.add(" JOIN trace_assessments a ON a.project = t.project AND a.trace = t.id");
  }
}

// Costs of spans are counted when the span began, everything else when its trace did.
std::string_view time_column(const FigureQuery& query) {
  const bool cost = query.of == Figure::kSpans && query.metric.ends_with("_cost");
  return cost ? "s.start_ns / 1000000" : "t.start_ms";
}

void add_scope(SqlText& text, const FigureQuery& query, int64_t project, const std::vector<int64_t>& experiments) {
  text.add(" WHERE t.project = ").bind(Value::of(project)).add(" AND t.exp IN ").bind_list(experiments);
  if (query.of == Figure::kAssessments) text.add(" AND a.valid = 1");
  const std::string_view time = time_column(query);
  if (query.from_ms) text.add(" AND ").add(time).add(" >= ").bind(Value::of(*query.from_ms));
  if (query.to_ms) text.add(" AND ").add(time).add(" <= ").bind(Value::of(*query.to_ms));
}

std::string bucket_text(int64_t ms) {
  std::string text = base::format_iso8601(ms * 1000);  // …:00.000000Z
  text.resize(19);
  if (ms % 1000 != 0) {
    std::string decimals = std::to_string(ms % 1000);
    text += "." + std::string(3 - decimals.size(), '0') + decimals + "000";
  }
  return text + "+00:00";
}

double aggregate(Group& group, const Aggregation& asked) {
  switch (asked.type) {
    case Aggregate::kCount: return static_cast<double>(group.count);
    case Aggregate::kMin: return group.values.front();
    case Aggregate::kMax: return group.values.back();
    case Aggregate::kPercentile: return percentile(group.values, asked.percentile);
    case Aggregate::kSum:
    case Aggregate::kAvg: {
      double sum = 0;
      for (const double value : group.values) sum += value;
      return asked.type == Aggregate::kSum ? sum : sum / static_cast<double>(group.values.size());
    }
  }
  return 0;
}

struct Key {
  int64_t bucket = 0;
  std::vector<std::string> parts;
  auto operator<=>(const Key&) const = default;
};

Result<std::map<Key, Group>> collect(store::Tx& tx, const FigureQuery& query, const Metric& metric,
                                     const std::vector<Dimension>& dimensions,
                                     const std::vector<int64_t>& experiments) {
  const bool sessions = metric.name == "session_count";
  SqlText text;
  text.add("SELECT ").add(time_column(query)).add(", ").add(metric.column);
  for (const Dimension& dimension : dimensions) text.add(", ").add(dimension.column);
  add_source(text, query);
  add_scope(text, query, tx.project(), experiments);
  text.add(" AND ").add(metric.column).add(" IS NOT NULL");
  for (const Dimension& dimension : dimensions) text.add(" AND ").add(dimension.column).add(" IS NOT NULL");
  TRY(add_conditions(text, query));
  text.add(" LIMIT ").bind(Value::of(kFigureRows + 1));
  std::map<Key, Group> groups;
  auto rows = track::open(tx, text);
  int64_t seen = 0;
  while (rows.next()) {
    if (++seen > kFigureRows) {
      return base::fail(base::Code::kTooLarge, "The question covers more than " + std::to_string(kFigureRows) +
                                                   " values; narrow the time or the filters");
    }
    Key key;
    if (query.interval_s) {
      const int64_t size = *query.interval_s * 1000, at = rows.i64(0);
      key.bucket = (at >= 0 ? at / size : (at - size + 1) / size) * size;
    }
    for (size_t i = 0; i < dimensions.size(); ++i) key.parts.push_back(rows.str(static_cast<int>(i) + 2));
    Group& group = groups[std::move(key)];
    if (sessions) {
      group.sessions.insert(rows.str(1));
      group.count = static_cast<int64_t>(group.sessions.size());
    } else if (metric.counted) {
      ++group.count;
    } else {
      group.values.push_back(rows.f64(1));
    }
    if (static_cast<int64_t>(groups.size()) > kFigureRows / 10) {
      return base::fail(base::Code::kTooLarge, "The dimensions have too many values");
    }
  }
  TRY(tx.status());
  return groups;
}

}  // namespace

double percentile(const std::vector<double>& sorted, double percent) {
  const double place = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = place - static_cast<double>(below);
  return sorted[below] + share * (sorted[above] - sorted[below]);
}

Result<std::vector<FigurePoint>> figures(store::Tx& tx, const FigureQuery& query) {
  TRY_SET(const Metric* metric, find_metric(query));
  TRY(check_aggregations(query, *metric));
  TRY_SET(const std::vector<Dimension> dimensions, find_dimensions(query, *metric));
  if (query.interval_s && (!query.from_ms || !query.to_ms)) {
    return invalid("start_time_ms and end_time_ms are required if time_interval_seconds is set");
  }
  if (query.interval_s && (*query.interval_s < 1 || *query.interval_s > 1'000'000'000)) {
    return invalid("time_interval_seconds must be at least 1");
  }
  if (query.max_results < 1 || query.max_results > kFigurePoints) {
    return invalid("max_results must be between 1 and " + std::to_string(kFigurePoints));
  }
  std::vector<int64_t> experiments;
  for (const std::string& id : query.experiment_ids) {
    TRY_SET(experiments.emplace_back(), track::parse_experiment_id(id));
  }
  std::vector<FigurePoint> out;
  if (experiments.empty()) return out;
  TRY_SET(auto groups, collect(tx, query, *metric, dimensions, experiments));
  if (groups.empty() && metric->counted && dimensions.empty() && !query.interval_s)
    groups[Key{}];  // a count of nothing
  for (auto& [key, group] : groups) {
    if (static_cast<int64_t>(out.size()) == query.max_results) break;
    std::ranges::sort(group.values);
    FigurePoint& point = out.emplace_back();
    point.metric = query.metric;
    if (query.interval_s) point.dimensions.emplace_back("time_bucket", bucket_text(key.bucket));
    for (size_t i = 0; i < dimensions.size(); ++i) point.dimensions.emplace_back(dimensions[i].name, key.parts[i]);
    for (const Aggregation& asked : query.aggregations)
      point.values.emplace_back(label(asked), aggregate(group, asked));
  }
  return out;
}

}  // namespace traces
