// What the watcher writes: a closed window with the new reading position, in one transaction with the alerts that
// follow; labels that came late, joined to the windows they touch. Domain functions: see store/store.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "watch/window.h"

namespace watch {

// Where a monitor goes on reading: after `skip` requests of the batch that begins at (segment, offset). Windows may end
// inside a batch, and a batch read again begins with the same requests.
struct ReadPosition {
  int64_t segment = 0;
  int64_t offset = 0;
  int64_t skip = 0;
  auto operator<=>(const ReadPosition&) const = default;
};

struct MonitorState {
  int64_t project = 0;
  MonitorSpec spec;
  ReadPosition position;
};
std::vector<MonitorState> monitors_of_all_projects(store::Tx& tx);

// What the accuracy rule compares with: the gate's evaluation of the live revision. By endpoint.
struct AccuracyBaseline {
  int64_t revision = 0;
  LabelCounts labels;
  bool regression = false;  // judged by its errors
};
using AccuracyBaselines = std::map<std::string, AccuracyBaseline, std::less<>>;

// One more prediction whose truth is known; both in canonical spelling.
void count_label(LabelCounts& counts, const std::string& truth, const std::string& predicted);

struct ClosedWindow {
  std::string endpoint;
  int64_t revision = 0;
  MonitorSpec rule;
  ReadPosition from;  // the stored position; kConflict if it has moved
  ReadPosition to;
  int64_t first_us = 0, last_us = 0;
  WindowNumbers numbers;
  std::vector<WindowRows::Member> members;
};
// `accuracy`: the revision's baseline, if it has one with true labels.
base::Result<Window> record_window(store::Tx& tx, const ClosedWindow& closed,
                                   const std::optional<AccuracyBaseline>& accuracy);

// Joins at most `limit` waiting labels of the context's project to their windows, recounts those windows and applies
// the accuracy rule; answers how many labels were taken.
base::Result<int64_t> settle_labels(store::Tx& tx, size_t limit, const AccuracyBaselines& baselines);
// Counts the labelled rows of a window anew. Event "window.labelled".
base::Result<void> recount_labels(store::Tx& tx, std::string_view window);
std::vector<int64_t> projects_with_waiting_labels(store::Tx& tx);

base::Result<void> end_alerts_of_other_revisions(store::Tx& tx, std::string_view endpoint, int64_t live_revision);

}  // namespace watch
