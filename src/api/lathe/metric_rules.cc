#include "api/lathe/metric_rules.h"

#include "api/lathe/errors.h"
#include "api/lathe/limits.h"
#include "api/lathe/page_args.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "track/experiments.h"
#include "track/metric_rules.h"

namespace api::lathe {

namespace {

using base::JsonWriter;
using base::Result;
using store::Tx;

constexpr net::RouteLimits kNoBody{.body_bytes = 0};
constexpr net::RouteLimits kBody{.body_bytes = size_t{64} << 10};
constexpr int64_t kMostAlerts = 1000;

void write_rule(JsonWriter& json, const track::MetricRule& rule) {
  json.begin_object().field("id", rule.id).field("experiment", std::to_string(rule.experiment));
  json.field("name", rule.name).field("kind", track::name(rule.kind)).field("metric", rule.metric);
  if (rule.kind == track::RuleKind::kAbove || rule.kind == track::RuleKind::kBelow)
    json.field("threshold", rule.threshold);
  if (rule.kind == track::RuleKind::kStalled) json.field("silent_s", static_cast<double>(rule.silent_ms) / 1000);
  json.field("filter", rule.filter).field("created_ms", rule.created_ms).field("created_by", rule.created_by);
  json.end_object();
}

struct NewRule {
  std::string experiment;
  track::MetricRule rule;
};

Result<NewRule> parse_rule(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  constexpr std::string_view kFields = "experiment, name, kind, metric, threshold, silent_s, filter";
  for (const auto& field : *object) {
    const std::string key(field.key());
    if ((", " + std::string(kFields) + ",").find(", " + key + ",") == std::string::npos)
      return base::invalid("unknown field '" + key + "'; allowed: " + std::string(kFields));
  }
  NewRule out;
  TRY_SET(out.experiment, base::required_string(*object, "experiment"));
  TRY_SET(out.rule.name, base::required_string(*object, "name"));
  TRY_SET(const std::string kind, base::required_string(*object, "kind"));
  const auto parsed = track::parse_rule_kind(kind);
  if (!parsed) return base::invalid("kind is '" + kind + "'; allowed: above, below, not_finite, stalled");
  out.rule.kind = *parsed;
  TRY_SET(auto metric, base::optional_string(*object, "metric"));
  TRY_SET(auto filter, base::optional_string(*object, "filter"));
  TRY_SET(const auto threshold, base::optional_double(*object, "threshold"));
  TRY_SET(const auto silent_s, base::optional_double(*object, "silent_s"));
  const bool compares = *parsed == track::RuleKind::kAbove || *parsed == track::RuleKind::kBelow;
  if (compares && !threshold) return base::invalid("a rule of kind " + kind + " needs a threshold");
  const bool waits = *parsed == track::RuleKind::kStalled;
  if (waits && !silent_s) return base::invalid("a rule of kind stalled needs silent_s");
  constexpr double kMostSeconds = static_cast<double>(track::kMaxSilentMs) / 1000;
  if (waits && !(*silent_s >= 1 && *silent_s <= kMostSeconds))
    return base::invalid("silent_s must be a number of seconds from 1 to " +
                         std::to_string(track::kMaxSilentMs / 1000));
  out.rule.metric = metric.value_or("");
  out.rule.filter = filter.value_or("");
  out.rule.threshold = compares ? *threshold : 0;
  out.rule.silent_ms = waits ? static_cast<int64_t>(*silent_s * 1000) : 0;
  return out;
}

base::Task<void> create(const MetricRulesDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto given = parse_rule(*body);
  if (!given) co_return fail(response, request, given.error());
  const Limits limits = limits_of(request);
  auto act = [&](Tx& tx) -> Result<track::MetricRule> {
    TRY(check_experiment(tx, limits, given->experiment, base::Level::kEdit));
    return track::create_metric_rule(tx, given->experiment, given->rule);
  };
  const auto made = co_await door.store.write(request.ctx, act);
  if (!made) co_return fail(response, request, made.error());
  door.changed();
  std::string text;
  JsonWriter json(text);
  write_rule(json, *made);
  response.send_json(std::move(text), 201);
}

// The experiment that is asked about. Callers from whom some are hidden must name one.
Result<std::optional<int64_t>> experiment_asked(Tx& tx, const Limits& limits, const std::string& id) {
  if (id.empty() && limits && !limits->reads_all()) return base::invalid("name an experiment: ?experiment=ID");
  if (id.empty()) return std::optional<int64_t>();
  TRY(check_experiment(tx, limits, id, base::Level::kRead));
  TRY_SET(const track::Experiment found, track::get_experiment(tx, id));
  return std::optional(found.id);
}

base::Task<void> list(const MetricRulesDoor& door, net::Request& request, net::Response& response) {
  const std::string experiment = PageArgs(request).text("experiment");
  const Limits limits = limits_of(request);
  auto act = [&](Tx& tx) -> Result<std::vector<track::MetricRule>> {
    TRY_SET(const auto asked, experiment_asked(tx, limits, experiment));
    auto rules = track::list_metric_rules(tx, asked);
    TRY(tx.status());
    return rules;
  };
  const auto rules = co_await door.store.read(request.ctx, act);
  if (!rules) co_return fail(response, request, rules.error());
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("rules").begin_array();
  for (const track::MetricRule& rule : *rules) write_rule(json, rule);
  json.end_array().end_object();
  response.send_json(std::move(text));
}

base::Task<void> remove(const MetricRulesDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const Limits limits = limits_of(request);
  auto act = [&](Tx& tx) -> Result<void> {
    TRY_SET(const track::MetricRule rule, track::get_metric_rule(tx, id));
    TRY(check_experiment(tx, limits, std::to_string(rule.experiment), base::Level::kEdit));
    return track::delete_metric_rule(tx, id);
  };
  const auto gone = co_await door.store.write(request.ctx, act);
  if (!gone) co_return fail(response, request, gone.error());
  door.changed();
  response.send(204, "", "");
}

base::Task<void> alerts(const MetricRulesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  track::AlertQuery query;
  const std::string experiment = args.text("experiment");
  query.run_id = args.text("run");
  query.rule = args.text("rule");
  query.limit = args.integer("limit", 100, 1, kMostAlerts);
  if (const auto before = args.integer("before_ms")) query.before_ms = *before;
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  const Limits limits = limits_of(request);
  auto act = [&](Tx& tx) -> Result<std::vector<track::MetricAlert>> {
    TRY_SET(query.experiment, experiment_asked(tx, limits, experiment));
    auto found = track::list_metric_alerts(tx, query);
    TRY(tx.status());
    return found;
  };
  const auto found = co_await door.store.read(request.ctx, act);
  if (!found) co_return fail(response, request, found.error());
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("alerts").begin_array();
  for (const track::MetricAlert& alert : *found) {
    json.begin_object().field("rule", alert.rule).field("name", alert.rule_name).field("kind", track::name(alert.kind));
    json.field("run", alert.run_id).field("run_name", alert.run_name);
    json.field("experiment", std::to_string(alert.experiment)).field("at_ms", alert.at_ms);
    json.key("numbers").raw(alert.numbers).end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(text));
}

}  // namespace

void add_metric_rule_routes(net::RouteTable& routes, const MetricRulesDoor& door) {
  using net::Method;
  const auto add = guarded_route_adder(routes, door);
  add(Method::kGet, "/metric-rules", base::Permission::kRead, kNoBody, list);
  add(Method::kPost, "/metric-rules", base::Permission::kWrite, kBody, create);
  add(Method::kDelete, "/metric-rules/{id}", base::Permission::kWrite, kNoBody, remove);
  add(Method::kGet, "/metric-alerts", base::Permission::kRead, kNoBody, alerts);
}

}  // namespace api::lathe
