#include "api/mlflow/trace_json.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;

namespace {

void write_map(JsonWriter& out, std::string_view field, const track::Tags& entries) {
  if (entries.empty()) return;
  out.key(field).begin_object();
  for (const track::Tag& entry : entries) out.field(entry.key, entry.value);
  out.end_object();
}

void write_optional(JsonWriter& out, std::string_view field, const std::optional<std::string>& text) {
  if (text) out.field(field, *text);
}

// AnyValue: an object with the one field that says the type.
void write_any(JsonWriter& out, const json::value& value) {
  out.begin_object();
  switch (value.kind()) {
    case json::kind::null: break;
    case json::kind::bool_: out.field("bool_value", value.get_bool()); break;
    case json::kind::int64: out.field("int_value", value.get_int64()); break;
    case json::kind::uint64: out.field("string_value", std::to_string(value.get_uint64())); break;
    case json::kind::double_: out.field("double_value", value.get_double()); break;
    case json::kind::string: out.field("string_value", std::string_view(value.get_string())); break;
    case json::kind::array:
      out.key("array_value").begin_object();
      if (!value.get_array().empty()) {
        out.key("values").begin_array();
        for (const json::value& item : value.get_array()) write_any(out, item);
        out.end_array();
      }
      out.end_object();
      break;
    case json::kind::object:
      out.key("kvlist_value").begin_object();
      if (!value.get_object().empty()) {
        out.key("values").begin_array();
        for (const auto& [key, item] : value.get_object()) {
          out.begin_object().field("key", std::string_view(key));
          if (!item.is_null()) out.key("value"), write_any(out, item);
          out.end_object();
        }
        out.end_array();
      }
      out.end_object();
      break;
  }
  out.end_object();
}

void write_key_value(JsonWriter& out, std::string_view key, const json::value& value) {
  out.begin_object().field("key", key);
  if (!value.is_null()) out.key("value"), write_any(out, value);
  out.end_object();
}

std::string_view text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

int64_t number_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

// `dumped`: the values are JSON within strings, as a span's are; of events and links they are themselves.
void write_attributes(JsonWriter& out, const json::object& holder, bool dumped) {
  const json::value* attributes = holder.if_contains("attributes");
  if (attributes == nullptr || !attributes->is_object() || attributes->get_object().empty()) return;
  out.key("attributes").begin_array();
  for (const auto& [key, value] : attributes->get_object()) {
    if (!dumped || !value.is_string()) {
      write_key_value(out, key, value);
      continue;
    }
    const auto parsed = base::parse_json(value.get_string());
    write_key_value(out, key, parsed ? *parsed : value);  // NaN is no JSON: the text that says so
  }
  out.end_array();
}

void write_events(JsonWriter& out, const json::object& span) {
  const json::value* events = span.if_contains("events");
  if (events == nullptr || !events->is_array() || events->get_array().empty()) return;
  out.key("events").begin_array();
  for (const json::value& event : events->get_array()) {
    if (!event.is_object()) continue;
    const json::object& object = event.get_object();
    out.begin_object().field("time_unix_nano", number_of(object, "time_unix_nano"));
    out.field("name", text_of(object, "name"));
    write_attributes(out, object, false);
    out.end_object();
  }
  out.end_array();
}

std::string base64_of_hex(std::string_view hex) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    const size_t high = kDigits.find(hex[i]), low = kDigits.find(hex[i + 1]);
    if (high == kDigits.npos || low == kDigits.npos) return "";
    bytes += static_cast<char>(high << 4 | low);
  }
  return base::base64_encode(bytes);
}

void write_links(JsonWriter& out, const json::object& span) {
  const json::value* links = span.if_contains("links");
  if (links == nullptr || !links->is_array() || links->get_array().empty()) return;
  out.key("links").begin_array();
  for (const json::value& link : links->get_array()) {
    if (!link.is_object()) continue;
    std::string_view trace_id = text_of(link.get_object(), "trace_id");
    if (trace_id.starts_with("tr-")) trace_id.remove_prefix(3);
    out.begin_object().field("trace_id", base64_of_hex(trace_id));
    out.field("span_id", base64_of_hex(text_of(link.get_object(), "span_id")));
    write_attributes(out, link.get_object(), false);
    out.end_object();
  }
  out.end_array();
}

void write_status(JsonWriter& out, const json::object& span) {
  const json::value* status = span.if_contains("status");
  if (status == nullptr || !status->is_object()) return;
  const std::string_view message = text_of(status->get_object(), "message");
  const std::string_view code = text_of(status->get_object(), "code");
  out.key("status").begin_object();
  if (!message.empty()) out.field("message", message);
  if (code != "STATUS_CODE_UNSET") out.field("code", code);
  out.end_object();
}

void write_pairs(JsonWriter& out, std::string_view field, const track::Tags& entries) {
  if (entries.empty()) return;
  out.key(field).begin_array();
  for (const track::Tag& entry : entries) {
    out.begin_object().field("key", entry.key).field("value", entry.value).end_object();
  }
  out.end_array();
}

// Lists and maps of an expectation are told as text, scalars as themselves.
void write_expectation(JsonWriter& out, const std::string& value) {
  out.key("expectation").begin_object();
  if (value.starts_with('{') || value.starts_with('[')) {
    out.key("serialized_value").begin_object();
    out.field("serialization_format", "JSON_FORMAT").field("value", value).end_object();
  } else {
    out.key("value").raw(value);
  }
  out.end_object();
}

}  // namespace

std::string time_text(int64_t ms) {
  std::string text = base::format_iso8601(ms * 1000);  // …:03.568000Z
  text.resize(text.size() - 4);
  if (text.ends_with(".000")) text.resize(text.size() - 4);
  return text + "Z";
}

std::string duration_text(int64_t ms) {
  const bool negative = ms < 0;
  const int64_t size = negative ? -ms : ms;
  std::string text = (negative ? "-" : "") + std::to_string(size / 1000);
  if (size % 1000 != 0) {
    const std::string decimals = std::to_string(size % 1000);
    text += "." + std::string(3 - decimals.size(), '0') + decimals;
  }
  return text + "s";
}

void write(JsonWriter& out, const traces::Assessment& assessment) {
  out.begin_object().field("assessment_id", assessment.assessment_id);
  out.field("assessment_name", assessment.name).field("trace_id", assessment.trace_id);
  write_optional(out, "span_id", assessment.span_id);
  out.key("source").begin_object().field("source_type", assessment.source_type);
  write_optional(out, "source_id", assessment.source_id);
  out.end_object();
  out.field("create_time", time_text(assessment.created_ms));
  out.field("last_update_time", time_text(assessment.updated_ms));
  switch (assessment.kind) {
    case traces::AssessmentKind::kFeedback:
      out.key("feedback").begin_object().key("value").raw(assessment.value);
      if (assessment.error) out.key("error").raw(*assessment.error);
      out.end_object();
      break;
    case traces::AssessmentKind::kExpectation: write_expectation(out, assessment.value); break;
    case traces::AssessmentKind::kIssue: out.key("issue").raw(assessment.value); break;
  }
  write_optional(out, "rationale", assessment.rationale);
  write_map(out, "metadata", assessment.metadata);
  if (!assessment.overrides.empty()) out.field("overrides", assessment.overrides);
  out.field("valid", assessment.valid).end_object();
}

void write(JsonWriter& out, const traces::TraceInfo& info) {
  out.begin_object().field("trace_id", info.trace_id);
  write_optional(out, "client_request_id", info.client_request_id);
  out.key("trace_location").begin_object().field("type", "MLFLOW_EXPERIMENT");
  out.key("mlflow_experiment").begin_object().field("experiment_id", std::to_string(info.experiment));
  out.end_object().end_object();
  out.field("request_time", time_text(info.start_ms));
  if (info.duration_ms) out.field("execution_duration", duration_text(*info.duration_ms));
  out.field("state", info.state);
  write_map(out, "trace_metadata", info.metadata);
  if (!info.assessments.empty()) {
    out.key("assessments").begin_array();
    for (const traces::Assessment& assessment : info.assessments) write(out, assessment);
    out.end_array();
  }
  write_map(out, "tags", info.tags);
  write_optional(out, "request_preview", info.request_preview);
  write_optional(out, "response_preview", info.response_preview);
  out.end_object();
}

void write_v2(JsonWriter& out, const traces::TraceInfo& info) {
  out.begin_object().field("request_id", info.trace_id).field("experiment_id", std::to_string(info.experiment));
  out.field("timestamp_ms", info.start_ms).field("execution_time_ms", info.duration_ms.value_or(0));
  out.field("status", info.state == "STATE_UNSPECIFIED" ? std::string("TRACE_STATUS_UNSPECIFIED") : info.state);
  write_pairs(out, "request_metadata", info.metadata);
  write_pairs(out, "tags", info.tags);
  out.end_object();
}

void write_span(JsonWriter& out, std::string_view stored) {
  const auto parsed = base::parse_json(stored);
  out.begin_object();
  if (parsed && parsed->is_object()) {
    const json::object& span = parsed->get_object();
    out.field("trace_id", text_of(span, "trace_id")).field("span_id", text_of(span, "span_id"));
    if (const auto parent = text_of(span, "parent_span_id"); !parent.empty()) out.field("parent_span_id", parent);
    out.field("name", text_of(span, "name"));
    out.field("start_time_unix_nano", number_of(span, "start_time_unix_nano"));
    if (const int64_t end = number_of(span, "end_time_unix_nano"); end != 0) out.field("end_time_unix_nano", end);
    write_attributes(out, span, true);
    write_events(out, span);
    write_links(out, span);
    write_status(out, span);
  }
  out.end_object();
}

void write(JsonWriter& out, const traces::Trace& trace) {
  out.begin_object().key("trace_info");
  write(out, trace.info);
  if (!trace.spans.empty()) {
    out.key("spans").begin_array();
    for (const std::string& span : trace.spans) write_span(out, span);
    out.end_array();
  }
  out.end_object();
}

}  // namespace api::mlflow
