#include "flow/attempt_trace.h"

#include <algorithm>

#include "base/hash.h"

namespace flow {
namespace {

template <class Id>
Id id_from(std::string_view text) {
  const base::Digest digest = base::sha256(text);
  Id id{};
  std::copy_n(digest.bytes.begin(), id.size(), id.begin());
  return id;
}

}  // namespace

base::TraceContext attempt_trace(base::Tracer* tracer, std::string_view run, std::string_view attempt) {
  if (tracer == nullptr) return {};
  const auto trace = id_from<base::TraceId>(run);
  if (!tracer->samples(trace)) return {};
  return {tracer, trace, id_from<base::SpanId>(attempt)};
}

void record_attempt(base::Tracer* tracer, const RunFacts& facts, const StageSpec& spec, const StageState& before,
                    const StageState& after, int64_t now_us) {
  const base::TraceContext self = attempt_trace(tracer, facts.run.id, before.attempt);
  if (!self) return;
  const bool over = after.phase == Phase::kDone && after.attempt == before.attempt;
  base::SpanData span;
  span.name = "stage " + spec.name;
  span.trace = self.trace;
  span.span = self.span;
  span.start_us = before.started_us > 0 ? before.started_us : now_us;
  span.end_us = std::max(now_us, span.start_us);
  span.attributes = {{"lathe.pipeline", facts.run.pipeline},
                     {"lathe.pipeline_run", facts.run.id},
                     {"lathe.attempt", before.attempt},
                     {"lathe.stage.state", std::string(over ? name(after.result) : "tried again")}};
  span.failed = !over || after.result != State::kSucceeded;
  if (span.failed) span.failure = after.reason;
  tracer->record(std::move(span));
}

}  // namespace flow
