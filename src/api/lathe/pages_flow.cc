#include "api/lathe/pages_flow.h"

#include <charconv>
#include <unordered_map>

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "flow/browse.h"
#include "flow/log_level.h"
#include "flow/spec_json.h"
#include "flow/warden.h"
#include "loop/bundle.h"
#include "loop/verdict.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

constexpr int64_t kMaxCardRuns = 100, kMaxGridRuns = 200;
constexpr int64_t kMaxLines = 5000, kMaxMatches = 10'000;
constexpr size_t kMaxNeedle = 200;

void write_run(base::JsonWriter& w, const flow::PipelineRun& run) {
  w.begin_object()
      .field("id", run.id)
      .field("pipeline", run.pipeline)
      .field("number", run.number)
      .field("state", flow::name(run.state))
      .field("cause", run.cause)
      .field("bundle", run.bundle)
      .key("params")
      .raw(flow::map_to_json(run.params))
      .field("created_us", run.created_us)
      .field("ended_us", run.ended_us)
      .end_object();
}

void write_schedule(base::JsonWriter& w, const flow::PipelineCard& card) {
  w.field("cron", card.spec.cron).key("cron_next_us");
  if (card.cron_next_us && !card.spec.cron.empty())
    w.value(*card.cron_next_us);
  else
    w.null();
  w.key("cron_params").raw(flow::map_to_json(card.spec.cron_params));
}

void write_progress(base::JsonWriter& w, const flow::Progress& p) {
  w.begin_object()
      .field("stages", p.stages)
      .field("done", p.done)
      .field("running", p.running)
      .field("failed", p.failed)
      .end_object();
}

Task<void> list(const PipelinePagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const auto runs = static_cast<size_t>(args.integer("runs", 20, 1, kMaxCardRuns));
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  auto read = [runs](store::Tx& tx) -> Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("pipelines").begin_array();
    for (const std::string& name : flow::list_pipelines(tx)) {
      TRY_SET(const auto card, flow::pipeline_card(tx, name, runs));
      w.begin_object()
          .field("name", name)
          .field("experiment", card.spec.experiment)
          .field("stages", card.spec.stages.size())
          .field("changed_us", card.changed_us)
          .field("run_count", card.run_count);
      write_schedule(w, card);
      w.key("runs").begin_array();
      for (const auto& run : card.runs) write_run(w, run);
      w.end_array().key("newest_progress");
      if (card.runs.empty())
        w.null();
      else
        write_progress(w, flow::progress_of(tx, card.runs[0].id));
      w.end_object();
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

// A stage as a graph shows it: what it is, not how it went.
void write_spec_stage(base::JsonWriter& w, const flow::StageSpec& s) {
  const auto list = [&](std::string_view key, const std::vector<std::string>& values) {
    w.key(key).begin_array();
    for (const auto& value : values) w.value(value);
    w.end_array();
  };
  w.begin_object().field("name", s.name).field("group", s.group).field("cmd", s.cmd).field("internal", s.internal);
  list("after", s.after);
  list("deps", s.file_deps);
  list("outs", s.outs);
  list("metrics", s.metrics);
  w.key("data").begin_array();
  for (const auto& dep : s.data_deps) w.value(dep.name);
  w.end_array().key("params").raw(flow::map_to_json(s.params));
  w.field("retries", s.retries).field("timeout_us", s.timeout_us).field("always", s.always).field("desc", s.desc);
  w.end_object();
}

void write_stages_of_spec(base::JsonWriter& w, const flow::PipelineSpec& spec) {
  w.key("stages").begin_array();
  for (const auto& stage : spec.stages) write_spec_stage(w, stage);
  w.end_array();
}

void write_cell(base::JsonWriter& w, const flow::StageRow& s) {
  w.begin_object().field("state", flow::name(s.state)).field("reason", s.reason).field("tries", s.tries);
  w.field("started_us", s.started_us).field("ended_us", s.ended_us).end_object();
}

void write_grid(base::JsonWriter& w, const flow::Grid& grid) {
  w.begin_object().key("stages").begin_array();
  for (const auto& stage : grid.stages) w.value(stage);
  w.end_array().key("runs").begin_array();
  for (const auto& run : grid.runs) write_run(w, run);
  w.end_array().key("cells").begin_array();  // by run, then by stage; null: the run did not have it
  for (const auto& rows : grid.stages_of) {
    std::unordered_map<std::string_view, const flow::StageRow*> by_name;
    for (const auto& row : rows) by_name.emplace(row.name, &row);
    w.begin_array();
    for (const auto& stage : grid.stages) {
      const auto found = by_name.find(stage);
      if (found == by_name.end())
        w.null();
      else
        write_cell(w, *found->second);
    }
    w.end_array();
  }
  w.end_array().end_object();
}

Task<void> show(const PipelinePagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const auto runs = static_cast<size_t>(args.integer("runs", 30, 1, kMaxGridRuns));
  const int64_t before = args.integer("before", 0, 1, INT64_MAX);
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  auto read = [=, name = std::string(request.param("name"))](store::Tx& tx) -> Result<std::string> {
    TRY_SET(const auto card, flow::pipeline_card(tx, name, 1));
    TRY_SET(const auto grid, flow::grid(tx, name, before, runs));
    std::string out;
    base::JsonWriter w(out);
    w.begin_object()
        .field("name", name)
        .field("experiment", card.spec.experiment)
        .field("bundle", card.spec.bundle)
        .field("changed_us", card.changed_us)
        .field("run_count", card.run_count);
    write_schedule(w, card);
    write_stages_of_spec(w, card.spec);
    w.key("grid");
    write_grid(w, grid);
    w.end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

void write_attempt(base::JsonWriter& w, const flow::AttemptRow& a) {
  w.begin_object().field("id", a.id).field("stage", a.stage).key("outcome");
  if (a.outcome)
    w.value(flow::name(*a.outcome));
  else
    w.null();
  w.field("detail", clean_text(a.detail)).field("started_us", a.started_us).field("ended_us", a.ended_us);
  w.end_object();
}

void write_stage_rows(base::JsonWriter& w, store::Tx& tx, const std::string& run) {
  const auto waits = flow::waits(tx, run);
  w.key("rows").begin_array();
  for (const auto& s : flow::list_stages(tx, run)) {
    w.begin_object().field("name", s.name).field("state", flow::name(s.state)).field("reason", clean_text(s.reason));
    w.field("attempt", s.attempt).field("tries", s.tries).field("started_us", s.started_us);
    w.field("ended_us", s.ended_us).key("waits");
    if (const auto found = waits.find(s.name); found != waits.end())
      w.value(found->second);
    else
      w.null();
    w.end_object();
  }
  w.end_array();
}

void write_bundle(base::JsonWriter& w, store::Tx& tx, const std::string& id) {
  w.key("bundle");
  const auto bundle = loop::get_bundle(tx, id);
  if (!bundle) return void(w.null());
  w.begin_object().field("id", bundle->id).field("commit", bundle->commit).field("dirty", bundle->dirty);
  w.field("files", bundle->files).field("bytes", bundle->bytes).end_object();
}

void write_verdict_of(base::JsonWriter& w, store::Tx& tx, const std::string& run) {
  w.key("verdict");
  const auto verdict = loop::verdict_of_run(tx, run);
  if (!verdict || !*verdict) return void(w.null());
  const auto& v = **verdict;
  w.begin_object().field("id", v.id).field("passed", v.passed).field("reason", v.reason).field("kind", v.kind);
  w.field("model", v.model).field("endpoint", v.endpoint).end_object();
}

// A run is named by its number, as people do, or by its id.
Result<flow::PipelineRun> find_run(store::Tx& tx, const std::string& pipeline, const std::string& said) {
  if (said.starts_with("pl_")) {
    TRY_SET(auto run, flow::get_run(tx, said));
    if (run.pipeline == pipeline) return run;
    return base::not_found("run '" + said + "' is of pipeline '" + run.pipeline + "', not of '" + pipeline + "'");
  }
  int64_t number = 0;
  const auto [end, error] = std::from_chars(said.data(), said.data() + said.size(), number);
  if (error != std::errc() || end != said.data() + said.size() || number <= 0)
    return base::invalid("a run is named '" + said + "'; it must be a number from 1 on, or an id (pl_…)");
  return flow::run_by_number(tx, pipeline, number);
}

Result<std::string> run_page(store::Tx& tx, const std::string& pipeline, const std::string& said) {
  TRY_SET(const auto run, find_run(tx, pipeline, said));
  TRY_SET(const auto spec, flow::run_spec(tx, run.id));
  const auto newest = flow::list_runs(tx, pipeline, 1);
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("run");
  write_run(w, run);
  w.field("newest_number", newest.empty() ? run.number : newest[0].number);
  w.field("forced", spec.forced).field("cancel_requested", spec.cancel_requested);
  w.field("experiment", spec.spec.experiment);
  write_stages_of_spec(w, spec.spec);
  write_stage_rows(w, tx, run.id);
  w.key("attempts").begin_array();
  for (const auto& attempt : flow::list_attempts(tx, run.id)) write_attempt(w, attempt);
  w.end_array();
  write_bundle(w, tx, run.bundle);
  write_verdict_of(w, tx, run.id);
  w.end_object();
  TRY(tx.status());
  return out;
}

Task<void> show_run(const PipelinePagesDoor& door, net::Request& request, net::Response& response) {
  auto read = [run = std::string(request.param("run")), name = std::string(request.param("name"))](store::Tx& tx) {
    return run_page(tx, name, run);
  };
  return answer_read(door.store, request, response, read);
}

// --- logs -----------------------------------------------------------------------------------------------------------

// The attempt must be this project's: its log is a file, and files know no projects.
Task<Result<flow::AttemptRow>> find_attempt(const PipelinePagesDoor& door, net::Request& request) {
  auto read = [id = std::string(request.param("id"))](store::Tx& tx) { return flow::get_attempt(tx, id); };
  co_return co_await door.store.read(request.ctx, read);
}

Task<void> log_window(const PipelinePagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const int64_t from = args.integer("from", 0, INT64_MIN / 2, INT64_MAX / 2);
  const auto limit = static_cast<size_t>(args.integer("limit", 500, 1, kMaxLines));
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  const auto attempt = co_await find_attempt(door, request);
  if (!attempt) co_return fail(response, request, attempt.error());
  const base::Path path = flow::attempt_dir(door.dir, attempt->id) / "log";
  auto read = [&] { return door.logs->window(attempt->id, path, from, limit); };
  const auto window = co_await door.offload.run(read);
  if (!window) co_return fail(response, request, window.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().field("attempt", attempt->id).field("ended", attempt->ended_us != 0);
  w.field("first", window->first).field("total", window->total).field("bytes", window->bytes);
  w.field("open_end", window->open_end).key("lines").begin_array();
  for (const auto& line : window->lines) w.value(clean_text(line));
  w.end_array().end_object();
  response.send_json(std::move(out));
}

Task<void> log_search(const PipelinePagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  constexpr std::string_view kLevels[] = {"", "warn", "error"};
  const std::string needle = base::lower_case(args.text("q"));
  const std::string_view level = args.choice("level", kLevels);
  const auto limit = static_cast<size_t>(args.integer("limit", 1000, 1, kMaxMatches));
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  if ((needle.empty() && level.empty()) || needle.size() > kMaxNeedle) {
    co_return fail(response, request,
                   {base::Code::kInvalid, "say what to look for: 'q', a text of 1 to " + std::to_string(kMaxNeedle) +
                                              " bytes, or 'level', warn or error"});
  }
  const auto attempt = co_await find_attempt(door, request);
  if (!attempt) co_return fail(response, request, attempt.error());
  const base::Path path = flow::attempt_dir(door.dir, attempt->id) / "log";
  const auto least = level == "error" ? flow::LogLevel::kError : flow::LogLevel::kWarning;
  const auto wanted = [&](std::string_view line) {
    return (needle.empty() || base::contains_in_any_case(line, needle)) &&
           (level.empty() || flow::level_of(line) >= least);
  };
  auto read = [&] { return door.logs->search(attempt->id, path, wanted, limit); };
  const auto matches = co_await door.offload.run(read);
  if (!matches) co_return fail(response, request, matches.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().field("total", matches->total).field("truncated", matches->truncated).key("lines").begin_array();
  for (const int64_t line : matches->lines) w.value(line);
  w.end_array().end_object();
  response.send_json(std::move(out));
}

}  // namespace

void add_pages_flow_routes(net::RouteTable& routes, const PipelinePagesDoor& door) {
  add_page(routes, door, "/pipelines", list);
  add_page(routes, door, "/pipelines/{name}", show);
  add_page(routes, door, "/pipelines/{name}/runs/{run}", show_run);
  add_page(routes, door, "/attempts/{id}/log", log_window);
  add_page(routes, door, "/attempts/{id}/log/search", log_search);
}

}  // namespace api::lathe
