// What the trace calls have in common in their parameters: an assessment and a trace's info as JSON.
#pragma once

#include "api/mlflow/args.h"
#include "traces/assessments.h"
#include "traces/traces.h"

namespace api::mlflow {

// `where` names the object in errors. The value is read with protobuf's eyes: a number is a double.
traces::Assessment parse_assessment(Args& args, const base::json::object& object, std::string_view where);
// One of feedback, expectation, issue; nothing when none is there.
bool parse_assessment_value(Args& args, const base::json::object& object, std::string_view where,
                            traces::Assessment& into);
traces::NewTrace parse_trace_info(Args& args, const base::json::object& info);

inline constexpr std::string_view kTraceStates[] = {"STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"};

}  // namespace api::mlflow
