#include "api/lathe/lab.h"

#include <algorithm>
#include <filesystem>

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "lab/find.h"
#include "lab/jupyter.h"
#include "net/text.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;
using net::Request;
using net::Response;

constexpr size_t kUploadBytes = size_t{512} << 20;  // of one request to a notebook server; Jupyter's own limit
constexpr int64_t kAnswerUs = 600'000'000;          // conversions take their time
constexpr size_t kLogTail = 64 << 10;
constexpr int64_t kMinuteUs = 60'000'000;

void write_report(base::JsonWriter& json, const lab::Report& report) {
  const lab::Server& server = report.server;
  json.begin_object().field("owner", server.owner).field("state", lab::name(server.state));
  json.field("url", lab::base_path(server.owner) + "/lab").field("id", server.id).field("root", server.root);
  json.field("program", server.program).field("memory_mib", server.memory_bytes >> 20);
  json.field("idle_minutes", static_cast<double>(server.idle_us) / kMinuteUs).field("started_us", server.started_us);
  json.field("ended_us", server.ended_us).field("active_us", report.active_us).field("kernels", report.kernels);
  json.field("busy", report.busy).field("terminals", report.terminals).field("detail", server.detail);
  json.end_object();
}

void send_report(Response& response, const lab::Report& report, int status = 200) {
  std::string out;
  base::JsonWriter json(out);
  write_report(json, report);
  response.send_json(std::move(out), status);
}

Result<lab::NewServer> read_start(std::string_view body, std::string owner, const LabDoor& door) {
  lab::NewServer server{.owner = std::move(owner), .root = {}, .program = {}};
  server.root = door.root.string();
  if (body.empty()) return server;
  TRY_SET(const auto parsed, base::parse_json(body));
  TRY_SET(const auto* fields, base::as_object(parsed, "the body"));
  for (const auto& field : *fields) {
    const std::string_view key = field.key();
    if (key != "root" && key != "python" && key != "memory_mib" && key != "idle_minutes")
      return base::invalid("unknown field '" + std::string(key) + "'; allowed: root, python, memory_mib, idle_minutes");
  }
  TRY_SET(const auto root, base::optional_string(*fields, "root"));
  TRY_SET(const auto python, base::optional_string(*fields, "python"));
  TRY_SET(const auto memory, base::optional_int(*fields, "memory_mib"));
  TRY_SET(const auto idle, base::optional_double(*fields, "idle_minutes"));
  if (root) server.root = *root;
  if (python) server.program = *python;
  if (server.root.size() > lab::kMaxPath || server.program.size() > lab::kMaxPath)
    return base::invalid("a path is longer than " + std::to_string(lab::kMaxPath) + " bytes");
  if (memory && *memory != 0 && (*memory < (lab::kMinMemory >> 20) || *memory > (int64_t{1} << 30)))
    return base::invalid("memory_mib is " + std::to_string(*memory) + "; it must be 0 (no limit) or at least " +
                         std::to_string(lab::kMinMemory >> 20));
  server.memory_bytes = memory.value_or(0) << 20;
  if (idle) {
    const double us = *idle * kMinuteUs;
    if (!(us >= lab::kMinIdleUs && us <= lab::kMaxIdleUs))
      return base::invalid("idle_minutes must be from 0.02 to " + std::to_string(lab::kMaxIdleUs / kMinuteUs));
    server.idle_us = static_cast<int64_t>(us);
  }
  return server;
}

Task<void> start(const LabDoor& door, Request& request, Response& response) {
  auto owner = lab::owner_of(request.ctx.actor);
  if (!owner) co_return fail(response, request, owner.error());
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto wanted = read_start(*body, *owner, door);
  if (!wanted) co_return fail(response, request, wanted.error());
  auto look = [&]() -> Result<void> {
    std::error_code error;
    if (!base::Path(wanted->root).is_absolute() || !std::filesystem::is_directory(wanted->root, error))
      return base::invalid("root is '" + wanted->root + "', which is no folder of the server's machine (a whole path)");
    TRY_SET(const base::Path program, lab::find_jupyterlab(wanted->root, wanted->program, door.path));
    wanted->program = program.string();
    return {};
  };
  if (const auto found = co_await door.offload.run(look); !found) {
    // Whoever names nothing and asks from where no JupyterLab is found still reaches what runs.
    const lab::Report now = door.keeper.report(*owner);
    const bool runs = now.server.state == lab::State::kStarting || now.server.state == lab::State::kRunning;
    if (runs && wanted->program.empty() && found.error().code == base::Code::kNotFound)
      co_return send_report(response, now);
    co_return fail(response, request, found.error());
  }
  auto write = [&wanted](store::Tx& tx) { return lab::begin(tx, *wanted); };
  const auto begun = co_await door.store.write(request.ctx, write);
  if (!begun) co_return fail(response, request, begun.error());
  if (!begun->token.empty()) door.keeper.run(*begun);
  lab::Report report = door.keeper.report(*owner);
  if (report.server.id != begun->server.id) report.server = begun->server;  // another request has it in its hands
  send_report(response, report, begun->token.empty() ? 200 : 202);
}

Task<void> stop_of(const LabDoor& door, Request& request, Response& response, std::string owner) {
  const lab::Report report = door.keeper.report(owner);
  if (report.server.state == lab::State::kStarting || report.server.state == lab::State::kRunning) {
    base::Context ctx = request.ctx;
    ctx.project = report.server.project;
    auto write = [&](store::Tx& tx) {
      return lab::move(tx, owner, report.server.id, lab::State::kStopping, "stopped by " + tx.ctx().actor.name);
    };
    const auto moved = co_await door.store.write(std::move(ctx), write);
    if (!moved) co_return fail(response, request, moved.error());
    if (*moved) door.keeper.end(owner, "stopped by " + request.ctx.actor.name);
  }
  send_report(response, door.keeper.report(owner), 202);
}

Task<void> stop(const LabDoor& door, Request& request, Response& response) {
  auto owner = lab::owner_of(request.ctx.actor);
  if (!owner) co_return fail(response, request, owner.error());
  co_await stop_of(door, request, response, std::move(*owner));
}

Task<void> stop_other(const LabDoor& door, Request& request, Response& response) {
  const std::string owner(request.param("owner"));
  if (door.keeper.report(owner).server.started_us == 0) {
    fail(response, request, base::not_found("'" + owner.substr(0, 80) + "' has no notebook server").error());
    co_return;
  }
  co_await stop_of(door, request, response, owner);
}

Task<void> show(const LabDoor& door, Request& request, Response& response) {
  const auto owner = lab::owner_of(request.ctx.actor);
  if (!owner) co_return fail(response, request, owner.error());
  send_report(response, door.keeper.report(*owner));
}

Task<void> list(const LabDoor& door, Request&, Response& response) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().key("servers").begin_array();
  for (const lab::Report& report : door.keeper.reports()) write_report(json, report);
  json.end_array().end_object();
  response.send_json(std::move(out));
  co_return;
}

Task<void> log(const LabDoor& door, Request& request, Response& response) {
  const auto owner = lab::owner_of(request.ctx.actor);
  if (!owner) co_return fail(response, request, owner.error());
  const base::Path path = door.keeper.log_of(*owner);
  auto read = [&path]() -> Result<std::string> {
    if (path.empty()) return std::string();
    auto text = base::read_file(path, size_t{128} << 20);
    if (!text) return text.error().code == base::Code::kNotFound ? Result<std::string>(std::string()) : std::move(text);
    return text->size() > kLogTail ? text->substr(text->size() - kLogTail) : std::move(*text);
  };
  auto text = co_await door.offload.run(read);
  if (!text) co_return fail(response, request, text.error());
  response.send(200, "text/plain; charset=utf-8", std::move(*text));
}

// --- /user/NAME/…

bool wants_page(const Request& request) {
  return (request.method == net::Method::kGet || request.method == net::Method::kHead) &&
         request.header("accept").contains("text/html");
}

// No script and nothing from elsewhere; what starts comes back by itself.
void send_page(Response& response, int status, std::string_view title, std::string_view words, bool again) {
  if (again) response.header("Refresh", "1");
  response.header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'");
  response.header("Cache-Control", "no-store");
  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
      "<title>" +
      std::string(title) +
      "</title><style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,"
      "sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}code{font-size:.95em}</style><main><h1>" +
      std::string(title) + "</h1>" + std::string(words) + "</main></html>";
  response.send(status, "text/html; charset=utf-8", std::move(page));
}

// 424 is what clients of a hub expect of a server that does not run.
void say_not_running(const LabDoor& door, const Request& request, Response& response, const std::string& owner) {
  const lab::Server server = door.keeper.report(owner).server;
  const bool starting = server.state == lab::State::kStarting;
  const std::string state = starting                                ? "is starting"
                            : server.state == lab::State::kStopping ? "is stopping"
                                                                    : "does not run";
  if (!wants_page(request)) {
    response.send_json(R"({"error":{"code":"unavailable","message":"the notebook server )" + state +
                           R"(; POST /api/lathe/v1/lab starts it","request_id":")" + request.ctx.request_id + R"("}})",
                       424);
    return;
  }
  std::string words;
  if (starting) {
    words = "<p>It opens here as soon as it answers.</p>";
  } else {
    if (!server.detail.empty()) words = "<p>The last one ended: " + net::escape_markup(server.detail) + ".</p>";
    words += "<p>Start it on the <a href=\"/p/default/lab\">Lab page</a>, or with <code>lathe lab</code>.</p>";
  }
  send_page(response, starting ? 503 : 424, "The notebook server " + state, words, starting);
}

Task<void> home(const LabDoor&, Request& request, Response& response) {
  response.header("Location", lab::base_path(request.param("name")) + "/lab");
  response.send(302, "text/plain; charset=utf-8", "");
  co_return;
}

Task<void> pass(const LabDoor& door, Request& request, Response& response) {
  const auto owner = lab::owner_of(request.ctx.actor);
  if (!owner) co_return fail(response, request, owner.error());
  if (request.param("name") != *owner) {
    co_return fail(response, request,
                   {base::Code::kForbidden,
                    "this is the notebook server of another; yours is at " + lab::base_path(*owner) + "/lab"});
  }
  const auto reach = door.keeper.reach(*owner);
  if (!reach) co_return say_not_running(door, request, response, *owner);
  // Reading is what open pages do by themselves; writing and going somewhere is their person.
  const bool reads = request.method == net::Method::kGet || request.method == net::Method::kHead;
  if (!reads || request.header("sec-fetch-mode") == "navigate") door.keeper.touch(*owner);
  std::vector<net::Header> set = {{"Authorization", "token " + reach->token}};
  const auto done = co_await door.proxy.forward(request, response, {.unix_socket = reach->socket}, std::move(set));
  if (done || done.error().code == base::Code::kCancelled || response.answered()) co_return;
  if (!wants_page(request)) co_return fail(response, request, done.error());
  send_page(response, 503, "The notebook server does not answer",
            "<p>" + net::escape_markup(done.error().message) + "</p>", true);
}

}  // namespace

void add_lab_routes(net::RouteTable& routes, const LabDoor& door) {
  using base::Permission;
  using net::Method;
  using net::Protocol;
  const auto add = [&](Method method, std::string pattern, Protocol protocol, Permission permission,
                       net::RouteLimits limits, auto handler) {
    routes.add({method, std::move(pattern), protocol, permission, limits,
                [door, handler](Request& request, Response& response) { return handler(door, request, response); }});
  };
  const std::string api = "/api/lathe/v1";
  const auto lathe = Protocol::kLathe;
  add(Method::kGet, api + "/lab", lathe, Permission::kRead, kNoBody, show);
  add(Method::kPost, api + "/lab", lathe, Permission::kRunCode, {.body_bytes = base::limits::kSmallBody}, start);
  add(Method::kDelete, api + "/lab", lathe, Permission::kRunCode, kNoBody, stop);
  add(Method::kGet, api + "/lab/log", lathe, Permission::kRunCode, kNoBody, log);
  add(Method::kGet, api + "/labs", lathe, Permission::kAdmin, kNoBody, list);
  add(Method::kDelete, api + "/labs/{owner}", lathe, Permission::kAdmin, kNoBody, stop_other);
  const net::RouteLimits through{.body_bytes = kUploadBytes, .deadline_us = kAnswerUs};
  for (const Method method :
       {Method::kGet, Method::kHead, Method::kPost, Method::kPut, Method::kPatch, Method::kDelete, Method::kOptions}) {
    add(method, "/user/{name}/{rest...}", Protocol::kHub, Permission::kRunCode, through, pass);
  }
  add(Method::kGet, "/user/{name}", Protocol::kHub, Permission::kRunCode, kNoBody, home);
  add(Method::kGet, "/user/{name}/", Protocol::kHub, Permission::kRunCode, kNoBody, home);
}

}  // namespace api::lathe
