// Traces: v3, and the first API where its paths still serve old clients. POST and GET of …/traces mean different calls
// in 2.0 and 3.0; since every call is served under both, the body and the parameters tell them apart.
#include "traces/traces.h"

#include <cmath>

#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/trace_args.h"
#include "api/mlflow/trace_json.h"
#include "base/loop.h"
#include "traces/search.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr size_t kTraceBody = size_t{32} << 20;  // previews and metadata of one trace, with its assessments

// --- start and end --------------------------------------------------------------------------------------------------

// The Python client of 3.4 and later sends its spans over OTLP; who does not uploads them as a file.
bool sends_spans(std::string_view user_agent) {
  constexpr std::string_view kName = "mlflow-python-client/";
  if (!user_agent.starts_with(kName)) return false;
  user_agent.remove_prefix(kName.size());
  const size_t dot = user_agent.find('.');
  if (dot == user_agent.npos || dot == 0) return false;
  const auto number = [](std::string_view digits) {
    int out = 0;
    for (const char c : digits.substr(0, 4)) {
      if (c < '0' || c > '9') break;
      out = out * 10 + (c - '0');
    }
    return out;
  };
  const int major = number(user_agent.substr(0, dot)), minor = number(user_agent.substr(dot + 1));
  return major > 3 || (major == 3 && minor >= 4);
}

struct Start {
  traces::NewTrace trace;
  bool v2 = false;
};

Start parse_start(Args& args) {
  Start out;
  if (const json::object* trace = args.object_in(args.root(), "trace", "")) {
    const json::object* info = args.object_in(*trace, "trace_info", "trace");
    if (info == nullptr) {
      args.missing("trace.trace_info");
      return out;
    }
    out.trace = parse_trace_info(args, *info);
    out.trace.spans_follow = sends_spans(args.header("user-agent"));
    return out;
  }
  out.v2 = args.has("experiment_id");
  if (!out.v2) args.missing("trace");
  out.trace.experiment_id = args.text("experiment_id");
  out.trace.start_ms = args.integer("timestamp_ms").value_or(0);
  out.trace.metadata = args.tags("request_metadata");
  out.trace.tags = args.tags("tags");
  return out;
}

struct Started {
  traces::TraceInfo info;
  bool v2 = false;
};

Result<Started> start(Tx& tx, const Start& in) {
  TRY_SET(traces::TraceInfo info, in.v2 ? traces::start_trace_v2(tx, in.trace) : traces::start_trace(tx, in.trace));
  return Started{std::move(info), in.v2};
}

void render_info(JsonWriter& out, const traces::TraceInfo& info) {
  out.key("trace").begin_object().key("trace_info");
  write(out, info);
  out.end_object();
}

void render_info_v2(JsonWriter& out, const traces::TraceInfo& info) {
  out.key("trace_info");
  write_v2(out, info);
}

traces::TraceEnd parse_end(Args& args) {
  constexpr std::string_view kStates[] = {"TRACE_STATUS_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"};
  traces::TraceEnd out;
  out.trace_id = args.path_param("request_id");
  out.end_ms = args.integer("timestamp_ms").value_or(0);
  out.state = kTraceStates[static_cast<size_t>(args.choice("status", kStates, 0).value_or(0))];
  out.metadata = args.tags("request_metadata");
  out.tags = args.tags("tags");
  return out;
}

// --- search ---------------------------------------------------------------------------------------------------------

int64_t page_size(Args& args) {
  const int64_t size = args.integer("max_results").value_or(100);
  if (size > traces::kMaxTracePage) args.wrong("max_results", json::value(size));
  return size;
}

traces::TraceSearch parse_search(Args& args) {
  traces::TraceSearch out;
  if (!args.has("locations")) args.missing("locations");
  const auto locations = args.objects("locations");
  for (size_t i = 0; i < locations.size(); ++i) {
    const std::string where = "locations[" + std::to_string(i) + "]";
    if (const json::object* experiment = args.object_in(*locations[i], "mlflow_experiment", where)) {
      out.experiment_ids.push_back(args.text_in(*experiment, "experiment_id", where, true));
    }
  }
  out.filter = args.text("filter");
  out.max_results = page_size(args);
  out.order_by = args.texts("order_by");
  out.page_token = args.text("page_token");
  return out;
}

traces::TraceSearch parse_search_v2(Args& args) {
  traces::TraceSearch out;
  out.experiment_ids = args.texts("experiment_ids");
  if (out.experiment_ids.empty()) args.missing("experiment_ids");
  out.filter = args.text("filter");
  out.max_results = page_size(args);
  out.order_by = args.texts("order_by");
  out.page_token = args.text("page_token");
  return out;
}

template <bool v2>
void render_page(JsonWriter& out, const track::Page<traces::TraceInfo>& page) {
  if (!page.rows.empty()) {
    out.key("traces").begin_array();
    for (const traces::TraceInfo& info : page.rows) v2 ? write_v2(out, info) : write(out, info);
    out.end_array();
  }
  if (!page.next_token.empty()) out.field("next_page_token", page.next_token);
}

traces::CorrelationQuery parse_correlation(Args& args) {
  traces::CorrelationQuery out;
  out.experiment_ids = args.texts("experiment_ids");
  if (out.experiment_ids.empty()) args.missing("experiment_ids");
  out.first = args.required_text("filter_string1");
  out.second = args.required_text("filter_string2");
  out.base = args.text("base_filter");
  return out;
}

void render_correlation(JsonWriter& out, const traces::Correlation& found) {
  if (!std::isnan(found.npmi)) out.field("npmi", found.npmi);
  if (!std::isnan(found.npmi_smoothed)) out.field("npmi_smoothed", found.npmi_smoothed);
  out.field("filter1_count", found.first).field("filter2_count", found.second);
  out.field("joint_count", found.joint).field("total_count", found.total);
}

// --- whole traces ---------------------------------------------------------------------------------------------------

traces::BatchGet parse_batch(Args& args) {
  traces::BatchGet out;
  out.trace_ids = args.texts("trace_ids");
  if (out.trace_ids.empty()) args.missing("trace_ids");
  if (args.has("experiment_ids")) out.experiment_ids = args.texts("experiment_ids");
  return out;
}

void render_infos(JsonWriter& out, const std::vector<traces::TraceInfo>& infos) {
  if (infos.empty()) return;
  out.key("trace_infos").begin_array();
  for (const traces::TraceInfo& info : infos) write(out, info);
  out.end_array();
}

// Spans are made into JSON where they were read, by the store's reader: they can be many megabytes.
Result<std::string> batch_answer(Tx& tx, const traces::BatchGet& get) {
  TRY_SET(const auto found, traces::batch_get_traces(tx, get));
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  if (!found.empty()) {
    out.key("traces").begin_array();
    for (const traces::Trace& trace : found) write(out, trace);
    out.end_array();
  }
  out.end_object();
  return body;
}

base::Task<void> answer_batch(store::Store* store, net::Request& request, net::Response& response) {
  Args args(request);
  const auto get = parse_batch(args);
  if (args.error()) co_return fail(response, *args.error());
  auto job = [&](Tx& tx) { return batch_answer(tx, get); };
  auto body = co_await store->read(request.ctx, job);
  if (!body) co_return fail(response, body.error());
  response.send_json(std::move(*body));
}

struct WholeTrace {
  std::string body;
  bool whole = false;
};

// The client's threads send infos and spans in any order: who asks too early waits a little, as upstream lets him.
constexpr int kWaits = 4;
constexpr int64_t kFirstWaitUs = 200'000;

base::Task<void> answer_trace(store::Store* store, net::Request& request, net::Response& response) {
  Args args(request);
  const std::string trace_id = args.required_text("trace_id");
  const bool partial = args.boolean("allow_partial").value_or(false);
  if (args.error()) co_return fail(response, *args.error());
  auto job = [&](Tx& tx) -> Result<WholeTrace> {
    TRY_SET(const traces::Trace trace, traces::get_trace(tx, trace_id));
    WholeTrace out{"", trace.whole};
    JsonWriter json(out.body);
    json.begin_object().key("trace");
    write(json, trace);
    json.end_object();
    return out;
  };
  for (int i = 0;; ++i) {
    auto found = co_await store->read(request.ctx, job);
    if (!found) co_return fail(response, found.error());
    if (found->whole || partial) {
      response.send_json(std::move(found->body));
      co_return;
    }
    if (i == kWaits || request.ctx.cancelled.stop_requested()) break;
    co_await base::sleep_us(kFirstWaitUs << i);
  }
  fail(response,
       {base::Code::kNotFound, "Trace with ID " + trace_id + " is not fully exported yet, please try again later."});
}

// --- deletion -------------------------------------------------------------------------------------------------------

traces::TraceDeletion parse_deletion(Args& args) {
  traces::TraceDeletion out;
  out.experiment_id = args.required_text("experiment_id");
  out.max_start_ms = args.integer("max_timestamp_millis");
  out.max_traces = args.integer("max_traces");
  out.trace_ids = args.texts("request_ids");
  return out;
}

// In steps, each its own transaction: a year of traces must not hold everybody else's writes up.
base::Task<void> answer_deletion(store::Store* store, net::Request& request, net::Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  traces::TraceDeletion deletion = parse_deletion(args);
  if (args.error()) co_return fail(response, *args.error());
  const auto limits = limits_of(request);
  Claims claims;
  claims.add(Subject::kExperiment, Need::kDelete, deletion.experiment_id);
  int64_t deleted = 0;
  for (bool more = true; more;) {
    auto job = [&](Tx& tx) -> Result<traces::DeletionStep> {
      if (limits) TRY(check(tx, *limits, claims));
      return traces::delete_traces_step(tx, deletion);
    };
    const auto step = co_await store->write(request.ctx, job);
    if (!step) co_return fail(response, step.error());
    deleted += step->deleted;
    more = step->more;
    if (deletion.max_traces) *deletion.max_traces -= step->deleted;
    if (deletion.max_traces && *deletion.max_traces <= 0) more = false;
  }
  std::string answer;
  JsonWriter out(answer);
  out.begin_object().field("traces_deleted", deleted).end_object();
  response.send_json(std::move(answer));
}

// --- tags and links -------------------------------------------------------------------------------------------------

struct TagCall {
  std::string trace_id;
  track::Tag tag;
};

TagCall parse_tag(Args& args, std::string_view act, std::initializer_list<std::string_view> blocked) {
  TagCall out{args.path_param("trace_id"), {args.required_text("key"), args.text("value")}};
  for (const std::string_view key : blocked) {
    if (out.tag.key == key) {
      args.fail({base::Code::kInvalid,
                 "Tag '" + out.tag.key + "' is immutable and cannot be " + std::string(act) + " on a trace."});
    }
  }
  return out;
}

constexpr std::string_view kArchiveLocation = "mlflow.trace.archiveLocation";
constexpr std::string_view kArchivalFailure = "mlflow.trace.archivalFailure";

traces::TraceRunLink parse_run_link(Args& args) {
  traces::TraceRunLink out{args.texts("trace_ids"), args.required_text("run_id")};
  if (out.trace_ids.empty()) args.missing("trace_ids");
  return out;
}

traces::TracePromptLink parse_prompt_link(Args& args) {
  traces::TracePromptLink out;
  out.trace_id = args.required_text("trace_id");
  const auto prompts = args.objects("prompt_versions");
  if (prompts.empty()) args.missing("prompt_versions");
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string where = "prompt_versions[" + std::to_string(i) + "]";
    out.prompts.push_back(
        {args.text_in(*prompts[i], "name", where, true), args.text_in(*prompts[i], "version", where, true)});
  }
  return out;
}

}  // namespace

void add_trace_routes(Door& door) {
  store::Store* store = &door.store();
  constexpr net::RouteLimits kNoBody{.body_bytes = 0};
  const auto with_store = [store](base::Task<void> (*answer)(store::Store*, net::Request&, net::Response&)) {
    return [store, answer](net::Request& request, net::Response& response) { return answer(store, request, response); };
  };

  door.write(
      Method::kPost, "traces", parse_start, start,
      [](JsonWriter& out, const Started& started) {
        started.v2 ? render_info_v2(out, started.info) : render_info(out, started.info);
      },
      kTraceBody);
  door.write(Method::kPatch, "traces/{request_id}", parse_end, traces::end_trace_v2, render_info_v2);
  door.point(
      Method::kGet, "traces/{request_id}/info", [](Args& args) { return args.path_param("request_id"); },
      [](Tx& tx, const std::string& id) { return traces::get_trace_info(tx, id); }, render_info_v2);
  door.point(
      Method::kGet, "traces/{trace_id}", [](Args& args) { return args.path_param("trace_id"); },
      [](Tx& tx, const std::string& id) { return traces::get_trace_info(tx, id); }, render_info);
  door.read(Method::kGet, "traces", parse_search_v2, traces::search_traces, render_page<true>);
  door.read(Method::kPost, "traces/search", parse_search, traces::search_traces, render_page<false>);
  door.read(Method::kPost, "traces/batchGetInfos", parse_batch, traces::batch_get_infos, render_infos);
  door.add(Method::kGet, "traces/batchGet", base::Permission::kRead, kNoBody, with_store(answer_batch));
  door.add(Method::kGet, "traces/get", base::Permission::kRead, kNoBody, with_store(answer_trace));
  door.add(Method::kPost, "traces/delete-traces", base::Permission::kWrite, {.body_bytes = kCallBody},
           with_store(answer_deletion));
  door.read(Method::kPost, "traces/calculate-filter-correlation", parse_correlation, traces::correlate,
            render_correlation);

  door.write(
      Method::kPatch, "traces/{trace_id}/tags",
      [](Args& args) {
        return parse_tag(args, "set", {traces::kSpansLocationTag, kArchiveLocation, kArchivalFailure});
      },
      [](Tx& tx, const TagCall& in) { return traces::set_trace_tag(tx, in.trace_id, in.tag); });
  door.write(
      Method::kDelete, "traces/{trace_id}/tags",
      [](Args& args) { return parse_tag(args, "deleted", {traces::kSpansLocationTag, kArchiveLocation}); },
      [](Tx& tx, const TagCall& in) { return traces::delete_trace_tag(tx, in.trace_id, in.tag.key); });
  door.write(Method::kPost, "traces/link-to-run", parse_run_link, traces::link_traces_to_run);
  door.write(Method::kPost, "traces/link-prompts", parse_prompt_link, traces::link_prompts_to_trace);
}

}  // namespace api::mlflow
