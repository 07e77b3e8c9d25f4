#include "api/lathe/flow.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/loop.h"
#include "flow/dvc_lock.h"
#include "flow/flow.h"
#include "flow/spec_json.h"
#include "flow/warden.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

constexpr size_t kMaxRuns = 1000;
constexpr size_t kLogPiece = 65'536;
constexpr int64_t kFollowUs = 100'000;  // between looks at a log that has nothing new

void write_run(base::JsonWriter& w, const flow::PipelineRun& run) {
  w.field("id", run.id)
      .field("pipeline", run.pipeline)
      .field("number", run.number)
      .field("bundle", run.bundle)
      .field("state", flow::name(run.state))
      .field("cause", run.cause)
      .key("params")
      .raw(flow::map_to_json(run.params))
      .field("created_us", run.created_us)
      .field("ended_us", run.ended_us);
}

void send_run(net::Response& response, const flow::PipelineRun& run, int status) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object();
  write_run(w, run);
  w.end_object();
  response.send_json(std::move(out), status);
}

void write_stages(base::JsonWriter& w, const std::vector<flow::StageRow>& stages) {
  w.key("stages").begin_array();
  for (const flow::StageRow& s : stages)
    w.begin_object()
        .field("name", s.name)
        .field("group", s.group)
        .field("state", flow::name(s.state))
        .field("reason", s.reason)
        .field("attempt", s.attempt)
        .field("tries", s.tries)
        .field("started_us", s.started_us)
        .field("ended_us", s.ended_us)
        .end_object();
  w.end_array();
}

// Runs a read that answers a JSON body.
template <class F>
Task<void> answer(const FlowDoor& door, net::Request& request, net::Response& response, F f) {
  const auto body = co_await door.store.read(request.ctx, f);
  if (!body) co_return fail(response, request, body.error());
  response.send_json(*body);
}

Task<void> list_pipelines(const FlowDoor& door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("pipelines").begin_array();
    for (const std::string& name : flow::list_pipelines(tx)) {
      TRY_SET(const flow::PipelineSpec spec, flow::get_pipeline(tx, name));
      w.begin_object()
          .field("name", name)
          .field("stages", spec.stages.size())
          .field("cron", spec.cron)
          .field("bundle", spec.bundle)
          .key("last_run");
      const auto runs = flow::list_runs(tx, name, 1);
      if (runs.empty()) {
        w.null();
      } else {
        w.begin_object();
        write_run(w, runs[0]);
        w.end_object();
      }
      w.end_object();
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  return answer(door, request, response, read);
}

Task<void> show_pipeline(const FlowDoor& door, net::Request& request, net::Response& response) {
  auto read = [name = std::string(request.param("name"))](store::Tx& tx) -> Result<std::string> {
    TRY_SET(const flow::PipelineSpec spec, flow::get_pipeline(tx, name));
    return flow::spec_to_json(spec);
  };
  return answer(door, request, response, read);
}

Task<void> list_runs(const FlowDoor& door, net::Request& request, net::Response& response) {
  size_t limit = 50;
  if (const auto text = request.query_value("limit")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (error != std::errc() || end != text->data() + text->size() || limit < 1 || limit > kMaxRuns)
      co_return fail(
          response, request,
          base::invalid("limit is '" + *text + "'; it must be a whole number from 1 to " + std::to_string(kMaxRuns))
              .error());
  }
  auto read = [limit, name = std::string(request.param("name"))](store::Tx& tx) -> Result<std::string> {
    TRY(flow::get_pipeline(tx, name));
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("runs").begin_array();
    for (const flow::PipelineRun& run : flow::list_runs(tx, name, limit)) {
      w.begin_object();
      write_run(w, run);
      w.end_object();
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer(door, request, response, read);
}

Result<flow::NewRun> read_new_run(std::string_view pipeline, std::string_view body) {
  flow::NewRun run{.pipeline = std::string(pipeline), .bundle = ""};
  if (body.empty()) return run;
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  for (const auto& [key, unused] : *object)
    if (key != "params" && key != "bundle" && key != "force")
      return base::invalid("unknown field '" + std::string(key) + "'; allowed are params, bundle, force");
  TRY_SET(const auto bundle, base::optional_string(*object, "bundle"));
  TRY_SET(const auto force, base::optional_bool(*object, "force"));
  run.bundle = bundle.value_or("");
  run.force = force.value_or(false);
  if (!object->contains("params")) return run;
  TRY_SET(const base::json::object* params, base::required_object(*object, "params"));
  for (const auto& [key, item] : *params) {
    if (item.is_object() || item.is_array() || item.is_null())
      return base::invalid("parameter '" + std::string(key) + "' must be text, a number or a boolean, found " +
                           std::string(base::kind_name(item.kind())));
    run.params[std::string(key)] = item.is_string() ? std::string(item.get_string()) : base::to_text(item);
  }
  return run;
}

Task<void> start_run(const FlowDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = read_new_run(request.param("name"), *body);
  if (!wanted) co_return fail(response, request, wanted.error());
  auto create = [&wanted](store::Tx& tx) -> Result<flow::PipelineRun> {
    if (!wanted->bundle.empty() && !tx.query_i64("SELECT 1 FROM artifacts WHERE project = ? AND root = ? LIMIT 1",
                                                 tx.project(), "bundle/" + wanted->bundle))
      return base::not_found("no bundle has the id '" + wanted->bundle + "'");
    return flow::create_run(tx, *wanted);
  };
  const auto run = co_await door.store.write(request.ctx, create);
  if (!run) co_return fail(response, request, run.error());
  send_run(response, *run, 201);
}

Task<void> show_run(const FlowDoor& door, net::Request& request, net::Response& response) {
  auto read = [id = std::string(request.param("id"))](store::Tx& tx) -> Result<std::string> {
    TRY_SET(const flow::PipelineRun run, flow::get_run(tx, id));
    std::string out;
    base::JsonWriter w(out);
    w.begin_object();
    write_run(w, run);
    write_stages(w, flow::list_stages(tx, id));
    w.end_object();
    TRY(tx.status());
    return out;
  };
  return answer(door, request, response, read);
}

Task<void> show_outs(const FlowDoor& door, net::Request& request, net::Response& response) {
  auto read = [id = std::string(request.param("id"))](store::Tx& tx) -> Result<std::string> {
    TRY_SET(const std::vector<flow::RunOut> outs, flow::list_outs(tx, id));
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("outs").begin_array();
    for (const flow::RunOut& o : outs)
      w.begin_object()
          .field("stage", o.stage)
          .field("attempt", o.attempt)
          .field("path", o.path)
          .field("out", o.out)
          .field("size", o.blob.size)
          .field("digest", o.blob.sha256.hex())
          .field("md5", o.blob.md5_hex())
          .field("executable", o.executable)
          .field("cached", o.cached)
          .end_object();
    w.end_array().end_object();
    return out;
  };
  return answer(door, request, response, read);
}

Task<void> show_lock(const FlowDoor& door, net::Request& request, net::Response& response) {
  auto read = [id = std::string(request.param("id"))](store::Tx& tx) { return flow::dvc_lock(tx, id); };
  const auto text = co_await door.store.read(request.ctx, read);
  if (!text) co_return fail(response, request, text.error());
  response.send(200, "application/yaml", *text);
}

Task<void> cancel_run(const FlowDoor& door, net::Request& request, net::Response& response) {
  auto cancel = [id = std::string(request.param("id"))](store::Tx& tx) -> Result<flow::PipelineRun> {
    TRY(flow::request_cancel(tx, id));
    return flow::get_run(tx, id);
  };
  const auto run = co_await door.store.write(request.ctx, cancel);
  if (!run) co_return fail(response, request, run.error());
  send_run(response, *run, 202);
}

Task<void> show_self(const FlowDoor& door, net::Request& request, net::Response& response) {
  if (request.ctx.actor.attempt.empty())
    co_return fail(
        response, request,
        base::fail(base::Code::kForbidden, "only a stage may ask this, with its own token (LATHE_TOKEN)").error());
  auto read = [id = request.ctx.actor.attempt](store::Tx& tx) -> Result<std::string> {
    TRY_SET(const flow::AttemptInfo info, flow::attempt_info(tx, id));
    TRY_SET(const flow::PipelineRun run, flow::get_run(tx, info.run));
    std::string out;
    base::JsonWriter(out)
        .begin_object()
        .field("attempt", info.attempt)
        .field("run", info.run)
        .field("pipeline", info.pipeline)
        .field("stage", info.stage)
        .field("group", info.group)
        .field("bundle", info.bundle)
        .field("cause", run.cause)
        .key("params")
        .raw(flow::map_to_json(run.params))
        .end_object();
    return out;
  };
  co_await answer(door, request, response, read);
}

// A log being read: the file appears when the attempt's process does.
struct Log {
  base::Fd fd;
  int64_t offset = 0;
};

Result<std::string> read_piece(const base::Path& path, Log& log) {
  if (!log.fd) log.fd = base::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string piece;
  if (!log.fd) return piece;
  piece.resize(kLogPiece);
  const ssize_t n = ::pread(log.fd.get(), piece.data(), piece.size(), log.offset);
  if (n < 0) return base::errno_error("the log", errno);
  piece.resize(static_cast<size_t>(n));
  log.offset += n;
  return piece;
}

// The log as it is, from byte `offset` on; with follow, on until the attempt has ended.
Task<void> show_log(const FlowDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const bool follow = request.query_value("follow").value_or("false") == "true";
  Log log;
  if (const auto text = request.query_value("offset")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), log.offset);
    if (error != std::errc() || end != text->data() + text->size() || log.offset < 0)
      co_return fail(response, request,
                     base::invalid("offset is '" + *text + "'; it must be a whole number from 0 on").error());
  }
  auto exists = [&id](store::Tx& tx) -> Result<bool> {
    if (!flow::attempt_exists(tx, id)) return base::not_found("no attempt has the id '" + id + "'");
    return flow::attempt_ended(tx, id);
  };
  auto ended = co_await door.store.read(request.ctx, exists);
  if (!ended) co_return fail(response, request, ended.error());
  const base::Path path = flow::attempt_dir(door.dir, id) / "log";
  auto read = [&] { return read_piece(path, log); };
  if (!co_await response.begin(200, "text/plain; charset=utf-8")) co_return;
  const std::stop_token cancelled = request.ctx.cancelled;
  while (!cancelled.stop_requested()) {
    const auto piece = co_await door.offload.run(read);
    if (!piece) co_return;
    if (!piece->empty()) {
      if (!co_await response.write(*piece)) co_return;
      continue;
    }
    // Nothing new. What was written before the end was seen has been read only if the end was known before reading.
    if (!follow || *ended) break;
    ended = co_await door.store.read(request.ctx, exists);
    if (!ended) co_return;
    if (!*ended) co_await base::sleep_us(kFollowUs);
  }
  std::ignore = co_await response.end();
}

}  // namespace

void add_flow_routes(net::RouteTable& routes, const FlowDoor& door) {
  using base::Permission;
  using net::Method;
  const auto add = route_adder(routes, door);
  const net::RouteLimits json_body{.body_bytes = base::limits::kSmallBody};
  add(Method::kGet, "/pipelines", Permission::kRead, kNoBody, list_pipelines);
  add(Method::kGet, "/pipelines/{name}", Permission::kRead, kNoBody, show_pipeline);
  add(Method::kGet, "/pipelines/{name}/runs", Permission::kRead, kNoBody, list_runs);
  add(Method::kPost, "/pipelines/{name}/runs", Permission::kRunCode, json_body, start_run);
  add(Method::kGet, "/pipeline-runs/{id}", Permission::kRead, kNoBody, show_run);
  add(Method::kGet, "/pipeline-runs/{id}/outs", Permission::kRead, kNoBody, show_outs);
  add(Method::kGet, "/pipeline-runs/{id}/dvc.lock", Permission::kRead, kNoBody, show_lock);
  add(Method::kPost, "/pipeline-runs/{id}/cancel", Permission::kRunCode, json_body, cancel_run);
  add(Method::kGet, "/attempts/self", Permission::kRead, kNoBody, show_self);
  add(Method::kGet, "/attempts/{id}/log", Permission::kRead, {.body_bytes = 0, .deadline_us = 0}, show_log);
}

}  // namespace api::lathe
