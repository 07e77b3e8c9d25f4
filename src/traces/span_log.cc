#include "traces/span_log.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "core/event.h"
#include "store/packed_text.h"
#include "traces/analytics.h"
#include "traces/python_json.h"
#include "traces/translate.h"
#include "track/experiments.h"
#include "track/validate.h"

namespace traces {

using base::Result;

namespace {

constexpr std::string_view kTraceTagPrefix = "mlflow.traceTag.";
constexpr std::string_view kUserKey = "mlflow.trace.user";
constexpr size_t kDimensionChars = 500;

std::string base64_of_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    bytes += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  }
  return base::base64_encode(bytes);
}

std::string storable(std::string text) {  // the store takes no NUL
  std::erase(text, '\0');
  return text;
}

// {"key": value, …}: of events and links as they are, of spans as JSON within a string.
void append_attributes(std::string& out, const Attributes& attributes, bool as_text) {
  out += '{';
  std::unordered_map<std::string_view, size_t> last;  // a key given twice counts once, as in Python's dict
  for (size_t i = 0; i < attributes.size(); ++i) last[attributes[i].key] = i;
  std::unordered_set<std::string_view> written;
  for (const Attribute& attribute : attributes) {
    if (!written.insert(attribute.key).second) continue;
    if (written.size() > 1) out += ", ";
    append_python_string(out, attribute.key);
    out += ": ";
    const std::string& json = attributes[last[attribute.key]].json;
    as_text ? append_python_string(out, json) : void(out += json);
  }
  out += '}';
}

void append_events(std::string& out, const Span& span) {
  out += ", \"events\": [";
  for (size_t i = 0; i < span.events.size(); ++i) {
    const SpanEvent& event = span.events[i];
    out.append(i != 0 ? ", " : "").append("{\"name\": ");
    append_python_string(out, event.name);
    out += ", \"time_unix_nano\": " + std::to_string(event.time_ns) + ", \"attributes\": ";
    append_attributes(out, event.attributes, false);
    out += '}';
  }
  out += ']';
}

void append_links(std::string& out, const Span& span) {
  out += ", \"links\": [";
  for (size_t i = 0; i < span.links.size(); ++i) {
    const SpanLink& link = span.links[i];
    out.append(i != 0 ? ", " : "").append("{\"trace_id\": \"tr-").append(link.trace_id);
    out.append("\", \"span_id\": \"").append(link.span_id).append("\", \"attributes\": ");
    append_attributes(out, link.attributes, false);
    out += '}';
  }
  out += ']';
}

std::optional<std::string> dimension(const std::string* json) {
  if (json == nullptr || !json->starts_with('"')) return std::nullopt;
  return storable(std::string(track::first_chars(text_or_json(*json), kDimensionChars)));
}

std::string_view status_name(SpanStatus status) {
  return status == SpanStatus::kOk ? "OK" : status == SpanStatus::kError ? "ERROR" : "UNSET";
}

PreparedSpan prepare_span(const Span& span, store::Backend backend) {
  PreparedSpan out;
  out.span_id = span.span_id;
  out.parent_id = span.parent_id;
  out.name = storable(span.name);
  out.type = dimension(span.find("mlflow.spanType"));
  out.model = dimension(span.find("mlflow.llm.model"));
  out.provider = dimension(span.find("mlflow.llm.provider"));
  out.status = status_name(span.status);
  out.start_ns = span.start_ns;
  if (span.end_ns != 0) out.end_ns = span.end_ns;
  if (const std::string* usage = span.find("mlflow.chat.tokenUsage")) {
    if (std::string text = usage_text(read_usage(*usage)); !text.empty()) out.usage = std::move(text);
  }
  if (const std::string* cost = span.find("mlflow.llm.cost")) out.costs = read_costs(*cost).costs;
  out.packed = store::pack_text(backend, span_json(span));
  return out;
}

// Of several roots the first says how it went, the last what was asked and answered.
void prepare_root(const Span& span, PreparedTrace& trace) {
  if (!trace.root_state) trace.root_state = span.status == SpanStatus::kError ? "ERROR" : "OK";
  trace.request_preview.reset();
  trace.response_preview.reset();
  if (const std::string* inputs = span.find("mlflow.spanInputs")) trace.request_preview = preview_of(*inputs, "user");
  if (const std::string* outputs = span.find("mlflow.spanOutputs")) {
    trace.response_preview = preview_of(*outputs, "assistant");
  }
  for (const Attribute& attribute : span.attributes) {
    if (!attribute.key.starts_with(kTraceTagPrefix)) continue;
    const auto tag =
        checked_tag({attribute.key.substr(kTraceTagPrefix.size()), storable(text_or_json(attribute.json))});
    if (!tag) continue;
    if (tag->key == kTraceNameTag) {
      trace.name = tag->value;
    } else {
      trace.tags.push_back(*tag);
    }
  }
}

// What a span tells of its trace.
void prepare_trace(const Span& span, PreparedTrace& trace) {
  const int64_t start_ms = span.start_ns / 1'000'000;
  if (trace.spans.empty() || start_ms < trace.start_ms) trace.start_ms = start_ms;
  if (span.end_ns != 0) trace.end_ms = std::max(trace.end_ms.value_or(0), span.end_ns / 1'000'000);
  const std::string* session = span.find("session.id");
  if (session == nullptr) session = span.find("gen_ai.conversation.id");
  if (!trace.session && session != nullptr) {
    trace.session = storable(std::string(track::first_chars(text_or_json(*session), 250)));
  }
  if (const std::string* user = span.find("user.id"); !trace.user && user != nullptr) {
    trace.user = storable(text_or_json(*user));
  }
  if (span.parent_id.empty()) prepare_root(span, trace);
}

// A resource's attributes as tags; those of the SDK and MLflow's own names are not taken.
void prepare_resource(const Attributes& resource, PreparedTrace& trace) {
  track::Tags tags;
  for (const Attribute& attribute : resource) {
    if (attribute.key.starts_with("telemetry.sdk.") || attribute.key.starts_with("mlflow.")) continue;
    if (const auto tag = checked_tag({attribute.key, storable(text_or_json(attribute.json))})) tags.push_back(*tag);
  }
  trace.tags.insert(trace.tags.begin(), tags.begin(), tags.end());  // the root's own tags win
}

// --- totals over a tree ---------------------------------------------------------------------------------------------

struct Node {
  std::string span_id, parent_id;
  Analytics known;
};

// Sums what the topmost spans know: a span that sums up its children already must not be counted beside them.
Analytics total_of(const std::vector<Node>& nodes) {
  std::unordered_map<std::string_view, size_t> by_id;
  for (size_t i = 0; i < nodes.size(); ++i) by_id[nodes[i].span_id] = i;
  std::unordered_map<std::string_view, std::vector<size_t>> children;
  std::vector<size_t> roots;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const bool inner = !nodes[i].parent_id.empty() && by_id.contains(nodes[i].parent_id);
    inner ? children[nodes[i].parent_id].push_back(i) : roots.push_back(i);
  }
  struct Step {
    size_t node;
    bool tokens_counted, costs_counted;
  };
  std::vector<Step> open;
  for (const size_t root : roots) open.push_back({root, false, false});
  Analytics out;
  while (!open.empty()) {
    Step step = open.back();
    open.pop_back();
    const Analytics& known = nodes[step.node].known;
    if (known.has_tokens() && !step.tokens_counted) {
      for (size_t k = 0; k < known.tokens.size(); ++k) {
        const bool always = k < 3;  // the three that every usage has
        if (known.tokens[k] || always) out.tokens[k] = out.tokens[k].value_or(0) + known.tokens[k].value_or(0);
      }
      step.tokens_counted = true;
    }
    if (known.has_costs() && !step.costs_counted) {
      for (size_t k = 0; k < known.costs.size(); ++k) {
        out.costs[k] = out.costs[k].value_or(0) + known.costs[k].value_or(0);
      }
      step.costs_counted = true;
    }
    // Each node has one parent, so a node is stepped on once, also where ids of a broken trace form a ring.
    for (const size_t child : children[nodes[step.node].span_id]) {
      open.push_back({child, step.tokens_counted, step.costs_counted});
    }
  }
  return out;
}

Result<void> put_totals(store::Tx& tx, int64_t row, const TraceInfo& before, bool finalized) {
  std::vector<Node> nodes;
  {
    auto rows = tx.query(
        "SELECT span_id, parent_id, usage, input_cost, output_cost, total_cost FROM trace_spans "
        "WHERE project = ? AND trace = ?",
        tx.project(), row);
    while (rows.next()) {
      Node& node = nodes.emplace_back();
      node.span_id = rows.str(0);
      node.parent_id = rows.opt_str(1).value_or("");
      if (!rows.is_null(2)) node.known = read_usage(rows.text(2));
      for (int i = 0; i < 3; ++i) node.known.costs[static_cast<size_t>(i)] = rows.opt_f64(3 + i);
    }
  }
  const Analytics total = total_of(nodes);
  // What the client itself said at the end is not overruled.
  if (total.has_tokens() && !(finalized && before.meta(kTokenUsageKey) != nullptr)) {
    tx.exec(
        "UPDATE traces SET input_tokens = ?, output_tokens = ?, total_tokens = ?, cache_read_tokens = ?, "
        "cache_creation_tokens = ?, cache_creation_1h_tokens = ? WHERE project = ? AND id = ?",
        total.tokens[0], total.tokens[1], total.tokens[2], total.tokens[3], total.tokens[4], total.tokens[5],
        tx.project(), row);
  }
  if (total.has_costs() && !(finalized && before.meta(kCostKey) != nullptr)) {
    tx.exec("UPDATE traces SET input_cost = ?, output_cost = ?, total_cost = ? WHERE project = ? AND id = ?",
            total.costs[0], total.costs[1], total.costs[2], tx.project(), row);
  }
  return tx.status();
}

// --- writing --------------------------------------------------------------------------------------------------------

struct Row {
  int64_t id = 0;
  bool made = false, finalized = false;
};

Result<Row> find_or_make(store::Tx& tx, const PreparedTrace& trace, std::string_view experiment_id) {
  {
    auto rows =
        tx.query("SELECT id, finalized FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace.trace_id);
    if (rows.next()) return Row{rows.i64(0), false, rows.boolean(1)};
  }
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, experiment_id));
  std::optional<int64_t> duration;
  if (trace.end_ms) duration = *trace.end_ms - trace.start_ms;
  const auto id = tx.query_i64(
      "INSERT INTO traces (project, trace_id, exp, start_ms, duration_ms, state, finalized) "
      "VALUES (?, ?, ?, ?, ?, ?, 0) RETURNING id",
      tx.project(), trace.trace_id, experiment.id, trace.start_ms, duration, trace.root_state.value_or("IN_PROGRESS"));
  TRY(tx.status());
  TRY_SET(std::string location, trace_artifact_location(tx, experiment.id, trace.trace_id));
  put_tag(tx, id.value_or(0), {std::string(kArtifactLocationTag), std::move(location)});
  return Row{id.value_or(0), true, false};
}

void put_span(store::Tx& tx, int64_t trace, const PreparedSpan& span) {
  const std::optional<std::string> parent = span.parent_id.empty() ? std::nullopt : std::optional(span.parent_id);
  tx.exec(
      "INSERT INTO trace_spans (project, trace, span_id, parent_id, name, type, status, start_ns, end_ns, model, "
      "provider, usage, input_cost, output_cost, total_cost, content) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (project, trace, span_id) DO UPDATE SET parent_id = excluded.parent_id, name = excluded.name, "
      "type = excluded.type, status = excluded.status, start_ns = excluded.start_ns, end_ns = excluded.end_ns, "
      "model = excluded.model, provider = excluded.provider, usage = excluded.usage, "
      "input_cost = excluded.input_cost, output_cost = excluded.output_cost, total_cost = excluded.total_cost, "
      "content = excluded.content",
      tx.project(), trace, span.span_id, parent, span.name, span.type, span.status, span.start_ns, span.end_ns,
      span.model, span.provider, span.usage, span.costs[0], span.costs[1], span.costs[2], store::Blob{span.packed});
}

// The trace's own columns from what its spans say, where the client has not said it itself.
Result<void> put_trace(store::Tx& tx, const PreparedTrace& trace, const Row& row) {
  TRY_SET(const TraceInfo before, get_trace_info(tx, trace.trace_id));
  if (!row.finalized && !row.made) {
    const int64_t start = std::min(before.start_ms, trace.start_ms);
    std::optional<int64_t> duration;
    if (before.duration_ms) duration = before.start_ms + *before.duration_ms - start;
    if (trace.end_ms) duration = std::max(duration.value_or(0), *trace.end_ms - start);
    tx.exec("UPDATE traces SET start_ms = ?, duration_ms = ? WHERE project = ? AND id = ?", start, duration,
            tx.project(), row.id);
  }
  const bool open = before.state == "IN_PROGRESS" || before.state == "STATE_UNSPECIFIED";
  if (open && trace.root_state) {
    tx.exec("UPDATE traces SET state = ? WHERE project = ? AND id = ?", *trace.root_state, tx.project(), row.id);
  }
  tx.exec(
      "UPDATE traces SET request_preview = COALESCE(request_preview, ?), response_preview = "
      "COALESCE(response_preview, ?), name = COALESCE(?, name), session = COALESCE(session, ?) "
      "WHERE project = ? AND id = ?",
      trace.request_preview, trace.response_preview, trace.name, trace.session, tx.project(), row.id);
  if (trace.user && before.meta(kUserKey) == nullptr) put_metadata(tx, row.id, {std::string(kUserKey), *trace.user});
  for (const track::Tag& tag : trace.tags) put_tag(tx, row.id, tag);
  put_tag(tx, row.id, {std::string(kSpansLocationTag), std::string(kInTrackingStore)});
  const bool sums = std::ranges::any_of(trace.spans, [](const PreparedSpan& span) {
    return span.usage || std::ranges::any_of(span.costs, [](const auto& cost) { return cost.has_value(); });
  });
  if (sums) TRY(put_totals(tx, row.id, before, row.finalized));
  return tx.status();
}

}  // namespace

std::string span_json(const Span& span) {
  std::string out = "{\"trace_id\": \"" + base64_of_hex(span.trace_id) + "\", \"span_id\": \"" +
                    base64_of_hex(span.span_id) + "\", \"parent_span_id\": ";
  out += span.parent_id.empty() ? "null" : "\"" + base64_of_hex(span.parent_id) + "\"";
  out += ", \"name\": ";
  append_python_string(out, span.name);
  out += ", \"start_time_unix_nano\": " + std::to_string(span.start_ns) + ", \"end_time_unix_nano\": ";
  out += span.end_ns != 0 ? std::to_string(span.end_ns) : "null";
  append_events(out, span);
  out += ", \"status\": {\"code\": \"STATUS_CODE_";
  out.append(status_name(span.status)).append("\", \"message\": ");
  append_python_string(out, span.status_message);
  out += "}, \"attributes\": ";
  append_attributes(out, span.attributes, true);
  append_links(out, span);
  return out + "}";
}

std::vector<PreparedTrace> prepare_spans(SpanBatch batch, store::Backend backend) {
  std::map<std::string, PreparedTrace> by_id;  // in one order for all writers: no two wait for each other
  for (Span& span : batch.spans) {
    PreparedTrace& trace = by_id[span.trace_id];
    const bool first = trace.spans.empty();
    trace.trace_id = "tr-" + span.trace_id;
    // The id is derived from OTLP's own: whoever sends spans cannot claim another trace's name.
    span.set("mlflow.traceRequestId", python_string(trace.trace_id));
    translate(span);
    prepare_trace(span, trace);
    if (first && span.resource < batch.resources.size()) prepare_resource(batch.resources[span.resource], trace);
    trace.spans.push_back(prepare_span(span, backend));
    span = Span{};
  }
  std::vector<PreparedTrace> out;
  out.reserve(by_id.size());
  for (auto& [id, trace] : by_id) out.push_back(std::move(trace));
  return out;
}

Result<void> log_spans(store::Tx& tx, const SpanLog& log) {
  if (log.traces.size() > kRequestTraces) {
    return base::fail(base::Code::kTooLarge,
                      "One request brings spans of at most " + std::to_string(kRequestTraces) + " traces");
  }
  TRY_SET(const track::Experiment experiment, track::get_experiment(tx, log.experiment_id));
  TraceRunLink link;
  for (const PreparedTrace& trace : log.traces) {
    tx.lock("trace", trace.trace_id);
    TRY_SET(const Row row, find_or_make(tx, trace, log.experiment_id));
    for (const PreparedSpan& span : trace.spans) put_span(tx, row.id, span);
    TRY(put_trace(tx, trace, row));
    if (trace.root_state && !log.run_id.empty() && link.trace_ids.size() < kLinkedTraces) {
      link.trace_ids.push_back(trace.trace_id);
    }
    core::emit(tx, "trace.logged", "trace", trace.trace_id,
               "{\"experiment\": \"" + std::to_string(experiment.id) + "\"}");
  }
  if (!link.trace_ids.empty()) {
    link.run_id = log.run_id;
    // A run that is not there does not lose the spans.
    if (const auto linked = link_traces_to_run(tx, link); !linked && linked.error().code != base::Code::kNotFound) {
      return linked;
    }
  }
  return tx.status();
}

}  // namespace traces
