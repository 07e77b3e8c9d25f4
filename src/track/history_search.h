// Searching a run's own history: the points of its metrics that match a filter over value, step and timestamp, such as
// "value > 10 OR step < 5 AND timestamp >= 1700000000000". Points are read in the order of time and judged one by one.
// Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/metrics.h"

namespace track {

inline constexpr size_t kMaxHistoryKeys = 20;             // of one search
inline constexpr int64_t kMaxHistoryMatches = 25'000;     // of one search
inline constexpr int64_t kMaxHistoryScanned = 5'000'000;  // points looked at for one answer

struct HistorySearch {
  std::string run_id;
  std::vector<std::string> keys;
  std::string filter;  // "": every point
  int64_t max_results = 1000;
};
struct HistoryMatches {
  std::vector<Metric> points;  // by key in the order asked, then by time
  int64_t scanned = 0;
  bool more = false;  // max_results or the limit on reading ended the search
};
base::Result<HistoryMatches> search_history(store::Tx& tx, const HistorySearch& search);

}  // namespace track
