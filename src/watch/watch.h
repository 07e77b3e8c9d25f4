// Monitoring as other rooms see it: monitors, baselines, feedback, windows, alerts. The thread that reads the traffic
// is watch/watcher.h; the statistics and the alert rule are explained in docs/design/monitoring.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/interval.h"
#include "stats/table.h"
#include "store/tx.h"

namespace watch {

inline constexpr int64_t kMinWindowRows = 30;      // fewer rows are recorded, not judged
inline constexpr int64_t kMaxWindowRows = 20'000;  // a window by time that fills up closes early
inline constexpr int64_t kMinWindowUs = 1'000'000;
inline constexpr size_t kMaxFeedbackBatch = 10'000;  // labels in one put_feedback
inline constexpr size_t kMaxLabelBytes = 1024;
inline constexpr size_t kMaxPredictionIdBytes = 256;
inline constexpr int64_t kKeptWindows = 2000;  // per endpoint; older ones go (an alert keeps its numbers)

struct MonitorSpec {
  std::string endpoint;
  int64_t window_rows = 200;  // one of the two is not 0
  int64_t window_us = 0;
  bool labels_from_feedback = false;
  // Alert rule (defaults are corrected for the number of features, see docs/design/monitoring.md)
  double ks_alpha = 0.01;  // Holm-corrected over the features
  double psi_threshold = 0.25;
  double drifted_share = 0.3;
  int consecutive = 2;
  bool operator==(const MonitorSpec&) const = default;
};
base::Result<void> put_monitor(store::Tx& tx, const MonitorSpec& spec);  // keeps the reading position of an older one
base::Result<std::optional<MonitorSpec>> get_monitor(store::Tx& tx, std::string_view endpoint);
std::vector<MonitorSpec> list_monitors(store::Tx& tx);
bool remove_monitor(store::Tx& tx, std::string_view endpoint);  // its windows and alerts stay

// Freezes the baseline of a revision: raw features and predictions of the rows on which the gate judged it. `profile`
// is watch's own JSON (edges, counts, sorted samples; docs/formats/baseline.md), kept as a blob; made by make_baseline,
// stored in the promotion's transaction. With the true labels of the same rows it also holds the accuracy that later
// windows are compared with. Columns of `features` that are not features must be left out.
base::Result<std::string> make_baseline(const stats::Table& features, const std::vector<std::string>& predictions,
                                        const std::vector<std::string>& truth = {});
// Alerts of other revisions end with it: what they were about no longer serves.
base::Result<void> set_baseline(store::Tx& tx, std::string_view endpoint, int64_t revision,
                                std::string_view profile_digest, std::string_view evaluation);
struct Baseline {
  std::string endpoint;
  int64_t revision = 0;
  std::string profile_digest;
  std::string evaluation;
  int64_t set_us = 0;
};
std::optional<Baseline> get_baseline(store::Tx& tx, std::string_view endpoint, int64_t revision);

struct Feedback {
  std::string prediction;  // "pr_…"
  int64_t row = 0;
  std::string label;     // stored in its canonical spelling (stats/metrics.h)
  int64_t at_us = 0;     // when the truth was known; 0: now
  std::string endpoint;  // of the captured request, where the caller knows it
};
// Upserts by (prediction, row); answers how many were new. Ids that name no capture record are kept and reported by the
// caller. Event "feedback.received".
base::Result<int64_t> put_feedback(store::Tx& tx, const std::vector<Feedback>& labels);
std::optional<std::string> label_of(store::Tx& tx, std::string_view prediction, int64_t row);
struct Label {
  int64_t row = 0;
  std::string label;
  int64_t at_us = 0;
};
std::vector<Label> labels_of(store::Tx& tx, std::string_view prediction);  // by row
// Labels received for an endpoint at or after `since_us`, newest first, at most `limit`: each with its prediction.
std::vector<Feedback> labels_since(store::Tx& tx, std::string_view endpoint, int64_t since_us, size_t limit);
int64_t count_labels(store::Tx& tx, std::string_view endpoint, int64_t since_us);  // received at or after

// Predictions whose truth is known.
struct LabelCounts {
  int64_t labelled = 0, correct = 0;
  double absolute_error = 0, squared_error = 0;  // summed; of a regression
  double accuracy() const;
  double mean_absolute_error() const;
  double root_mean_squared_error() const;
};
// 95 % of the mean absolute error, by the normal approximation.
stats::Interval mean_error_interval(const LabelCounts& counts);

struct Window {
  std::string id;  // "wd_…"
  std::string endpoint;
  int64_t number = 0;  // 1, 2, … within the endpoint
  int64_t revision = 0;
  int64_t first_us = 0, last_us = 0, closed_us = 0;
  int64_t requests = 0, rows = 0;
  bool judged = false;  // there was a baseline, and rows enough
  bool drifted = false;
  bool bad_quality = false;
  LabelCounts labels;
  bool regression = false;  // what counts is the error, not the share of right answers
};
std::vector<Window> list_windows(store::Tx& tx, std::string_view endpoint, int64_t before_number,
                                 size_t limit);  // newest first
base::Result<Window> get_window(store::Tx& tx, std::string_view id);
std::string window_numbers(store::Tx& tx, std::string_view id);  // JSON of watch/window.h; "" if trimmed

struct Alert {
  std::string id;  // "al_…"
  std::string endpoint;
  int64_t revision = 0;
  int64_t raised_us = 0;
  int64_t ended_us = 0;  // 0: open
  std::string kind;      // "drift", "quality", "accuracy"
  std::string numbers;   // JSON: rule and thresholds; per window and feature PSI, KS p, Holm p; share
};
std::vector<Alert> list_alerts(store::Tx& tx, std::string_view endpoint, size_t limit = 100);  // "": all; newest first
std::vector<Alert> open_alerts(store::Tx& tx, std::string_view endpoint);
base::Result<Alert> get_alert(store::Tx& tx, std::string_view id);

}  // namespace watch
