// Traces: what an application did for one request, as MLflow's clients tell it (v2, v3 and OTLP). A trace has an info
// (times, state, tags, metadata, assessments) and spans. The two come in either order and from several processes:
// whichever comes first makes the row; what start_trace() says is final, what spans say fills the rest.
//
// Thread: functions on a Tx. Errors: MLflow's words where its clients match on them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "traces/assessments.h"
#include "track/types.h"

namespace traces {

inline constexpr size_t kTraceIdBytes = 250;
inline constexpr size_t kTraceTags = 1000;              // tags, and metadata, of one request
inline constexpr size_t kTraceTagChars = 8000;          // longer values are cut
inline constexpr size_t kTraceMetadataBytes = 1 << 20;  // of one value
inline constexpr size_t kPreviewChars = 1000;           // of what is cut out of a root span
inline constexpr size_t kLinkedTraces = 100;            // to a run, in one request
inline constexpr size_t kBatchTraces = 10'000;          // ids of one request
inline constexpr size_t kReadBytes = size_t{64} << 20;  // of spans in one answer
inline constexpr int64_t kDeleteStepRows = 20'000;      // of one transaction that deletes traces

inline constexpr std::string_view kTraceNameTag = "mlflow.traceName";
inline constexpr std::string_view kSpansLocationTag = "mlflow.trace.spansLocation";
inline constexpr std::string_view kInTrackingStore = "TRACKING_STORE";
inline constexpr std::string_view kArtifactLocationTag = "mlflow.artifactLocation";
inline constexpr std::string_view kSessionKey = "mlflow.trace.session";
inline constexpr std::string_view kSourceRunKey = "mlflow.sourceRun";
inline constexpr std::string_view kTokenUsageKey = "mlflow.trace.tokenUsage";
inline constexpr std::string_view kCostKey = "mlflow.trace.cost";

struct TraceInfo {
  int64_t row = 0;
  std::string trace_id;
  int64_t experiment = 0;
  int64_t start_ms = 0;
  std::optional<int64_t> duration_ms;
  std::string state;  // OK, ERROR, IN_PROGRESS, STATE_UNSPECIFIED
  std::optional<std::string> client_request_id, request_preview, response_preview;
  track::Tags tags;
  track::Tags metadata;
  std::vector<Assessment> assessments;

  const std::string* tag(std::string_view key) const;
  const std::string* meta(std::string_view key) const;
};

struct NewTrace {
  std::string trace_id;
  std::string experiment_id;
  int64_t start_ms = 0;
  std::optional<int64_t> duration_ms;
  std::string state = "STATE_UNSPECIFIED";
  std::optional<std::string> client_request_id, request_preview, response_preview;
  track::Tags tags, metadata;
  std::vector<Assessment> assessments;
  bool spans_follow = false;  // the client sends its spans over OTLP: it need not upload them as a file too
  bool final = true;          // times, tokens and costs are not changed by spans that come later
};
base::Result<TraceInfo> start_trace(store::Tx& tx, const NewTrace& trace);

// The first API: the server makes the id, and the end is told by another call.
base::Result<TraceInfo> start_trace_v2(store::Tx& tx, const NewTrace& trace);
struct TraceEnd {
  std::string trace_id;
  int64_t end_ms = 0;
  std::string state;
  track::Tags tags, metadata;
};
base::Result<TraceInfo> end_trace_v2(store::Tx& tx, const TraceEnd& end);

base::Result<TraceInfo> get_trace_info(store::Tx& tx, std::string_view trace_id);
std::optional<int64_t> experiment_of_trace(store::Tx& tx, std::string_view trace_id);  // nothing: there is none
struct BatchGet {
  std::vector<std::string> trace_ids;
  std::optional<std::vector<std::string>> experiment_ids;  // only traces of these
};
base::Result<std::vector<TraceInfo>> batch_get_infos(store::Tx& tx, const BatchGet& get);  // in the order asked for

// A trace with the stored text of its spans, roots first, then by start.
struct Trace {
  TraceInfo info;
  std::vector<std::string> spans;  // JSON, as stored
  bool whole = true;               // as many as its info says
};
base::Result<Trace> get_trace(store::Tx& tx, std::string_view trace_id);
base::Result<std::vector<Trace>> batch_get_traces(store::Tx& tx, const BatchGet& get);  // whole ones with spans

base::Result<void> set_trace_tag(store::Tx& tx, std::string_view trace_id, const track::Tag& tag);
base::Result<void> delete_trace_tag(store::Tx& tx, std::string_view trace_id, std::string_view key);

struct TraceRunLink {
  std::vector<std::string> trace_ids;
  std::string run_id;
};
base::Result<void> link_traces_to_run(store::Tx& tx, const TraceRunLink& link);
struct PromptVersion {
  std::string name, version;
};
struct TracePromptLink {
  std::string trace_id;
  std::vector<PromptVersion> prompts;
};
base::Result<void> link_prompts_to_trace(store::Tx& tx, const TracePromptLink& link);

// Which traces go: those named, or those not newer than a time, the oldest first.
struct TraceDeletion {
  std::string experiment_id;
  std::optional<int64_t> max_start_ms, max_traces;
  std::vector<std::string> trace_ids;
};
base::Result<void> check_deletion(const TraceDeletion& deletion);
// One step of bounded size. `more`: call again with what is left of max_traces.
struct DeletionStep {
  int64_t deleted = 0;
  bool more = false;
};
base::Result<DeletionStep> delete_traces_step(store::Tx& tx, const TraceDeletion& deletion);

// Used by the other files of this room.
inline constexpr std::string_view kTraceColumns =
    "t.id, t.trace_id, t.exp, t.start_ms, t.duration_ms, t.state, t.client_request_id, t.request_preview, "
    "t.response_preview, t.name, t.session, t.input_tokens, t.output_tokens, t.total_tokens, t.cache_read_tokens, "
    "t.cache_creation_tokens, t.cache_creation_1h_tokens, t.input_cost, t.output_cost, t.total_cost";
inline constexpr int kTraceColumnCount = 20;
TraceInfo read_trace_row(store::Rows& rows);  // from kTraceColumns: with the tags and metadata that are columns
void load_parts(store::Tx& tx, std::vector<TraceInfo>& traces);  // tags, metadata, assessments
base::Result<int64_t> trace_row(store::Tx& tx, std::string_view trace_id);
void put_tag(store::Tx& tx, int64_t trace, const track::Tag& tag);
void put_metadata(store::Tx& tx, int64_t trace, const track::Tag& entry);
base::Result<std::string> trace_artifact_location(store::Tx& tx, int64_t experiment, std::string_view trace_id);
base::Result<track::Tag> checked_tag(const track::Tag& tag);  // a name that may be, a value that fits

inline constexpr std::array<std::string_view, 6> kTokenKeys = {"input_tokens",
                                                               "output_tokens",
                                                               "total_tokens",
                                                               "cache_read_input_tokens",
                                                               "cache_creation_input_tokens",
                                                               "cache_creation_input_tokens_above_1hr"};
inline constexpr std::array<std::string_view, 3> kCostKeys = {"input_cost", "output_cost", "total_cost"};
// What a trace's columns know of its tokens and costs; each set only where it was given.
struct Analytics {
  std::array<std::optional<int64_t>, 6> tokens;
  std::array<std::optional<double>, 3> costs;
  bool has_tokens() const;
  bool has_costs() const;
};

}  // namespace traces
