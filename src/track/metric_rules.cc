#include "track/metric_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "track/experiments.h"
#include "track/keys.h"
#include "track/points.h"
#include "track/runs.h"
#include "track/search.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::JsonWriter;
using base::Result;

namespace {

constexpr std::array<std::string_view, 4> kKinds = {"above", "below", "not_finite", "stalled"};
constexpr std::string_view kColumns =
    "SELECT id, rule_id, exp, name, kind, metric, threshold, silent_ms, filter, created_ms, created_by "
    "FROM track_metric_rules WHERE project = ?";

MetricRule read(store::Rows& rows) {
  MetricRule rule;
  rule.row = rows.i64(0);
  rule.id = rows.str(1);
  rule.experiment = rows.i64(2);
  rule.name = rows.str(3);
  rule.kind = static_cast<RuleKind>(rows.i64(4));
  rule.metric = rows.str(5);
  rule.threshold = rows.f64(6);
  rule.silent_ms = rows.i64(7);
  rule.filter = rows.str(8);
  rule.created_ms = rows.i64(9);
  rule.created_by = rows.str(10);
  return rule;
}

Result<void> check(const MetricRule& rule) {
  if (rule.name.empty()) return invalid("a rule needs a name");
  TRY(check_length("name", kRuleNameChars, rule.name));
  const bool threshold = rule.kind == RuleKind::kAbove || rule.kind == RuleKind::kBelow;
  if (threshold && rule.metric.empty())
    return invalid("a rule of kind " + std::string(name(rule.kind)) + " needs a metric");
  if (!rule.metric.empty()) TRY(check_key(rule.metric, "metric"));
  if (threshold && !std::isfinite(rule.threshold)) return invalid("threshold must be a finite number");
  if (rule.kind == RuleKind::kStalled && (rule.silent_ms < 1000 || rule.silent_ms > kMaxSilentMs))
    return invalid("silent_s is " + std::to_string(rule.silent_ms / 1000) + "; allowed: 1 to " +
                   std::to_string(kMaxSilentMs / 1000));
  if (rule.filter.size() > kRuleFilterBytes)
    return invalid("filter has at most " + std::to_string(kRuleFilterBytes) + " bytes");
  if (const auto problem = check_run_filter(rule.filter))
    return invalid("filter is wrong at " + std::to_string(problem->at + 1) + ": " + problem->message);
  return {};
}

Result<bool> matches(store::Tx& tx, const MetricRule& rule, std::string_view run_id) {
  if (rule.filter.empty()) return true;
  RunSearch search;
  search.experiment_ids = {std::to_string(rule.experiment)};
  search.filter = "(" + rule.filter + ") AND attributes.run_id = '" + std::string(run_id) + "'";
  search.max_results = 1;
  const auto page = search_run_infos(tx, search);
  TRY(tx.status());
  return page && !page->rows.empty();
}

bool is_raised(store::Tx& tx, int64_t rule, std::string_view run_id) {
  return tx
      .query_i64("SELECT 1 FROM track_metric_alerts WHERE project = ? AND rule = ? AND run_id = ?", tx.project(), rule,
                 run_id)
      .has_value();
}

// What is kept beside a metric's latest value.
struct Latest {
  std::string metric;
  int64_t key = 0;
  double value = 0;
  bool is_nan = false;
  int64_t at_ms = 0, step = 0;
  std::optional<double> least, greatest;
};

std::vector<Latest> latest_of(store::Tx& tx, int64_t run, const std::string& metric) {
  std::vector<Latest> out;
  const auto key = metric.empty() ? std::optional<int64_t>() : find_key(tx, metric);
  if (!metric.empty() && !key) return out;
  auto rows = tx.query(
      "SELECT k.name, m.key_id, m.value, m.is_nan, m.at_ms, m.step, m.min_value, m.max_value FROM track_latest_metrics "
      "m JOIN track_keys k ON k.id = m.key_id WHERE m.project = ? AND m.run = ? AND (m.key_id = ? OR ? = 0) "
      "ORDER BY k.name",
      tx.project(), run, key.value_or(0), key.value_or(0));
  while (rows.next()) {
    Latest& one = out.emplace_back();
    one.metric = rows.str(0);
    one.key = rows.i64(1);
    one.value = rows.f64(2);
    one.is_nan = rows.boolean(3);
    one.at_ms = rows.i64(4);
    one.step = rows.i64(5);
    one.least = rows.opt_f64(6);
    one.greatest = rows.opt_f64(7);
  }
  return out;
}

void write_number(JsonWriter& json, std::string_view field, double value) {
  json.key(field);
  if (std::isfinite(value)) {
    json.value(value);
  } else {
    json.value(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
  }
}

std::string numbers_of(const MetricRule& rule, const Latest& latest, double value) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().field("metric", latest.metric);
  write_number(json, "value", value);
  if (rule.kind == RuleKind::kAbove || rule.kind == RuleKind::kBelow) json.field("threshold", rule.threshold);
  write_number(json, "last", latest.is_nan ? std::numeric_limits<double>::quiet_NaN() : latest.value);
  json.field("step", latest.step).field("at_ms", latest.at_ms).end_object();
  return text;
}

// The first value of the history that is no number: among the tail, or in a chunk that has one.
Result<bool> has_nan(store::Tx& tx, int64_t run, const Latest& latest) {
  if (latest.is_nan) return true;
  const Series series{run, latest.key};
  TRY_SET(const auto tail, load_tail(tx, series));
  if (std::ranges::any_of(tail, [](const Point& point) { return std::isnan(point.value); })) return true;
  const auto nans = tx.query_i64(
      "SELECT 1 FROM track_metric_chunks WHERE project = ? AND run = ? AND key_id = ? AND nans > 0 LIMIT 1",
      tx.project(), run, latest.key);
  return nans.has_value();
}

// The value by which the rule is crossed, if it is.
Result<std::optional<double>> crossing_value(store::Tx& tx, const MetricRule& rule, int64_t run, const Latest& latest) {
  constexpr double kMost = std::numeric_limits<double>::max();  // infinities are kept as this
  const auto some = [](double value) { return Result<std::optional<double>>(value); };
  const auto none = [] { return Result<std::optional<double>>(std::nullopt); };
  switch (rule.kind) {
    case RuleKind::kAbove:
      return latest.greatest && *latest.greatest > rule.threshold ? some(*latest.greatest) : none();
    case RuleKind::kBelow: return latest.least && *latest.least < rule.threshold ? some(*latest.least) : none();
    case RuleKind::kNotFinite: {
      if (latest.greatest && *latest.greatest >= kMost) return some(std::numeric_limits<double>::infinity());
      if (latest.least && *latest.least <= -kMost) return some(-std::numeric_limits<double>::infinity());
      TRY_SET(const bool nan, has_nan(tx, run, latest));
      return nan ? some(std::numeric_limits<double>::quiet_NaN()) : none();
    }
    case RuleKind::kStalled: return none();
  }
  return none();
}

// True when it was not raised before.
bool raise(store::Tx& tx, const MetricRule& rule, std::string_view run_id, std::string_view numbers) {
  const int64_t raised = tx.exec(
      "INSERT INTO track_metric_alerts (project, rule, run_id, exp, at_ms, numbers) VALUES (?, ?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      tx.project(), rule.row, run_id, rule.experiment, now_ms(tx), numbers);
  if (raised == 0) return false;
  std::string body;
  JsonWriter(body)
      .begin_object()
      .field("rule", rule.id)
      .field("name", rule.name)
      .field("kind", name(rule.kind))
      .field("experiment", std::to_string(rule.experiment))
      .key("numbers")
      .raw(numbers)
      .end_object();
  core::emit(tx, "run.alerted", "run", run_id, body);
  return true;
}

void note(store::Tx& tx, std::string_view kind, const MetricRule& rule) {
  std::string body;
  JsonWriter(body)
      .begin_object()
      .field("name", rule.name)
      .field("experiment", std::to_string(rule.experiment))
      .end_object();
  core::emit(tx, kind, "metric_rule", rule.id, body);
  core::audit(tx, kind, "metric_rule", rule.id, body);
}

}  // namespace

std::string_view name(RuleKind kind) { return kKinds[static_cast<size_t>(kind)]; }

std::optional<RuleKind> parse_rule_kind(std::string_view text) {
  const auto* const found = std::ranges::find(kKinds, text);
  if (found == kKinds.end()) return std::nullopt;
  return static_cast<RuleKind>(found - kKinds.begin());
}

Result<MetricRule> create_metric_rule(store::Tx& tx, std::string_view experiment_id, const MetricRule& given) {
  MetricRule rule = given;
  TRY(check(rule));
  TRY_SET(const Experiment experiment, active_experiment(tx, experiment_id));
  tx.lock("track.metric_rules", "");
  const auto count = tx.query_i64("SELECT COUNT(*) FROM track_metric_rules WHERE project = ?", tx.project());
  if (count.value_or(0) >= kRulesPerProject) {
    return base::fail(base::Code::kTooMany,
                      "a project has at most " + std::to_string(kRulesPerProject) + " rules on metrics");
  }
  rule.experiment = experiment.id;
  rule.id = tx.ctx().new_id("mr");
  rule.created_ms = now_ms(tx);
  rule.created_by = tx.ctx().actor.name;
  const auto row = tx.query_i64(
      "INSERT INTO track_metric_rules (project, rule_id, exp, name, kind, metric, threshold, silent_ms, filter, "
      "created_ms, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
      tx.project(), rule.id, rule.experiment, rule.name, static_cast<int64_t>(rule.kind), rule.metric, rule.threshold,
      rule.silent_ms, rule.filter, rule.created_ms, rule.created_by);
  TRY(tx.status());
  if (!row) return base::fail(base::Code::kAlreadyExists, "the experiment has a rule '" + rule.name + "' already");
  rule.row = *row;
  note(tx, "metric_rule.created", rule);
  return rule;
}

Result<MetricRule> get_metric_rule(store::Tx& tx, std::string_view id) {
  auto rows = tx.query(std::string(kColumns) + " AND rule_id = ?", tx.project(), id);
  if (rows.next()) return read(rows);
  TRY(tx.status());
  return base::not_found("there is no rule '" + std::string(id.substr(0, 100)) + "' on metrics");
}

std::vector<MetricRule> list_metric_rules(store::Tx& tx, std::optional<int64_t> experiment) {
  std::vector<MetricRule> out;
  auto rows = tx.query(std::string(kColumns) + " AND (exp = ? OR ? = 0) ORDER BY exp, name", tx.project(),
                       experiment.value_or(0), experiment.has_value());
  while (rows.next()) out.push_back(read(rows));
  return out;
}

Result<void> delete_metric_rule(store::Tx& tx, std::string_view id) {
  TRY_SET(const MetricRule rule, get_metric_rule(tx, id));
  tx.exec("DELETE FROM track_metric_alerts WHERE project = ? AND rule = ?", tx.project(), rule.row);
  tx.exec("DELETE FROM track_metric_rules WHERE project = ? AND id = ?", tx.project(), rule.row);
  note(tx, "metric_rule.deleted", rule);
  return tx.status();
}

std::vector<MetricAlert> list_metric_alerts(store::Tx& tx, const AlertQuery& query) {
  std::string sql =
      "SELECT m.rule_id, m.name, a.run_id, COALESCE(r.name, ''), a.exp, m.kind, a.at_ms, a.numbers "
      "FROM track_metric_alerts a JOIN track_metric_rules m ON m.project = a.project AND m.id = a.rule "
      "LEFT JOIN track_runs r ON r.project = a.project AND r.run_id = a.run_id WHERE a.project = ? AND a.at_ms < ?";
  std::vector<store::Param> params = {tx.project(), query.before_ms};
  if (query.experiment) sql += " AND a.exp = ?", params.emplace_back(*query.experiment);
  if (!query.run_id.empty()) sql += " AND a.run_id = ?", params.emplace_back(query.run_id);
  if (!query.rule.empty()) sql += " AND m.rule_id = ?", params.emplace_back(query.rule);
  params.emplace_back(query.limit);
  std::vector<MetricAlert> out;
  auto rows = tx.open(sql + " ORDER BY a.at_ms DESC, a.rule, a.run_id LIMIT ?", params);
  while (rows.next()) {
    out.push_back({rows.str(0), rows.str(1), rows.str(2), rows.str(3), rows.i64(4), static_cast<RuleKind>(rows.i64(5)),
                   rows.i64(6), rows.str(7)});
  }
  return out;
}

Result<std::vector<Crossing>> crossings(store::Tx& tx, std::string_view run_id, const std::vector<MetricRule>& rules) {
  std::vector<Crossing> out;
  const auto run = get_run_info(tx, run_id);
  TRY(tx.status());
  if (!run || run->deleted) return out;
  for (const MetricRule& rule : rules) {
    if (rule.experiment != run->experiment || rule.kind == RuleKind::kStalled) continue;
    // What had ended before anybody asked is not news.
    if (run->end_ms && *run->end_ms < rule.created_ms) continue;
    if (is_raised(tx, rule.row, run_id)) continue;
    for (const Latest& latest : latest_of(tx, run->row, rule.metric)) {
      TRY_SET(const auto value, crossing_value(tx, rule, run->row, latest));
      if (!value) continue;
      TRY_SET(const bool concerned, matches(tx, rule, run_id));
      if (concerned) out.push_back({rule.row, numbers_of(rule, latest, *value)});
      break;
    }
  }
  TRY(tx.status());
  return out;
}

Result<std::vector<SilentRun>> silent_runs(store::Tx& tx, const MetricRule& rule, int64_t now_ms) {
  const auto key = rule.metric.empty() ? std::optional<int64_t>(0) : find_key(tx, rule.metric);
  std::vector<SilentRun> found;
  {
    auto rows = tx.query(
        "SELECT r.run_id, COALESCE((SELECT MAX(m.at_ms) FROM track_latest_metrics m WHERE m.project = r.project AND "
        "m.run = r.id AND (m.key_id = ? OR ? = 0)), 0), COALESCE(r.start_ms, 0) FROM track_runs r WHERE r.project = ? "
        "AND r.exp = ? AND r.status = ? AND r.deleted = 0 AND NOT EXISTS (SELECT 1 FROM track_metric_alerts a WHERE "
        "a.project = r.project AND a.rule = ? AND a.run_id = r.run_id) ORDER BY r.id DESC LIMIT ?",
        key.value_or(-1), key.value_or(-1), tx.project(), rule.experiment, static_cast<int64_t>(RunStatus::kRunning),
        rule.row, kRunsLookedAt);
    while (rows.next()) {
      const int64_t last = std::max({rows.i64(1), rows.i64(2), rule.created_ms});
      if (last + rule.silent_ms <= now_ms) found.push_back({rows.str(0), last});
    }
  }
  TRY(tx.status());
  std::vector<SilentRun> out;
  for (SilentRun& run : found) {
    TRY_SET(const bool concerned, matches(tx, rule, run.run_id));
    if (concerned) out.push_back(std::move(run));
  }
  return out;
}

Result<int64_t> raise_alerts(store::Tx& tx, std::string_view run_id, const std::vector<Crossing>& crossings) {
  int64_t raised = 0;
  for (const Crossing& crossing : crossings) {
    std::optional<MetricRule> rule;
    {
      auto rows = tx.query(std::string(kColumns) + " AND id = ?", tx.project(), crossing.rule);
      if (rows.next()) rule = read(rows);
    }
    if (rule && raise(tx, *rule, run_id, crossing.numbers)) ++raised;  // none: it was deleted meanwhile
  }
  TRY(tx.status());
  return raised;
}

Result<void> raise_stalled(store::Tx& tx, const MetricRule& rule, const SilentRun& run) {
  const auto now = get_run_info(tx, run.run_id);
  TRY(tx.status());
  if (!now || now->deleted || now->status != RunStatus::kRunning) return {};
  TRY(get_metric_rule(tx, rule.id));
  std::string numbers;
  JsonWriter(numbers)
      .begin_object()
      .field("metric", rule.metric)
      .field("last_ms", run.last_ms)
      .field("silent_s", (now_ms(tx) - run.last_ms) / 1000)
      .field("allowed_s", rule.silent_ms / 1000)
      .end_object();
  raise(tx, rule, run.run_id, numbers);
  return tx.status();
}

Result<std::vector<std::string>> recent_runs(store::Tx& tx, int64_t experiment, int64_t since_ms) {
  std::vector<std::string> out;
  auto rows = tx.query(
      "SELECT run_id FROM track_runs WHERE project = ? AND exp = ? AND deleted = 0 AND (status = ? OR end_ms >= ?) "
      "ORDER BY id DESC LIMIT ?",
      tx.project(), experiment, static_cast<int64_t>(RunStatus::kRunning), since_ms, kRunsLookedAt);
  while (rows.next()) out.push_back(rows.str(0));
  TRY(tx.status());
  return out;
}

std::vector<int64_t> projects_with_rules(store::Tx& tx) {
  std::vector<int64_t> out;
  auto rows = tx.query("SELECT DISTINCT project FROM track_metric_rules ORDER BY project");
  while (rows.next()) out.push_back(rows.i64(0));
  return out;
}

void drop_rules(store::Tx& tx, int64_t experiment) {
  tx.exec("DELETE FROM track_metric_alerts WHERE project = ? AND exp = ?", tx.project(), experiment);
  tx.exec("DELETE FROM track_metric_rules WHERE project = ? AND exp = ?", tx.project(), experiment);
}

void drop_alerts(store::Tx& tx, std::string_view run_id) {
  tx.exec("DELETE FROM track_metric_alerts WHERE project = ? AND run_id = ?", tx.project(), run_id);
}

}  // namespace track
