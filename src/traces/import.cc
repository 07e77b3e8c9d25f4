#include "traces/import.h"

#include "base/hash.h"
#include "base/json.h"
#include "store/packed_text.h"
#include "traces/analytics.h"
#include "traces/python_json.h"
#include "traces/span_log.h"
#include "track/validate.h"

namespace traces {

namespace json = base::json;
using base::Result;

namespace {

constexpr size_t kDimensionChars = 500;

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

int64_t number_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_number() ? value->to_number<int64_t>() : 0;
}

// Ids are base64 of 8 bytes, in some revisions their hex.
Result<std::string> id_of(const std::string& text) {
  if (text.size() == 16 || text.empty()) return text;
  TRY_SET(const std::string bytes, base::base64_decode(text));
  return base::to_hex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

Result<PreparedSpan> prepare(store::Backend backend, const std::string& text) {
  TRY_SET(const json::value value, base::parse_json(text));
  if (!value.is_object()) return base::invalid("a span is no JSON object");
  const json::object& span = value.get_object();
  PreparedSpan out;
  TRY_SET(out.span_id, id_of(text_of(span, "span_id")));
  if (out.span_id.empty()) return base::invalid("a span has no span_id");
  TRY_SET(out.parent_id, id_of(text_of(span, "parent_span_id")));
  out.name = text_of(span, "name");
  out.start_ns = number_of(span, "start_time_unix_nano");
  if (const int64_t end = number_of(span, "end_time_unix_nano"); end != 0) out.end_ns = end;
  out.status = "UNSET";
  if (const json::value* status = span.if_contains("status"); status != nullptr && status->is_object()) {
    const std::string code = text_of(status->get_object(), "code");
    if (code == "STATUS_CODE_OK") out.status = "OK";
    if (code == "STATUS_CODE_ERROR") out.status = "ERROR";
  }
  const json::value* attributes = span.if_contains("attributes");
  if (attributes != nullptr && attributes->is_object()) {
    const auto dimension = [&](std::string_view key) -> std::optional<std::string> {
      const std::string found = text_of(attributes->get_object(), key);
      if (!found.starts_with('"')) return std::nullopt;
      return std::string(track::first_chars(text_or_json(found), kDimensionChars));
    };
    out.type = dimension("mlflow.spanType");
    out.model = dimension("mlflow.llm.model");
    out.provider = dimension("mlflow.llm.provider");
    if (const std::string usage = text_of(attributes->get_object(), "mlflow.chat.tokenUsage"); !usage.empty()) {
      if (std::string known = usage_text(read_usage(usage)); !known.empty()) out.usage = std::move(known);
    }
    if (const std::string cost = text_of(attributes->get_object(), "mlflow.llm.cost"); !cost.empty())
      out.costs = read_costs(cost).costs;
  }
  out.packed = store::pack_text(backend, text);
  return out;
}

}  // namespace

std::vector<std::string> spans_of_file(const std::string& text) {
  std::vector<std::string> out;
  const auto parsed = try_parse(text);
  const auto* spans = parsed && parsed->is_object() ? parsed->get_object().if_contains("spans") : nullptr;
  if (spans == nullptr || !spans->is_array()) return out;
  for (const auto& span : spans->get_array()) {
    // The first schema has its ids in "context".
    if (!span.is_object() || !span.get_object().contains("start_time_unix_nano")) return {};
    out.push_back(to_python(span));
  }
  return out;
}

Result<std::vector<std::string>> traces_to_import(store::Tx& tx, std::span<const std::string> trace_ids) {
  std::vector<std::string> out;
  for (const std::string& id : trace_ids) {
    if (!tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), id)) out.push_back(id);
  }
  TRY(tx.status());
  return out;
}

Result<void> import_trace(store::Tx& tx, const ImportedTrace& trace) {
  PreparedTrace spans;
  spans.trace_id = trace.info.trace_id;
  spans.start_ms = trace.info.start_ms;
  for (const std::string& text : trace.spans) {
    TRY_SET(PreparedSpan span, prepare(tx.backend(), text));
    spans.spans.push_back(std::move(span));
  }
  NewTrace info = trace.info;
  info.spans_follow = !spans.spans.empty();
  TRY_SET(const TraceInfo made, start_trace(tx, info));
  for (const std::string& run : trace.runs) {
    tx.exec("INSERT INTO trace_runs (project, run_id, trace) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", tx.project(),
            run, made.row);
  }
  for (const std::string& prompt : trace.prompts) {
    tx.exec("INSERT INTO trace_prompts (project, prompt, trace) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", tx.project(),
            prompt, made.row);
  }
  TRY(tx.status());
  if (spans.spans.empty()) return {};
  SpanLog log;
  log.experiment_id = info.experiment_id;
  log.traces.push_back(std::move(spans));
  return log_spans(tx, log);
}

Result<std::vector<TraceCounts>> count_traces(store::Tx& tx, std::span<const std::string> trace_ids) {
  std::vector<TraceCounts> out;
  for (const std::string& id : trace_ids) {
    const auto row = tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), id);
    if (!row) continue;
    const auto count = [&](std::string_view sql) { return tx.query_i64(sql, tx.project(), *row).value_or(0); };
    out.push_back({id, count("SELECT COUNT(*) FROM trace_spans WHERE project = ? AND trace = ?"),
                   count("SELECT COUNT(*) FROM trace_assessments WHERE project = ? AND trace = ?")});
  }
  TRY(tx.status());
  return out;
}

}  // namespace traces
