// Taking over the traces of another tracking server: infos with their tags, metadata and assessments, and their spans
// as that server keeps them, which is the text that is kept here. Called by `lathe import`. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "traces/traces.h"

namespace traces {

struct ImportedTrace {
  NewTrace info;                     // experiment_id is the experiment's here
  std::vector<std::string> spans;    // JSON of each, schema version 3
  std::vector<std::string> runs;     // run ids that it was linked to
  std::vector<std::string> prompts;  // "name/version", as above
};

// The spans of a file traces.json; none: it is of an older schema.
std::vector<std::string> spans_of_file(const std::string& text);

// Those of the ids that are not here. What is here is never changed.
base::Result<std::vector<std::string>> traces_to_import(store::Tx& tx, std::span<const std::string> trace_ids);
// Whole or not at all. kInvalid: a span is none, or the info breaks a rule that holds for all traces.
base::Result<void> import_trace(store::Tx& tx, const ImportedTrace& trace);

struct TraceCounts {
  std::string trace_id;
  int64_t spans = 0, assessments = 0;
  bool operator==(const TraceCounts&) const = default;
};
base::Result<std::vector<TraceCounts>> count_traces(store::Tx& tx,
                                                    std::span<const std::string> trace_ids);  // that exist

}  // namespace traces
