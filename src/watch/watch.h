// Monitoring as other rooms see it: baselines, feedback, windows, alerts. The watcher thread is watch/watcher.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/table.h"
#include "store/tx.h"

namespace watch {

struct MonitorSpec {
  std::string endpoint;
  int64_t window_rows = 200;      // one of the two
  int64_t window_us = 0;
  bool labels_from_feedback = false;
  // Alert rule (defaults are corrected for the number of features, see docs/design/monitoring.md)
  double ks_alpha = 0.01;         // Holm-corrected over the features
  double psi_threshold = 0.25;
  double drifted_share = 0.3;
  int consecutive = 2;
};
base::Result<void> put_monitor(store::Tx& tx, const MonitorSpec& spec);
base::Result<std::optional<MonitorSpec>> get_monitor(store::Tx& tx, std::string_view endpoint);

// Freezes the baseline of a revision: raw features and predictions of the rows on which the gate judged it. `profile` is
// watch's own JSON (edges, counts, sorted samples), kept as a blob; made by make_baseline, stored in the promotion's
// transaction.
base::Result<std::string> make_baseline(const stats::Table& features, const std::vector<std::string>& predictions);
base::Result<void> set_baseline(store::Tx& tx, std::string_view endpoint, int64_t revision, std::string_view profile_digest,
                                std::string_view evaluation);

struct Feedback {
  std::string prediction;  // "pr_…"
  int64_t row = 0;
  std::string label;
  int64_t at_us = 0;       // when the truth was known; 0: now
};
// Upserts; answers how many were new. Ids that name no capture record are kept and reported by the caller.
base::Result<int64_t> put_feedback(store::Tx& tx, const std::vector<Feedback>& labels);
std::optional<std::string> label_of(store::Tx& tx, std::string_view prediction, int64_t row);
int64_t count_labels(store::Tx& tx, std::string_view endpoint, int64_t since_us);

struct Alert {
  std::string id;          // "al_…"
  std::string endpoint;
  int64_t revision = 0;
  int64_t raised_us = 0;
  std::string kind;        // "drift", "quality", "accuracy"
  std::string numbers;     // JSON: per feature PSI, KS p, Holm threshold; share; windows
};
std::vector<Alert> list_alerts(store::Tx& tx, std::string_view endpoint, size_t limit = 100);
base::Result<Alert> get_alert(store::Tx& tx, std::string_view id);

}  // namespace watch
