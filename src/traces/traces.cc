#include "traces/traces.h"

#include <algorithm>
#include <map>

#include "core/audit.h"
#include "core/event.h"
#include "store/packed_text.h"
#include "traces/analytics.h"
#include "traces/python_json.h"
#include "traces/span.h"
#include "track/experiments.h"
#include "track/runs.h"
#include "track/validate.h"

namespace traces {

using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr std::string_view kFinalized = "mlflow.trace.infoFinalized";
constexpr std::string_view kSizeStats = "mlflow.trace.sizeStats";

std::unexpected<base::Error> no_trace(std::string_view trace_id) {
  return not_found("Trace with ID '" + std::string(trace_id) + "' not found.");
}

const std::string* find(const track::Tags& tags, std::string_view key) {
  const std::string* out = nullptr;
  for (const track::Tag& tag : tags) {
    if (tag.key == key) out = &tag.value;
  }
  return out;
}

Result<void> check_new(const NewTrace& trace) {
  if (trace.trace_id.empty()) return track::missing_value("trace.trace_info.trace_id");
  if (trace.trace_id.size() > kTraceIdBytes) {
    return invalid("A trace's ID has at most " + std::to_string(kTraceIdBytes) + " bytes");
  }
  if (trace.tags.size() > kTraceTags || trace.metadata.size() > kTraceTags) {
    return invalid("A trace has at most " + std::to_string(kTraceTags) + " tags and as many metadata entries");
  }
  for (const track::Tag& entry : trace.metadata) {
    TRY(track::check_length("Trace metadata key", 250, entry.key));
    if (entry.value.size() > kTraceMetadataBytes) {
      return invalid("Trace metadata '" + entry.key + "' has more than " + std::to_string(kTraceMetadataBytes) +
                     " bytes");
    }
  }
  if (const std::string* session = find(trace.metadata, kSessionKey)) {
    TRY(track::check_length("Session ID", 250, *session));
  }
  return {};
}

// Columns that metadata is promoted to; only what is given is written.
void put_promoted(store::Tx& tx, int64_t row, const track::Tags& metadata) {
  if (const std::string* session = find(metadata, kSessionKey)) {
    tx.exec("UPDATE traces SET session = ? WHERE project = ? AND id = ?", *session, tx.project(), row);
  }
  if (const std::string* usage = find(metadata, kTokenUsageKey)) {
    const Analytics known = read_usage(*usage);
    tx.exec(
        "UPDATE traces SET input_tokens = ?, output_tokens = ?, total_tokens = ?, cache_read_tokens = ?, "
        "cache_creation_tokens = ?, cache_creation_1h_tokens = ? WHERE project = ? AND id = ?",
        known.tokens[0], known.tokens[1], known.tokens[2], known.tokens[3], known.tokens[4], known.tokens[5],
        tx.project(), row);
  }
  if (const std::string* cost = find(metadata, kCostKey)) {
    const Analytics known = read_costs(*cost);
    tx.exec("UPDATE traces SET input_cost = ?, output_cost = ?, total_cost = ? WHERE project = ? AND id = ?",
            known.costs[0], known.costs[1], known.costs[2], tx.project(), row);
  }
}

bool is_promoted(std::string_view key) { return key == kSessionKey || key == kTokenUsageKey || key == kCostKey; }

Result<void> put_tags_and_metadata(store::Tx& tx, int64_t row, const track::Tags& tags, const track::Tags& metadata) {
  for (const track::Tag& tag : tags) {
    if (tag.key.empty()) return invalid("A trace's tag must have a name");
    TRY(track::check_length("key", 250, tag.key));
    const track::Tag fitting{tag.key, std::string(track::first_chars(tag.value, kTraceTagChars))};
    if (tag.key == kTraceNameTag) {
      tx.exec("UPDATE traces SET name = ? WHERE project = ? AND id = ?", fitting.value, tx.project(), row);
    } else {
      put_tag(tx, row, fitting);
    }
  }
  for (const track::Tag& entry : metadata) {
    if (!is_promoted(entry.key)) put_metadata(tx, row, entry);
  }
  put_promoted(tx, row, metadata);
  return {};
}

// The row of a trace: a new one, or the one that its spans have made.
Result<int64_t> put_row(store::Tx& tx, const NewTrace& trace, int64_t experiment) {
  const auto row =
      tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace.trace_id);
  if (!row) {
    const auto id = tx.query_i64(
        "INSERT INTO traces (project, trace_id, exp, start_ms, duration_ms, state, client_request_id, request_preview, "
        "response_preview, finalized) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        tx.project(), trace.trace_id, experiment, trace.start_ms, trace.duration_ms, trace.state,
        trace.client_request_id, trace.request_preview, trace.response_preview, trace.final);
    TRY(tx.status());
    return id.value_or(0);
  }
  tx.exec(
      "UPDATE traces SET exp = ?, start_ms = ?, duration_ms = ?, state = ?, client_request_id = ?, "
      "request_preview = COALESCE(?, request_preview), response_preview = COALESCE(?, response_preview), "
      "finalized = ? WHERE project = ? AND id = ?",
      experiment, trace.start_ms, trace.duration_ms, trace.state, trace.client_request_id, trace.request_preview,
      trace.response_preview, trace.final, tx.project(), *row);
  return *row;
}

std::string event_body(int64_t experiment) { return "{\"experiment\": \"" + std::to_string(experiment) + "\"}"; }

// Spans of a trace, bounded in bytes over all traces of an answer.
Result<std::vector<std::string>> read_spans(store::Tx& tx, int64_t trace, size_t& bytes) {
  std::vector<std::string> out;
  auto rows = tx.query(
      "SELECT content FROM trace_spans WHERE project = ? AND trace = ? "
      "ORDER BY (CASE WHEN parent_id IS NULL THEN 0 ELSE 1 END), start_ns, id",
      tx.project(), trace);
  while (rows.next()) {
    TRY_SET(std::string text, store::unpack_text(tx.backend(), rows.text(0)));
    bytes += text.size();
    if (bytes > kReadBytes) {
      return base::fail(base::Code::kTooLarge, "The spans have more than " + std::to_string(kReadBytes) +
                                                   " bytes together; ask for fewer traces");
    }
    out.push_back(std::move(text));
  }
  return out;
}

bool is_whole(const TraceInfo& info, size_t spans) {
  const std::string* stats = info.meta(kSizeStats);
  if (stats == nullptr) return spans > 0;
  const auto parsed = try_parse(*stats);
  if (!parsed || !parsed->is_object()) return spans > 0;
  const auto* expected = parsed->get_object().if_contains("num_spans");
  return spans > 0 &&
         !(expected != nullptr && expected->is_int64() && static_cast<int64_t>(spans) < expected->get_int64());
}

Result<std::vector<TraceInfo>> infos_of(store::Tx& tx, const BatchGet& get) {
  if (get.trace_ids.size() > kBatchTraces) {
    return invalid("At most " + std::to_string(kBatchTraces) + " traces can be asked for at once");
  }
  std::vector<int64_t> experiments;
  for (const std::string& id : get.experiment_ids.value_or(std::vector<std::string>())) {
    TRY_SET(experiments.emplace_back(), track::parse_experiment_id(id));
  }
  std::vector<TraceInfo> out;
  std::map<std::string_view, bool> seen;
  const std::string sql =
      "SELECT " + std::string(kTraceColumns) + " FROM traces t WHERE t.project = ? AND t.trace_id = ?";
  for (const std::string& id : get.trace_ids) {
    if (!seen.emplace(id, true).second) continue;
    auto rows = tx.query(sql, tx.project(), id);
    if (!rows.next()) continue;
    TraceInfo info = read_trace_row(rows);
    if (get.experiment_ids && std::ranges::find(experiments, info.experiment) == experiments.end()) continue;
    out.push_back(std::move(info));
  }
  load_parts(tx, out);
  TRY(tx.status());
  return out;
}

}  // namespace

const std::string* TraceInfo::tag(std::string_view key) const { return find(tags, key); }
const std::string* TraceInfo::meta(std::string_view key) const { return find(metadata, key); }

TraceInfo read_trace_row(store::Rows& rows) {
  TraceInfo out;
  out.row = rows.i64(0);
  out.trace_id = rows.str(1);
  out.experiment = rows.i64(2);
  out.start_ms = rows.i64(3);
  out.duration_ms = rows.opt_i64(4);
  out.state = rows.str(5);
  out.client_request_id = rows.opt_str(6);
  out.request_preview = rows.opt_str(7);
  out.response_preview = rows.opt_str(8);
  if (!rows.is_null(9)) out.tags.push_back({std::string(kTraceNameTag), rows.str(9)});
  if (!rows.is_null(10)) out.metadata.push_back({std::string(kSessionKey), rows.str(10)});
  Analytics known;
  for (int i = 0; i < 6; ++i) known.tokens[static_cast<size_t>(i)] = rows.opt_i64(11 + i);
  for (int i = 0; i < 3; ++i) known.costs[static_cast<size_t>(i)] = rows.opt_f64(17 + i);
  if (known.has_tokens()) out.metadata.push_back({std::string(kTokenUsageKey), usage_text(known)});
  if (known.has_costs()) out.metadata.push_back({std::string(kCostKey), cost_text(known)});
  return out;
}

void load_parts(store::Tx& tx, std::vector<TraceInfo>& traces) {
  std::vector<int64_t> ids;
  ids.reserve(traces.size());
  for (TraceInfo& info : traces) {
    ids.push_back(info.row);
    {
      auto rows = tx.query("SELECT key, value FROM trace_tags WHERE project = ? AND trace = ? ORDER BY key",
                           tx.project(), info.row);
      while (rows.next()) info.tags.push_back({rows.str(0), rows.str(1)});
    }
    auto rows = tx.query("SELECT key, value FROM trace_metadata WHERE project = ? AND trace = ? ORDER BY key",
                         tx.project(), info.row);
    while (rows.next()) info.metadata.push_back({rows.str(0), rows.str(1)});
  }
  auto assessments = load_assessments(tx, ids);
  for (TraceInfo& info : traces) {
    if (const auto found = assessments.find(info.row); found != assessments.end()) {
      info.assessments = std::move(found->second);
    }
  }
}

Result<int64_t> trace_row(store::Tx& tx, std::string_view trace_id) {
  const auto row = tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace_id);
  TRY(tx.status());
  if (!row) return no_trace(trace_id);
  return *row;
}

void put_tag(store::Tx& tx, int64_t trace, const track::Tag& tag) {
  tx.exec(
      "INSERT INTO trace_tags (project, trace, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, trace, key) DO UPDATE SET value = excluded.value",
      tx.project(), trace, tag.key, tag.value);
}

void put_metadata(store::Tx& tx, int64_t trace, const track::Tag& entry) {
  tx.exec(
      "INSERT INTO trace_metadata (project, trace, key, value) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (project, trace, key) DO UPDATE SET value = excluded.value",
      tx.project(), trace, entry.key, entry.value);
}

Result<std::string> trace_artifact_location(store::Tx& tx, int64_t experiment, std::string_view trace_id) {
  TRY_SET(const track::Experiment found, track::get_experiment(tx, std::to_string(experiment)));
  std::string root = found.artifact_location;
  while (root.ends_with('/')) root.pop_back();
  return root + "/traces/" + std::string(trace_id) + "/artifacts";
}

Result<track::Tag> checked_tag(const track::Tag& tag) {
  TRY(track::check_key(tag.key, "key"));
  TRY(track::check_length("key", 250, tag.key));
  return track::Tag{tag.key, std::string(track::first_chars(tag.value, kTraceTagChars))};
}

Result<TraceInfo> start_trace(store::Tx& tx, const NewTrace& trace) {
  TRY(check_new(trace));
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, trace.experiment_id));
  tx.lock("trace", trace.trace_id);
  TRY_SET(const int64_t row, put_row(tx, trace, experiment.id));
  TRY(put_tags_and_metadata(tx, row, trace.tags, trace.metadata));
  TRY_SET(std::string location, trace_artifact_location(tx, experiment.id, trace.trace_id));
  put_tag(tx, row, {std::string(kArtifactLocationTag), std::move(location)});
  if (trace.spans_follow) put_tag(tx, row, {std::string(kSpansLocationTag), std::string(kInTrackingStore)});
  if (trace.final) put_metadata(tx, row, {std::string(kFinalized), "true"});
  for (Assessment assessment : trace.assessments) {
    assessment.trace_id = trace.trace_id;
    TRY(put_assessment(tx, row, assessment));
  }
  core::emit(tx, "trace.logged", "trace", trace.trace_id, event_body(experiment.id));
  TRY(tx.status());
  return get_trace_info(tx, trace.trace_id);
}

Result<TraceInfo> start_trace_v2(store::Tx& tx, const NewTrace& given) {
  NewTrace trace = given;
  trace.trace_id = tx.ctx().new_hex32();
  trace.state = "IN_PROGRESS";
  trace.final = false;
  return start_trace(tx, trace);
}

Result<TraceInfo> end_trace_v2(store::Tx& tx, const TraceEnd& end) {
  TRY_SET(const int64_t row, trace_row(tx, end.trace_id));
  tx.lock("trace", end.trace_id);
  TRY_SET(const TraceInfo before, get_trace_info(tx, end.trace_id));
  tx.exec("UPDATE traces SET duration_ms = ?, state = ? WHERE project = ? AND id = ?", end.end_ms - before.start_ms,
          end.state, tx.project(), row);
  TRY(put_tags_and_metadata(tx, row, end.tags, end.metadata));
  core::emit(tx, "trace.logged", "trace", end.trace_id, event_body(before.experiment));
  TRY(tx.status());
  return get_trace_info(tx, end.trace_id);
}

Result<TraceInfo> get_trace_info(store::Tx& tx, std::string_view trace_id) {
  std::vector<TraceInfo> found;
  {
    auto rows =
        tx.query("SELECT " + std::string(kTraceColumns) + " FROM traces t WHERE t.project = ? AND t.trace_id = ?",
                 tx.project(), trace_id);
    if (!rows.next()) return no_trace(trace_id);
    found.push_back(read_trace_row(rows));
  }
  load_parts(tx, found);
  TRY(tx.status());
  return std::move(found[0]);
}

std::optional<int64_t> experiment_of_trace(store::Tx& tx, std::string_view trace_id) {
  return tx.query_i64("SELECT exp FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace_id);
}

Result<std::vector<TraceInfo>> batch_get_infos(store::Tx& tx, const BatchGet& get) { return infos_of(tx, get); }

Result<Trace> get_trace(store::Tx& tx, std::string_view trace_id) {
  Trace out;
  auto info = get_trace_info(tx, trace_id);
  if (!info && info.error().code == base::Code::kNotFound) {
    return not_found("Trace with ID " + std::string(trace_id) + " is not found.");
  }
  if (!info) return std::unexpected(info.error());
  out.info = std::move(*info);
  size_t bytes = 0;
  TRY_SET(out.spans, read_spans(tx, out.info.row, bytes));
  out.whole = is_whole(out.info, out.spans.size());
  TRY(tx.status());
  return out;
}

Result<std::vector<Trace>> batch_get_traces(store::Tx& tx, const BatchGet& get) {
  TRY_SET(std::vector<TraceInfo> infos, infos_of(tx, get));
  std::vector<Trace> out;
  size_t bytes = 0;
  for (TraceInfo& info : infos) {
    Trace trace;
    TRY_SET(trace.spans, read_spans(tx, info.row, bytes));
    if (!is_whole(info, trace.spans.size())) continue;
    trace.info = std::move(info);
    out.push_back(std::move(trace));
  }
  TRY(tx.status());
  return out;
}

Result<void> set_trace_tag(store::Tx& tx, std::string_view trace_id, const track::Tag& given) {
  TRY_SET(const track::Tag tag, checked_tag(given));
  TRY_SET(const int64_t row, trace_row(tx, trace_id));
  if (tag.key == kTraceNameTag) {
    tx.exec("UPDATE traces SET name = ? WHERE project = ? AND id = ?", tag.value, tx.project(), row);
  } else {
    put_tag(tx, row, tag);
  }
  core::emit(tx, "trace.tagged", "trace", trace_id, R"({"key": )" + python_string(tag.key) + "}");
  return tx.status();
}

Result<void> delete_trace_tag(store::Tx& tx, std::string_view trace_id, std::string_view key) {
  TRY_SET(const int64_t row, trace_row(tx, trace_id));
  const int64_t changed =
      key == kTraceNameTag
          ? tx.exec("UPDATE traces SET name = NULL WHERE project = ? AND id = ? AND name IS NOT NULL", tx.project(),
                    row)
          : tx.exec("DELETE FROM trace_tags WHERE project = ? AND trace = ? AND key = ?", tx.project(), row, key);
  TRY(tx.status());
  if (changed == 0) {
    return not_found("No trace tag with key '" + std::string(key) + "' for trace with ID '" + std::string(trace_id) +
                     "'");
  }
  core::emit(tx, "trace.tagged", "trace", trace_id, R"({"key": )" + python_string(key) + "}");
  return tx.status();
}

Result<void> link_traces_to_run(store::Tx& tx, const TraceRunLink& link) {
  if (link.trace_ids.size() > kLinkedTraces) {
    return invalid("Cannot link more than " + std::to_string(kLinkedTraces) +
                   " traces to a run in a single request. Provided " + std::to_string(link.trace_ids.size()) +
                   " traces.");
  }
  TRY_SET(const track::RunInfo run, track::get_run_info(tx, link.run_id));
  for (const std::string& trace_id : link.trace_ids) {
    const auto row = tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace_id);
    if (!row) continue;
    tx.exec(
        "INSERT INTO trace_runs (project, run_id, trace) VALUES (?, ?, ?) ON CONFLICT (project, run_id, trace) DO "
        "NOTHING",
        tx.project(), run.run_id, *row);
  }
  core::emit(tx, "run.traced", "run", run.run_id);
  return tx.status();
}

Result<void> link_prompts_to_trace(store::Tx& tx, const TracePromptLink& link) {
  if (link.prompts.empty()) return {};
  if (link.prompts.size() > kTraceTags) {
    return invalid("At most " + std::to_string(kTraceTags) + " prompts can be linked at once");
  }
  TRY_SET(const int64_t row, trace_row(tx, link.trace_id));
  for (const PromptVersion& prompt : link.prompts) {
    TRY_SET(const int64_t version, track::parse_version(prompt.version));
    tx.exec(
        "INSERT INTO trace_prompts (project, prompt, trace) VALUES (?, ?, ?) ON CONFLICT (project, prompt, trace) DO "
        "NOTHING",
        tx.project(), prompt.name + "/" + std::to_string(version), row);
  }
  core::emit(tx, "trace.linked", "trace", link.trace_id);
  return tx.status();
}

// --- deletion -------------------------------------------------------------------------------------------------------

Result<void> check_deletion(const TraceDeletion& deletion) {
  if (!deletion.max_start_ms && deletion.trace_ids.empty()) {
    return invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.");
  }
  if (deletion.max_start_ms && !deletion.trace_ids.empty()) {
    return invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.");
  }
  if (!deletion.trace_ids.empty() && deletion.max_traces) {
    return invalid("`max_traces` can't be specified if `trace_ids` is specified.");
  }
  if (deletion.max_traces && *deletion.max_traces <= 0) {
    return invalid("`max_traces` must be a positive integer, received " + std::to_string(*deletion.max_traces) + ".");
  }
  if (deletion.trace_ids.size() > kBatchTraces) {
    return invalid("At most " + std::to_string(kBatchTraces) + " traces can be named at once");
  }
  return {};
}

namespace {

// The traces that this step may delete, oldest first.
Result<std::vector<std::pair<int64_t, std::string>>> doomed(store::Tx& tx, const TraceDeletion& deletion, int64_t exp,
                                                            size_t most) {
  std::vector<std::pair<int64_t, std::string>> out;
  if (deletion.max_start_ms) {
    auto rows = tx.query(
        "SELECT id, trace_id FROM traces WHERE project = ? AND exp = ? AND start_ms <= ? ORDER BY start_ms, trace_id "
        "LIMIT ?",
        tx.project(), exp, *deletion.max_start_ms, most);
    while (rows.next()) out.emplace_back(rows.i64(0), rows.str(1));
    return out;
  }
  for (const std::string& id : deletion.trace_ids) {
    if (out.size() == most) break;
    const auto row =
        tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ? AND exp = ?", tx.project(), id, exp);
    if (row) out.emplace_back(*row, id);
  }
  return out;
}

// Everything of one trace, as far as `budget` rows go; true when the trace itself is gone.
bool erase(store::Tx& tx, int64_t row, std::string_view trace_id, int64_t& budget) {
  budget -= tx.exec(
      "DELETE FROM trace_spans WHERE id IN (SELECT id FROM trace_spans WHERE project = ? AND trace = ? LIMIT ?)",
      tx.project(), row, budget);
  if (budget <= 0) return false;
  for (const std::string_view sql : {"DELETE FROM trace_tags WHERE project = ? AND trace = ?",
                                     "DELETE FROM trace_metadata WHERE project = ? AND trace = ?",
                                     "DELETE FROM trace_assessments WHERE project = ? AND trace = ?",
                                     "DELETE FROM trace_runs WHERE project = ? AND trace = ?",
                                     "DELETE FROM trace_prompts WHERE project = ? AND trace = ?"}) {
    budget -= tx.exec(sql, tx.project(), row);
  }
  budget -= tx.exec("DELETE FROM review_queue_items WHERE project = ? AND item_id = ?", tx.project(), trace_id);
  budget -= tx.exec("DELETE FROM traces WHERE project = ? AND id = ?", tx.project(), row);
  return true;
}

}  // namespace

Result<DeletionStep> delete_traces_step(store::Tx& tx, const TraceDeletion& deletion) {
  constexpr size_t kStepTraces = 500;
  TRY(check_deletion(deletion));
  TRY_SET(const int64_t exp, track::parse_experiment_id(deletion.experiment_id));
  const size_t most =
      deletion.max_traces ? std::min<size_t>(kStepTraces, static_cast<size_t>(*deletion.max_traces)) : kStepTraces;
  TRY_SET(const auto traces, doomed(tx, deletion, exp, most));
  DeletionStep step;
  int64_t budget = kDeleteStepRows;
  for (const auto& [row, trace_id] : traces) {
    if (budget <= 0) {
      step.more = true;
      break;
    }
    tx.lock("trace", trace_id);
    if (!erase(tx, row, trace_id, budget)) {
      step.more = true;
      break;
    }
    ++step.deleted;
  }
  if (traces.size() == most && (!deletion.max_traces || step.deleted < *deletion.max_traces)) step.more = true;
  if (step.deleted > 0) {
    const std::string body = "{\"count\": " + std::to_string(step.deleted) + "}";
    core::emit(tx, "traces.deleted", "experiment", deletion.experiment_id, body);
    core::audit(tx, "traces.deleted", "experiment", deletion.experiment_id, body);
  }
  TRY(tx.status());
  return step;
}

}  // namespace traces
