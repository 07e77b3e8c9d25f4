// Reading all traces of a project page by page, to hand them over to another server; and how much there is of what only
// servers keep. Called by `lathe export`. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "traces/traces.h"

namespace traces {

// With tags, metadata and assessments, in the order of their ids, those after the one that is given.
base::Result<std::vector<TraceInfo>> traces_after(store::Tx& tx, std::string_view trace_id, size_t limit);

// Evaluation data sets, scorers, issues, label schemas and review queues: a word for each and how many there are.
base::Result<std::vector<std::pair<std::string_view, int64_t>>> beside_traces(store::Tx& tx);

}  // namespace traces
