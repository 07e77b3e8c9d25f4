// The JSON form of OTLP: lowerCamelCase names, ids in hex, 64-bit integers as text or number, enumerations by number or
// name (the specification wants numbers; clients write both).
#include <charconv>

#include "base/hash.h"
#include "traces/otlp.h"
#include "traces/python_json.h"

namespace traces {

namespace json = base::json;
using base::invalid;
using base::Result;

namespace {

std::unexpected<base::Error> malformed(std::string_view what) {
  return invalid("Invalid OpenTelemetry format: " + std::string(what));
}

std::unexpected<base::Error> too_many(size_t most, std::string_view what) {
  return base::fail(base::Code::kTooLarge,
                    "Invalid OpenTelemetry format: more than " + std::to_string(most) + " " + std::string(what));
}

const json::value* field(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

Result<const json::array*> list(const json::object& object, std::string_view name) {
  static const json::array kNone;
  const json::value* value = field(object, name);
  if (value == nullptr) return &kNone;
  if (!value->is_array()) return malformed("'" + std::string(name) + "' must be a list");
  return &value->get_array();
}

Result<const json::object*> object_of(const json::value& value, std::string_view what) {
  if (!value.is_object()) return malformed(std::string(what) + " must be an object");
  return &value.get_object();
}

Result<std::string> text(const json::object& object, std::string_view name) {
  const json::value* value = field(object, name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return malformed("'" + std::string(name) + "' must be a string");
  return std::string(value->get_string());
}

Result<int64_t> integer(const json::value& value, std::string_view name) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_string()) {
    const std::string_view digits = value.get_string();
    int64_t number = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failed == std::errc() && end == digits.data() + digits.size() && !digits.empty()) return number;
  }
  return malformed("'" + std::string(name) + "' must be a 64-bit integer");
}

Result<int64_t> time(const json::object& object, std::string_view name) {
  const json::value* value = field(object, name);
  if (value == nullptr) return int64_t{0};
  TRY_SET(const int64_t ns, integer(*value, name));
  if (ns < 0) return malformed("'" + std::string(name) + "' is negative");
  return ns;
}

Result<std::string> id(const json::object& object, std::string_view name, size_t bytes, bool required) {
  TRY_SET(std::string hex, text(object, name));
  for (char& c : hex) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c + 32);
  }
  const bool zeros = hex.find_first_not_of('0') == hex.npos;
  if (zeros && !required) return std::string();
  if (hex.size() != 2 * bytes || zeros || hex.find_first_not_of("0123456789abcdef") != hex.npos) {
    return malformed("'" + std::string(name) + "' must be " + std::to_string(2 * bytes) +
                     " hexadecimal digits, not all 0");
  }
  return hex;
}

Result<json::value> any_value(const json::value& value, size_t depth);

Result<void> add_entries(const json::array& entries, json::object& out, size_t depth) {
  for (const json::value& entry : entries) {
    TRY_SET(const json::object* pair, object_of(entry, "an attribute"));
    TRY_SET(const std::string key, text(*pair, "key"));
    json::value converted;
    if (const json::value* value = field(*pair, "value")) {
      TRY_SET(converted, any_value(*value, depth));
    }
    out[key] = std::move(converted);
  }
  return {};
}

Result<json::value> any_value(const json::value& value, size_t depth) {
  if (depth >= kValueDepth) {
    return malformed("a value is nested deeper than " + std::to_string(kValueDepth) + " levels");
  }
  TRY_SET(const json::object* any, object_of(value, "a value"));
  if (const auto* v = field(*any, "stringValue")) {
    if (!v->is_string()) return malformed("'stringValue' must be a string");
    return *v;
  }
  if (const auto* v = field(*any, "boolValue")) {
    if (!v->is_bool()) return malformed("'boolValue' must be true or false");
    return *v;
  }
  if (const auto* v = field(*any, "intValue")) {
    TRY_SET(const int64_t number, integer(*v, "intValue"));
    return json::value(number);
  }
  if (const auto* v = field(*any, "doubleValue")) {
    if (v->is_string()) return *v;  // "NaN", "Infinity": kept as the text that says so
    if (!v->is_number()) return malformed("'doubleValue' must be a number");
    return json::value(v->to_number<double>());
  }
  if (const auto* v = field(*any, "arrayValue")) {
    TRY_SET(const json::object* holder, object_of(*v, "'arrayValue'"));
    TRY_SET(const json::array* values, list(*holder, "values"));
    json::array out;
    for (const json::value& item : *values) {
      TRY_SET(json::value converted, any_value(item, depth + 1));
      out.push_back(std::move(converted));
    }
    return json::value(std::move(out));
  }
  if (const auto* v = field(*any, "kvlistValue")) {
    TRY_SET(const json::object* holder, object_of(*v, "'kvlistValue'"));
    TRY_SET(const json::array* values, list(*holder, "values"));
    json::object out;
    TRY(add_entries(*values, out, depth + 1));
    return json::value(std::move(out));
  }
  if (const auto* v = field(*any, "bytesValue")) {
    if (!v->is_string()) return malformed("'bytesValue' must be a string");
    return *v;
  }
  return json::value(nullptr);
}

Result<Attributes> attributes(const json::object& object) {
  TRY_SET(const json::array* entries, list(object, "attributes"));
  if (entries->size() > kSpanAttributes) return too_many(kSpanAttributes, "attributes");
  Attributes out;
  for (const json::value& entry : *entries) {
    TRY_SET(const json::object* pair, object_of(entry, "an attribute"));
    Attribute& added = out.emplace_back();
    TRY_SET(added.key, text(*pair, "key"));
    json::value converted;
    if (const json::value* value = field(*pair, "value")) {
      TRY_SET(converted, any_value(*value, 0));
    }
    added.json = to_python(converted);
  }
  return out;
}

Result<void> read_status(const json::object& object, Span& out) {
  const json::value* value = field(object, "status");
  if (value == nullptr) return {};
  TRY_SET(const json::object* status, object_of(*value, "'status'"));
  TRY_SET(out.status_message, text(*status, "message"));
  if (const json::value* code = field(*status, "code")) {
    const bool ok = *code == json::value(1) || *code == json::value("STATUS_CODE_OK");
    const bool error = *code == json::value(2) || *code == json::value("STATUS_CODE_ERROR");
    out.status = ok ? SpanStatus::kOk : error ? SpanStatus::kError : SpanStatus::kUnset;
  }
  return {};
}

Result<void> read_parts(const json::object& object, Span& out) {
  TRY_SET(const json::array* events, list(object, "events"));
  TRY_SET(const json::array* links, list(object, "links"));
  if (events->size() > kSpanParts || links->size() > kSpanParts)
    return too_many(kSpanParts, "events or links of a span");
  for (const json::value& item : *events) {
    TRY_SET(const json::object* event, object_of(item, "an event"));
    SpanEvent& added = out.events.emplace_back();
    TRY_SET(added.name, text(*event, "name"));
    TRY_SET(added.time_ns, time(*event, "timeUnixNano"));
    TRY_SET(added.attributes, attributes(*event));
  }
  for (const json::value& item : *links) {
    TRY_SET(const json::object* link, object_of(item, "a link"));
    SpanLink& added = out.links.emplace_back();
    TRY_SET(added.trace_id, id(*link, "traceId", 16, true));
    TRY_SET(added.span_id, id(*link, "spanId", 8, true));
    TRY_SET(added.attributes, attributes(*link));
  }
  return {};
}

Result<Span> read_span(const json::object& object) {
  Span out;
  TRY_SET(out.trace_id, id(object, "traceId", 16, true));
  TRY_SET(out.span_id, id(object, "spanId", 8, true));
  TRY_SET(out.parent_id, id(object, "parentSpanId", 8, false));
  TRY_SET(out.name, text(object, "name"));
  if (out.name.size() > kSpanNameBytes) return malformed("a span's name is too long");
  TRY_SET(out.start_ns, time(object, "startTimeUnixNano"));
  TRY_SET(out.end_ns, time(object, "endTimeUnixNano"));
  TRY_SET(out.attributes, attributes(object));
  TRY(read_parts(object, out));
  TRY(read_status(object, out));
  return out;
}

}  // namespace

Result<SpanBatch> decode_otlp_json(std::string_view body) {
  if (body.size() > kOtlpBytes) return base::fail(base::Code::kTooLarge, "the request is too large");
  const auto parsed = base::parse_json(body);
  if (!parsed) return malformed(parsed.error().message);
  TRY_SET(const json::object* root, object_of(*parsed, "the body"));
  TRY_SET(const json::array* resources, list(*root, "resourceSpans"));
  if (resources->empty()) return malformed("no spans found");
  if (resources->size() > kRequestSpans) return too_many(kRequestSpans, "resources in one request");
  SpanBatch out;
  for (const json::value& item : *resources) {
    TRY_SET(const json::object* resource_spans, object_of(item, "an element of 'resourceSpans'"));
    const size_t resource = out.resources.size();
    out.resources.emplace_back();
    if (const json::value* value = field(*resource_spans, "resource")) {
      TRY_SET(const json::object* described, object_of(*value, "'resource'"));
      TRY_SET(out.resources[resource], attributes(*described));
    }
    TRY_SET(const json::array* scopes, list(*resource_spans, "scopeSpans"));
    for (const json::value& scope : *scopes) {
      TRY_SET(const json::object* scope_spans, object_of(scope, "an element of 'scopeSpans'"));
      TRY_SET(const json::array* spans, list(*scope_spans, "spans"));
      if (out.spans.size() + spans->size() > kRequestSpans) return too_many(kRequestSpans, "spans in one request");
      for (const json::value& span : *spans) {
        TRY_SET(const json::object* described, object_of(span, "a span"));
        TRY_SET(Span read, read_span(*described));
        read.resource = resource;
        out.spans.push_back(std::move(read));
      }
    }
  }
  return out;
}

}  // namespace traces
