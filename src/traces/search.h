// Searching traces by MLflow's filter language (track/search_ast.h, the traces dialect), counting what two filters have
// in common. Pages by keyset. docs/design/traces.md has what differs from upstream.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "traces/traces.h"
#include "track/types.h"

namespace traces {

inline constexpr int64_t kMaxTracePage = 500;

struct TraceSearch {
  std::vector<std::string> experiment_ids;
  std::string filter;
  int64_t max_results = 100;
  std::vector<std::string> order_by;  // default: timestamp DESC, then trace id
  std::string page_token;
};
base::Result<track::Page<TraceInfo>> search_traces(store::Tx& tx, const TraceSearch& search);

// Normalised pointwise mutual information of two filters; NaN where it is undefined.
struct Correlation {
  double npmi = 0, npmi_smoothed = 0;
  int64_t first = 0, second = 0, joint = 0, total = 0;
};
struct CorrelationQuery {
  std::vector<std::string> experiment_ids;
  std::string first, second;
  std::string base;  // what both are tested on top of; "": everything
};
base::Result<Correlation> correlate(store::Tx& tx, const CorrelationQuery& query);
Correlation npmi_of(int64_t joint, int64_t first, int64_t second, int64_t total);

}  // namespace traces
