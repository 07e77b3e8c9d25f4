// The newest events first, for people who ask what happened. What is written many times a second (points of metrics,
// artifacts, tokens that end with their stage) is left out. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"

namespace core {

inline constexpr int64_t kRecentScan = 20'000;  // events looked at for one answer; older ones are another page's

struct RecentEvents {
  std::vector<Event> events;  // newest first
  int64_t next_before = 0;    // what the next page asks for; 0: there is nothing older
};

// `before`: a seq, 0 for the newest. `kinds`: of the part before the dot ("alert,endpoint"); empty: all but the noise.
base::Result<RecentEvents> recent_events(store::Tx& tx, int64_t before, const std::vector<std::string>& kinds,
                                         size_t limit);

}  // namespace core
