#include "watch/alert.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_writer.h"
#include "core/event.h"
#include "core/lineage.h"
#include "stats/interval.h"

namespace watch {
namespace {

constexpr size_t kFeaturesShown = 100;  // per window in an alert; the window has them all

// The newest windows of a revision that a rule may look at, newest first.
std::vector<Window> newest_judged(store::Tx& tx, std::string_view endpoint, int64_t revision, int count) {
  std::vector<Window> windows;
  int64_t before = 0;
  while (windows.size() < static_cast<size_t>(count)) {
    const auto page = list_windows(tx, endpoint, before, 50);
    if (page.empty() || page.front().revision != revision) break;
    for (const Window& window : page) {
      if (window.revision != revision) return windows;
      if (window.judged && windows.size() < static_cast<size_t>(count)) windows.push_back(window);
    }
    before = page.back().number;
  }
  return windows;
}

constexpr std::string_view kAlertColumns =
    "SELECT id, endpoint, revision, raised_us, ended_us, kind, numbers FROM alerts ";

std::vector<Alert> read_alerts(store::Rows rows) {
  std::vector<Alert> alerts;
  while (rows.next()) {
    alerts.push_back({rows.str(0), rows.str(1), rows.i64(2), rows.i64(3), rows.i64(4), rows.str(5), rows.str(6)});
  }
  return alerts;
}

std::optional<std::string> open_alert(store::Tx& tx, std::string_view endpoint, int64_t revision,
                                      std::string_view kind) {
  store::Rows rows = tx.query(
      "SELECT id FROM alerts WHERE project = ? AND endpoint = ? AND revision = ? AND kind = ? AND ended_us = 0",
      tx.project(), endpoint, revision, kind);
  if (!rows.next()) return std::nullopt;
  return rows.str(0);
}

void raise(store::Tx& tx, std::string_view endpoint, int64_t revision, std::string_view kind,
           const std::vector<Window>& windows, std::string_view numbers) {
  const std::string id = tx.ctx().new_id("al");
  const int64_t raised = tx.exec(
      "INSERT INTO alerts (project, id, endpoint, revision, kind, raised_us, ended_us, numbers) VALUES (?, ?, ?, ?, ?, "
      "?, 0, ?)"
      " ON CONFLICT DO NOTHING",
      tx.project(), id, endpoint, revision, kind, tx.now_us(), numbers);
  if (raised == 0) return;  // somebody else has, for the same episode
  for (const Window& window : windows) core::add_edge(tx, {"window", window.id}, {"alert", id}, "caused");
  std::string body;
  base::JsonWriter out(body);
  out.begin_object().field("endpoint", endpoint).field("revision", revision).field("kind", kind);
  out.key("numbers").raw(numbers).end_object();
  core::emit(tx, "alert.raised", "alert", id, body);
}

void end(store::Tx& tx, std::string_view id, std::string_view endpoint, std::string_view reason) {
  tx.exec("UPDATE alerts SET ended_us = ? WHERE project = ? AND id = ?", tx.now_us(), tx.project(), id);
  std::string body;
  base::JsonWriter out(body);
  out.begin_object().field("endpoint", endpoint).field("reason", reason).end_object();
  core::emit(tx, "alert.ended", "alert", id, body);
}

void write_rule(base::JsonWriter& out, const MonitorSpec& rule) {
  out.key("rule").begin_object();
  out.field("ks_alpha", rule.ks_alpha).field("psi_threshold", rule.psi_threshold);
  out.field("drifted_share", rule.drifted_share).field("consecutive", rule.consecutive);
  out.end_object();
}

void write_feature(base::JsonWriter& out, const FeatureNumbers& f) {
  out.begin_object().field("name", f.name).field("kind", name(f.kind)).field("rows", f.rows);
  if (f.tested) {
    out.field("test", f.kind == FeatureKind::kNumeric ? "ks" : f.kind == FeatureKind::kCategory ? "chi2" : "fisher");
    out.field("d", f.d).field("p", f.p).field("p_holm", f.p_holm).field("p_bh", f.p_bh).field("psi", f.psi);
  }
  out.field("missing", f.missing).field("wrong_type", f.wrong_type).field("unseen", f.unseen);
  out.field("out_of_range", f.out_of_range).field("far_out_of_range", f.far_out_of_range);
  out.field("off_constant", f.off_constant).field("quality_p", f.quality_p);
  out.field("drifted", f.drifted).field("bad_quality", f.bad_quality).end_object();
}

// Rule, thresholds and, window by window (oldest first), what crossed them.
std::string window_story(const MonitorSpec& rule, std::vector<Window> windows,
                         const std::vector<WindowNumbers>& numbers) {
  std::string text;
  base::JsonWriter out(text);
  out.begin_object();
  write_rule(out, rule);
  out.key("windows").begin_array();
  for (size_t i = windows.size(); i-- > 0;) {
    const Window& window = windows[i];
    const WindowNumbers& n = numbers[i];
    out.begin_object().field("id", window.id).field("number", window.number).field("rows", n.rows);
    out.field("first_us", window.first_us).field("last_us", window.last_us);
    out.field("family", n.family).field("constant_family", n.constant_family).field("drifted_share", n.drifted_share);
    std::vector<const FeatureNumbers*> crossed;
    for (const FeatureNumbers& f : n.features) {
      if (f.drifted || f.bad_quality || (f.tested && f.p_bh <= rule.ks_alpha)) crossed.push_back(&f);
    }
    if (n.predictions.drifted || n.predictions.p_bh <= rule.ks_alpha) crossed.push_back(&n.predictions);
    std::ranges::sort(crossed, {},
                      [](const FeatureNumbers* f) { return std::pair(std::min(f->p_holm, f->quality_p), f->name); });
    out.field("crossed", crossed.size()).key("features").begin_array();
    for (size_t k = 0; k < std::min(crossed.size(), kFeaturesShown); ++k) write_feature(out, *crossed[k]);
    out.end_array().end_object();
  }
  out.end_array().end_object();
  return text;
}

base::Result<std::vector<WindowNumbers>> numbers_of(store::Tx& tx, const std::vector<Window>& windows) {
  std::vector<WindowNumbers> numbers;
  for (const Window& window : windows) {
    TRY_SET(auto read, parse_window_numbers(window_numbers(tx, window.id)));
    numbers.push_back(std::move(read));
  }
  return numbers;
}

struct LabelledWindow {
  Window window;
  stats::Interval interval;
};

// Of the share of right answers; of a regression, of the mean absolute error.
stats::Interval label_interval(const LabelCounts& counts, bool regression) {
  return regression ? mean_error_interval(counts) : stats::wilson_interval(counts.correct, counts.labelled);
}

// Newest first, of the newest windows that have labels enough.
std::vector<LabelledWindow> newest_labelled(store::Tx& tx, std::string_view endpoint, int64_t revision, int count,
                                            bool regression) {
  constexpr size_t kSearched = 200;
  std::vector<LabelledWindow> found;
  for (const Window& window : list_windows(tx, endpoint, 0, kSearched)) {
    if (window.revision != revision || found.size() == static_cast<size_t>(count)) break;
    if (window.labels.labelled < kMinLabelledRows) continue;
    found.push_back({window, label_interval(window.labels, regression)});
  }
  return found;
}

std::string accuracy_story(const MonitorSpec& rule, const AccuracyBaseline& baseline, const stats::Interval& expected,
                           const std::vector<LabelledWindow>& windows) {
  std::string text;
  base::JsonWriter out(text);
  const auto write = [&](const LabelCounts& counts, const stats::Interval& interval) {
    out.field("labelled", counts.labelled);
    if (baseline.regression) {
      out.field("absolute_error", counts.absolute_error).field("squared_error", counts.squared_error);
      out.field("mean_absolute_error", counts.mean_absolute_error());
      out.field("root_mean_squared_error", counts.root_mean_squared_error());
    } else {
      out.field("correct", counts.correct).field("accuracy", counts.accuracy());
    }
    out.key("interval").begin_array().value(interval.low).value(interval.high).end_array();
  };
  out.begin_object().key("rule").begin_object().field("consecutive", rule.consecutive).field("confidence", 0.95);
  out.end_object();
  if (baseline.regression) out.field("regression", true);
  out.key("baseline").begin_object();
  write(baseline.labels, expected);
  out.end_object().key("windows").begin_array();
  for (size_t i = windows.size(); i-- > 0;) {
    out.begin_object().field("id", windows[i].window.id).field("number", windows[i].window.number);
    if (windows[i].window.first_us != 0) out.field("first_us", windows[i].window.first_us);
    write(windows[i].window.labels, windows[i].interval);
    out.end_object();
  }
  out.end_array().end_object();
  return text;
}

// What accuracy_story wrote.
base::Result<LabelCounts> read_counts(const base::json::object& in, bool regression) {
  LabelCounts counts;
  TRY_SET(counts.labelled, base::required_int(in, "labelled"));
  if (regression) {
    TRY_SET(counts.absolute_error, base::required_double(in, "absolute_error"));
    TRY_SET(counts.squared_error, base::required_double(in, "squared_error"));
  } else {
    TRY_SET(counts.correct, base::required_int(in, "correct"));
  }
  if (counts.correct < 0 || counts.labelled < 1 || counts.correct > counts.labelled)
    return base::invalid("counts of labels that cannot be");
  return counts;
}

}  // namespace

base::Result<void> apply_window_rules(store::Tx& tx, const MonitorSpec& rule, std::string_view endpoint,
                                      int64_t revision) {
  const auto windows = newest_judged(tx, endpoint, revision, rule.consecutive);
  if (windows.empty()) return tx.status();
  for (const auto& [kind, bad] : {std::pair("drift", &Window::drifted), std::pair("quality", &Window::bad_quality)}) {
    const auto open = open_alert(tx, endpoint, revision, kind);
    if (!(windows.front().*bad)) {
      if (open) end(tx, *open, endpoint, "a clean window came");
      continue;
    }
    const bool all = windows.size() == static_cast<size_t>(rule.consecutive) && std::ranges::all_of(windows, bad);
    if (open || !all) continue;
    TRY_SET(const auto numbers, numbers_of(tx, windows));
    raise(tx, endpoint, revision, kind, windows, window_story(rule, windows, numbers));
  }
  return tx.status();
}

base::Result<void> apply_accuracy_rule(store::Tx& tx, const MonitorSpec& rule, std::string_view endpoint,
                                       const AccuracyBaseline& baseline) {
  if (!rule.labels_from_feedback || baseline.labels.labelled < kMinLabelledRows) return {};
  const auto windows = newest_labelled(tx, endpoint, baseline.revision, rule.consecutive, baseline.regression);
  if (windows.empty()) return tx.status();
  const stats::Interval expected = label_interval(baseline.labels, baseline.regression);
  const auto worse = [&](const LabelledWindow& w) {
    return baseline.regression ? w.interval.low > expected.high : w.interval.high < expected.low;
  };
  const auto open = open_alert(tx, endpoint, baseline.revision, "accuracy");
  if (!worse(windows.front())) {
    if (open) end(tx, *open, endpoint, "the accuracy is back");
    return tx.status();
  }
  if (open || windows.size() < static_cast<size_t>(rule.consecutive) || !std::ranges::all_of(windows, worse))
    return tx.status();
  std::vector<Window> causes;
  for (const LabelledWindow& w : windows) causes.push_back(w.window);
  raise(tx, endpoint, baseline.revision, "accuracy", causes, accuracy_story(rule, baseline, expected, windows));
  return tx.status();
}

base::Result<void> end_alerts_of_other_revisions(store::Tx& tx, std::string_view endpoint, int64_t live_revision) {
  for (const Alert& alert : open_alerts(tx, endpoint)) {
    if (alert.revision != live_revision) end(tx, alert.id, endpoint, "another revision serves");
  }
  return tx.status();
}

std::vector<Alert> list_alerts(store::Tx& tx, std::string_view endpoint, size_t limit) {
  const std::string sql = std::string(kAlertColumns) +
                          "WHERE project = ? AND (endpoint = ? OR ? = '') ORDER BY raised_us DESC, id DESC LIMIT ?";
  return read_alerts(tx.query(sql, tx.project(), endpoint, endpoint, limit));
}

std::vector<Alert> open_alerts(store::Tx& tx, std::string_view endpoint) {
  const std::string sql =
      std::string(kAlertColumns) + "WHERE project = ? AND (endpoint = ? OR ? = '') AND ended_us = 0 ORDER BY raised_us";
  return read_alerts(tx.query(sql, tx.project(), endpoint, endpoint));
}

base::Result<Alert> get_alert(store::Tx& tx, std::string_view id) {
  const std::string sql = std::string(kAlertColumns) + "WHERE project = ? AND id = ?";
  auto found = read_alerts(tx.query(sql, tx.project(), id));
  TRY(tx.status());
  if (found.empty()) return base::not_found("there is no alert '" + std::string(id) + "'");
  return std::move(found.front());
}

base::Result<Replay> replay_alert(store::Tx& tx, const Alert& alert, const Profile* profile) {
  TRY_SET(const auto document, base::parse_json(alert.numbers));
  TRY_SET(const auto* story, base::as_object(document, "the alert"));
  TRY_SET(const auto* rule_in, base::required_object(*story, "rule"));
  TRY_SET(const auto* windows_in, base::required_array(*story, "windows"));
  MonitorSpec rule;
  std::vector<LabelledWindow> labelled;
  std::vector<Window> windows;
  std::vector<WindowNumbers> numbers;
  TRY_SET(const int64_t consecutive, base::required_int(*rule_in, "consecutive"));
  rule.consecutive = static_cast<int>(consecutive);
  const bool regression = story->contains("regression");
  if (alert.kind != "accuracy") {
    if (profile == nullptr) return base::fail(base::Code::kConflict, "the baseline of the alert's revision is gone");
    TRY_SET(rule.ks_alpha, base::required_double(*rule_in, "ks_alpha"));
    TRY_SET(rule.psi_threshold, base::required_double(*rule_in, "psi_threshold"));
    TRY_SET(rule.drifted_share, base::required_double(*rule_in, "drifted_share"));
  }
  for (size_t i = windows_in->size(); i-- > 0;) {  // newest first, as the rules see them
    TRY_SET(const auto* in, base::as_object((*windows_in)[i], "a window"));
    TRY_SET(const std::string id, base::required_string(*in, "id"));
    if (alert.kind == "accuracy") {  // later labels may have changed the window: the alert has the counts it saw
      LabelledWindow w;
      w.window.id = id;
      TRY_SET(w.window.number, base::required_int(*in, "number"));
      TRY_SET(const auto first_us, base::optional_int(*in, "first_us"));
      w.window.first_us = first_us.value_or(0);
      TRY_SET(w.window.labels, read_counts(*in, regression));
      w.interval = label_interval(w.window.labels, regression);
      labelled.push_back(std::move(w));
      continue;
    }
    TRY_SET(Window window, get_window(tx, id));
    TRY_SET(WindowNumbers n, parse_window_numbers(window_numbers(tx, id)));
    if (n.features.size() != profile->features.size())
      return base::internal("window '" + id + "' has other features than its baseline");
    recompute(*profile, rule, n);
    windows.push_back(std::move(window));
    numbers.push_back(std::move(n));
  }
  Replay replay;
  if (alert.kind == "accuracy") {
    TRY_SET(const auto* in, base::required_object(*story, "baseline"));
    AccuracyBaseline baseline{.revision = alert.revision, .regression = regression};
    TRY_SET(baseline.labels, read_counts(*in, regression));
    replay.numbers = accuracy_story(rule, baseline, label_interval(baseline.labels, regression), labelled);
  } else {
    replay.numbers = window_story(rule, std::move(windows), numbers);
  }
  replay.equal = replay.numbers == alert.numbers;
  return replay;
}

}  // namespace watch
