// A pipeline run as a trace: its ids follow from the run's and the attempts' own, so that attempts before and after a
// restart of the server belong together, and a stage's requests (its TRACEPARENT) hang under its attempt.
// Thread: plain functions.
#pragma once

#include <string_view>

#include "base/trace.h"
#include "flow/live_run.h"

namespace flow {

// Empty without a tracer, or if the sampler leaves this run out.
base::TraceContext attempt_trace(base::Tracer* tracer, std::string_view run, std::string_view attempt);

// The span of an attempt that is over; `before`: its stage while it ran, `after`: what became of it.
void record_attempt(base::Tracer* tracer, const RunFacts& facts, const StageSpec& spec, const StageState& before,
                    const StageState& after, int64_t now_us);

}  // namespace flow
