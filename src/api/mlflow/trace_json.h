// Traces, their spans and assessments as MLflow's JSON: protobuf's forms of times and durations, a span as OTLP's JSON.
#pragma once

#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "traces/assessments.h"
#include "traces/traces.h"

namespace api::mlflow {

std::string time_text(int64_t ms);      // "2026-11-23T10:31:28.049Z"
std::string duration_text(int64_t ms);  // "0.092s"

void write(base::JsonWriter& json, const traces::TraceInfo& info);
void write_v2(base::JsonWriter& json, const traces::TraceInfo& info);  // the first API's words
void write(base::JsonWriter& json, const traces::Assessment& assessment);
void write(base::JsonWriter& json, const traces::Trace& trace);    // info and spans
void write_span(base::JsonWriter& json, std::string_view stored);  // from a span's stored text

}  // namespace api::mlflow
