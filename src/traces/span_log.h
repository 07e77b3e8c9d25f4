// Spans into the store. prepare_spans() does what needs no database (translating, measuring, compressing), on any
// thread; log_spans() writes, within one transaction and in a few small statements a span.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "traces/span.h"
#include "traces/traces.h"

namespace traces {

inline constexpr size_t kRequestTraces = 1000;  // each is locked while its spans are written

struct PreparedSpan {
  std::string span_id, parent_id;  // hex; parent "": a root
  std::string name;
  std::optional<std::string> type, model, provider, usage;  // usage: JSON
  std::string status;                                       // OK, ERROR, UNSET
  int64_t start_ns = 0;
  std::optional<int64_t> end_ns;
  std::array<std::optional<double>, 3> costs;
  std::string packed;  // the span's JSON (store/packed_text.h)
};

struct PreparedTrace {
  std::string trace_id;  // "tr-<32 hex>"
  std::vector<PreparedSpan> spans;
  int64_t start_ms = 0;
  std::optional<int64_t> end_ms;
  std::optional<std::string> root_state;  // OK, ERROR; none: the root is not among them
  std::optional<std::string> session, user, name, request_preview, response_preview;
  track::Tags tags;  // of the resource, then those that the root span carries
};

struct SpanLog {
  std::string experiment_id;
  std::vector<PreparedTrace> traces;
  std::string run_id;  // link the traces whose root is among them; "": none
};

std::vector<PreparedTrace> prepare_spans(SpanBatch batch, store::Backend backend);
base::Result<void> log_spans(store::Tx& tx, const SpanLog& log);

// A span as the text that is stored.
std::string span_json(const Span& span);

}  // namespace traces
