// The words of other tracing libraries in MLflow's: what OpenTelemetry's GenAI conventions, OpenInference and Traceloop
// say of a span's type, inputs, outputs, tokens and model also stands under MLflow's own attribute names.
#pragma once

#include "traces/span.h"

namespace traces {

void translate(Span& span);

// The first characters of a request or an answer: of a chat, its last message of that role.
std::string preview_of(const std::string& json, std::string_view role);

}  // namespace traces
