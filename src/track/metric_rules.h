// Rules on metrics of an experiment's runs, and the alerts they raise: a value above or below a threshold, one that is
// no finite number, a RUNNING run that has logged no point for too long. A rule may be for those runs only that match a
// filter (the language of run searches). It fires once for a run: the alert is a row, the event "run.alerted" carries
// the numbers to webhooks and pages.
//
// Nothing here runs where points are logged: server/metric_watch.h follows the events and asks. What a rule reads is
// kept beside each metric's latest value (its least and greatest ever), so that no point between two looks is missed.
//
// Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr int64_t kRulesPerProject = 1000;
inline constexpr size_t kRuleNameChars = 250, kRuleFilterBytes = 4000;
inline constexpr int64_t kMaxSilentMs = int64_t{365} * 86'400'000;
inline constexpr int64_t kLookedBackMs = int64_t{24} * 3'600'000;  // runs that ended since are looked at after a start
inline constexpr int64_t kRunsLookedAt = 50'000;                   // of one experiment

enum class RuleKind : uint8_t { kAbove, kBelow, kNotFinite, kStalled };
std::string_view name(RuleKind kind);  // "above", "below", "not_finite", "stalled"
std::optional<RuleKind> parse_rule_kind(std::string_view text);

struct MetricRule {
  int64_t row = 0;
  std::string id;  // mr_…
  int64_t experiment = 0;
  std::string name;
  RuleKind kind = RuleKind::kAbove;
  std::string metric;     // kStalled, kNotFinite: "" for any
  double threshold = 0;   // kAbove, kBelow: crossed when beyond it
  int64_t silent_ms = 0;  // kStalled
  std::string filter;     // "": all runs
  int64_t created_ms = 0;
  std::string created_by;
};
// kInvalid for an empty or too long name, a metric or number that the kind needs, a filter that does not parse;
// kAlreadyExists for a name that the experiment has. Leaves an event and an audit line, as does the deletion.
base::Result<MetricRule> create_metric_rule(store::Tx& tx, std::string_view experiment_id, const MetricRule& rule);
base::Result<MetricRule> get_metric_rule(store::Tx& tx, std::string_view id);
std::vector<MetricRule> list_metric_rules(store::Tx& tx, std::optional<int64_t> experiment);
base::Result<void> delete_metric_rule(store::Tx& tx, std::string_view id);  // its alerts go with it

struct MetricAlert {
  std::string rule, rule_name, run_id, run_name;
  int64_t experiment = 0;
  RuleKind kind = RuleKind::kAbove;
  int64_t at_ms = 0;
  std::string numbers;  // JSON: metric, value, threshold, step, …
};
struct AlertQuery {
  std::optional<int64_t> experiment;
  std::string run_id, rule;
  int64_t limit = 100;
  int64_t before_ms = INT64_MAX;  // older than this
};
std::vector<MetricAlert> list_metric_alerts(store::Tx& tx, const AlertQuery& query);  // newest first

// What a run has crossed and no alert tells yet. Reads only.
struct Crossing {
  int64_t rule = 0;  // row
  std::string numbers;
};
base::Result<std::vector<Crossing>> crossings(store::Tx& tx, std::string_view run_id,
                                              const std::vector<MetricRule>& rules);
// RUNNING runs whose points, by the clients' own times, end long enough ago for a rule of kind kStalled.
struct SilentRun {
  std::string run_id;
  int64_t last_ms = 0;  // of its last point, or its start
};
base::Result<std::vector<SilentRun>> silent_runs(store::Tx& tx, const MetricRule& rule, int64_t now_ms);
// Raises what is not raised yet, one event for each.
base::Result<int64_t> raise_alerts(store::Tx& tx, std::string_view run_id, const std::vector<Crossing>& crossings);
base::Result<void> raise_stalled(store::Tx& tx, const MetricRule& rule, const SilentRun& run);

// Runs of an experiment that are RUNNING or ended after `since_ms`.
base::Result<std::vector<std::string>> recent_runs(store::Tx& tx, int64_t experiment, int64_t since_ms);
std::vector<int64_t> projects_with_rules(store::Tx& tx);

// Used by purge.cc.
void drop_rules(store::Tx& tx, int64_t experiment);
void drop_alerts(store::Tx& tx, std::string_view run_id);

}  // namespace track
