#include "api/mlflow/trace_args.h"

#include "traces/span.h"

namespace api::mlflow {

namespace json = base::json;

namespace {

constexpr std::string_view kSourceTypes[] = {"SOURCE_TYPE_UNSPECIFIED", "HUMAN", "LLM_JUDGE", "CODE"};

// JSON in Python's spacing, every number a double: what protobuf's Value makes of it.
void append_value(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; return;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; return;
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_: traces::append_python_double(out, value.to_number<double>()); return;
    case json::kind::string: traces::append_python_string(out, value.get_string()); return;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const json::value& item : value.get_array()) {
        if (!first) out += ", ";
        first = false;
        append_value(out, item);
      }
      out += ']';
      return;
    }
    case json::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& [key, item] : value.get_object()) {
        if (!first) out += ", ";
        first = false;
        traces::append_python_string(out, key);
        out += ": ";
        append_value(out, item);
      }
      out += '}';
      return;
    }
  }
}

std::string error_text(Args& args, const json::object& error, const std::string& where) {
  std::string out;
  for (const std::string_view name : {"error_code", "error_message", "stack_trace"}) {
    const auto text = args.optional_text_in(error, name, where);
    if (!text) continue;
    out.append(out.empty() ? "{" : ", ").append(traces::python_string(name)).append(": ");
    traces::append_python_string(out, *text);
  }
  return out.empty() ? "{}" : out + "}";
}

std::optional<std::string> unless_empty(std::optional<std::string> text) {
  return text && text->empty() ? std::nullopt : text;
}

void parse_expectation(Args& args, const json::object& expectation, const std::string& where,
                       traces::Assessment& into) {
  const json::object* serialized = args.object_in(expectation, "serialized_value", where);
  if (serialized == nullptr) {
    const json::value* value = args.value_in(expectation, "value");
    into.value.clear();
    append_value(into.value, value != nullptr ? *value : json::value(nullptr));
    return;
  }
  const std::string format = args.text_in(*serialized, "serialization_format", where + ".serialized_value", false);
  if (format != "JSON_FORMAT") {
    return args.fail(
        {base::Code::kInvalid, "Unknown serialization format: " + format + ". Only JSON_FORMAT is supported."});
  }
  into.value = args.text_in(*serialized, "value", where + ".serialized_value", true);
  if (!base::parse_json(into.value)) {
    args.fail(
        {base::Code::kInvalid, "Invalid value for parameter '" + where + ".serialized_value.value': it is no JSON"});
  }
}

}  // namespace

bool parse_assessment_value(Args& args, const json::object& object, std::string_view where, traces::Assessment& into) {
  const std::string path(where);
  if (const json::object* expectation = args.object_in(object, "expectation", where)) {
    into.kind = traces::AssessmentKind::kExpectation;
    parse_expectation(args, *expectation, path + ".expectation", into);
    return true;
  }
  if (const json::object* feedback = args.object_in(object, "feedback", where)) {
    into.kind = traces::AssessmentKind::kFeedback;
    const json::value* value = args.value_in(*feedback, "value");
    into.value.clear();
    append_value(into.value, value != nullptr ? *value : json::value(nullptr));
    if (const json::object* error = args.object_in(*feedback, "error", path + ".feedback")) {
      into.error = error_text(args, *error, path + ".feedback.error");
    }
    return true;
  }
  if (const json::object* issue = args.object_in(object, "issue", where)) {
    into.kind = traces::AssessmentKind::kIssue;
    into.value =
        "{\"issue_name\": " + traces::python_string(args.text_in(*issue, "issue_name", path + ".issue", false)) + "}";
    return true;
  }
  return false;
}

traces::Assessment parse_assessment(Args& args, const json::object& object, std::string_view where) {
  traces::Assessment out;
  out.assessment_id = args.text_in(object, "assessment_id", where, false);
  out.name = args.text_in(object, "assessment_name", where, false);
  out.trace_id = args.text_in(object, "trace_id", where, false);
  out.span_id = unless_empty(args.optional_text_in(object, "span_id", where));
  out.rationale = unless_empty(args.optional_text_in(object, "rationale", where));
  out.overrides = args.text_in(object, "overrides", where, false);
  out.valid = args.boolean_in(object, "valid", where, true);
  out.created_ms = args.time_ms_in(object, "create_time", where).value_or(0);
  out.updated_ms = args.time_ms_in(object, "last_update_time", where).value_or(0);
  out.metadata = args.map_in(object, "metadata", where);
  out.source_type = kSourceTypes[0];
  if (const json::object* source = args.object_in(object, "source", where)) {
    const std::string path = std::string(where) + ".source";
    out.source_type =
        kSourceTypes[static_cast<size_t>(args.choice_in(*source, "source_type", path, kSourceTypes, 0).value_or(0))];
    out.source_id = unless_empty(args.optional_text_in(*source, "source_id", path));
  }
  if (!parse_assessment_value(args, object, where, out)) {
    args.fail({base::Code::kInvalid, "Unknown assessment type: None"});
  }
  // An expectation gives no reasons, and only feedback replaces feedback.
  if (out.kind == traces::AssessmentKind::kExpectation) out.rationale.reset();
  if (out.kind != traces::AssessmentKind::kFeedback) out.overrides.clear();
  return out;
}

traces::NewTrace parse_trace_info(Args& args, const json::object& info) {
  constexpr std::string_view kWhere = "trace.trace_info";
  traces::NewTrace out;
  out.trace_id = args.text_in(info, "trace_id", kWhere, false);
  out.client_request_id = args.optional_text_in(info, "client_request_id", kWhere);
  out.request_preview = args.optional_text_in(info, "request_preview", kWhere);
  out.response_preview = args.optional_text_in(info, "response_preview", kWhere);
  if (const json::object* location = args.object_in(info, "trace_location", kWhere)) {
    if (const json::object* experiment = args.object_in(*location, "mlflow_experiment", "trace_location")) {
      out.experiment_id = args.text_in(*experiment, "experiment_id", "mlflow_experiment", false);
    }
  }
  if (out.experiment_id.empty()) args.missing("trace.trace_info.trace_location.mlflow_experiment.experiment_id");
  out.start_ms = args.time_ms_in(info, "request_time", kWhere).value_or(0);
  out.duration_ms = args.duration_ms_in(info, "execution_duration", kWhere);
  out.state = kTraceStates[static_cast<size_t>(args.choice_in(info, "state", kWhere, kTraceStates, 0).value_or(0))];
  out.metadata = args.map_in(info, "trace_metadata", kWhere);
  out.tags = args.map_in(info, "tags", kWhere);
  const auto assessments = args.objects_in(info, "assessments", kWhere);
  for (size_t i = 0; i < assessments.size(); ++i) {
    out.assessments.push_back(
        parse_assessment(args, *assessments[i], "trace.trace_info.assessments[" + std::to_string(i) + "]"));
  }
  return out;
}

}  // namespace api::mlflow
