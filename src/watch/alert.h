// The alert rule over windows: an alert is raised when the last `consecutive` judged windows of a revision are all bad,
// once per episode; the episode ends with the first clean window, or when another revision serves. Domain functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/tx.h"
#include "watch/record.h"
#include "watch/watch.h"

namespace watch {

// After a window has been recorded: drift and quality.
base::Result<void> apply_window_rules(store::Tx& tx, const MonitorSpec& rule, std::string_view endpoint,
                                      int64_t revision);
// After labels have been joined: the whole interval of the newest labelled windows lies below the baseline's interval.
base::Result<void> apply_accuracy_rule(store::Tx& tx, const MonitorSpec& rule, std::string_view endpoint,
                                       const AccuracyBaseline& baseline);

inline constexpr int64_t kMinLabelledRows = 30;  // of a window whose accuracy is judged

// The verdict of an alert's windows, computed anew from their stored counts and the baseline. `equal`: the same numbers
// to the last bit.
struct Replay {
  bool equal = false;
  std::string numbers;  // JSON, as the alert has it
};
base::Result<Replay> replay_alert(store::Tx& tx, const Alert& alert, const Profile* profile);

}  // namespace watch
