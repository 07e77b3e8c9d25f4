#include "api/lathe/core.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "api/lathe/errors.h"
#include "api/lathe/limits.h"
#include "api/lathe/routes.h"
#include "base/json_writer.h"
#include "base/limits.h"
#include "core/audit_log.h"
#include "core/event.h"
#include "core/event_text.h"
#include "core/users.h"
#include "gate/gatekeeper.h"
#include "net/access.h"
#include "net/sse.h"
#include "track/registered.h"

namespace api::lathe {

std::string_view openapi_json();  // docs/openapi.json, compiled in (CMakeLists.txt)

namespace {

constexpr size_t kPage = 100;
constexpr size_t kMaxPage = 1000;
constexpr int64_t kHeartbeatUs = 15'000'000;

base::Result<int64_t> parse_count(std::string_view text, std::string_view what, int64_t most) {
  int64_t n = -1;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size() || n < 0 || n > most) {
    return base::invalid(std::string(what) + " is '" + std::string(text) + "'; it must be a whole number from 0 to " +
                         std::to_string(most));
  }
  return n;
}

base::Result<size_t> limit_of(const net::Request& request) {
  const auto text = request.query_value("limit");
  if (!text) return kPage;
  TRY_SET(const int64_t n, parse_count(*text, "limit", kMaxPage));
  return static_cast<size_t>(std::max<int64_t>(n, 1));
}

void append_event(base::JsonWriter& json, const core::Event& event) {
  json.begin_object();
  json.field("id", core::to_text(event.position)).field("at_us", event.at_us).field("kind", event.kind);
  json.key("subject").begin_object().field("kind", event.subject_kind).field("id", event.subject).end_object();
  json.field("actor", event.actor).key("body").raw(event.body);
  json.end_object();
}

base::Task<base::Result<std::vector<core::Event>>> read_events(const CoreDoor& door, base::Context ctx,
                                                               core::EventPosition after, size_t limit) {
  auto read = [after, limit](store::Tx& tx) { return core::read_events(tx, after, limit, tx.project()); };
  co_return co_await door.store.read(std::move(ctx), read);
}

base::Task<void> events_page(const CoreDoor& door, net::Request& request, net::Response& response) {
  core::EventPosition after;
  if (const auto text = request.query_value("after")) {
    auto position = core::parse_event_position(*text);
    if (!position) co_return fail(response, request, position.error());
    after = *position;
  }
  const auto limit = limit_of(request);
  if (!limit) co_return fail(response, request, limit.error());
  const auto events = co_await read_events(door, request.ctx, after, *limit);
  if (!events) co_return fail(response, request, events.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("events").begin_array();
  for (const auto& event : *events) append_event(json, event);
  json.end_array();
  json.field("next", core::to_text(events->empty() ? after : events->back().position)).end_object();
  response.send_json(std::move(body));
}

// From Last-Event-ID (or ?after=) on, else from now; ends when the peer goes or the server drains.
base::Task<void> events_stream(const CoreDoor& door, net::Request& request, net::Response& response) {
  std::string from(request.header("last-event-id"));
  if (from.empty()) from = request.query_value("after").value_or("");
  core::EventPosition after;
  if (!from.empty()) {
    auto position = core::parse_event_position(from);
    if (!position) co_return fail(response, request, position.error());
    after = *position;
  } else {
    auto newest = [](store::Tx& tx) { return core::newest_position(tx); };
    const auto position = co_await door.store.read(request.ctx, newest);
    if (!position) co_return fail(response, request, position.error());
    after = *position;
  }
  net::EventStream stream(response);
  if (!co_await stream.begin()) co_return;
  stream.add_comment();
  const std::stop_token cancelled = request.ctx.cancelled;
  while (!cancelled.stop_requested()) {
    const uint64_t seen = door.commits.version();
    const auto events = co_await read_events(door, request.ctx, after, base::limits::kEventBatch);
    if (!events) co_return;
    for (const auto& event : *events) {
      std::string data;
      base::JsonWriter json(data);
      append_event(json, event);
      after = event.position;
      stream.add(core::to_text(after), event.kind, data);
    }
    if (!co_await stream.flush()) co_return;
    if (!events->empty()) continue;
    co_await door.commits.wait(seen, kHeartbeatUs, cancelled);
    if (door.commits.version() == seen) stream.add_comment();
  }
  std::ignore = co_await response.end();
}

base::Result<core::AuditFilter> audit_filter_of(const net::Request& request) {
  core::AuditFilter filter;
  for (const char* name : {"before", "after"}) {  // "after" a page, in the order of the list: older than it
    if (const auto text = request.query_value(name)) {
      TRY_SET(filter.before_id, parse_count(*text, name, INT64_MAX));
    }
  }
  filter.actor = request.query_value("actor").value_or("");
  filter.action = request.query_value("kind").value_or("");
  return filter;
}

// `look`: what a caller must be allowed, and what must be there, in the transaction that reads.
base::Task<void> send_audit(const CoreDoor& door, core::AuditFilter filter, net::Request& request,
                            net::Response& response, std::function<base::Result<void>(store::Tx&)> look = {}) {
  const auto limit = limit_of(request);
  if (!limit) co_return fail(response, request, limit.error());
  auto read = [&filter, &look, n = *limit](store::Tx& tx) -> base::Result<std::vector<core::AuditLine>> {
    if (look) TRY(look(tx));
    auto lines = core::audit_lines(tx, filter, n);
    TRY(tx.status());
    return lines;
  };
  const auto lines = co_await door.store.read(request.ctx, read);
  if (!lines) co_return fail(response, request, lines.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("lines").begin_array();
  for (const auto& line : *lines) {
    json.begin_object()
        .field("id", line.id)
        .field("at_us", line.at_us)
        .field("actor", line.actor)
        .field("action", line.action);
    json.key("subject").begin_object().field("kind", line.subject_kind).field("id", line.subject).end_object();
    json.field("request_id", line.request_id).key("body").raw(line.body).end_object();
  }
  json.end_array();
  if (lines->size() == *limit) json.field("next", std::to_string(lines->back().id));
  json.end_object();
  response.send_json(std::move(body));
}

base::Task<void> audit_page(const CoreDoor& door, net::Request& request, net::Response& response) {
  auto filter = audit_filter_of(request);
  if (!filter) co_return fail(response, request, filter.error());
  const std::string about = request.query_value("about").value_or("");
  if (!about.empty() && about != "models")
    co_return fail(response, request,
                   {base::Code::kInvalid, "about is '" + about.substr(0, 80) + "'; allowed: models"});
  filter->models = about == "models";
  filter->model = request.query_value("model").value_or("");
  filter->with_server = request.grant->rules_server;
  co_await send_audit(door, std::move(*filter), request, response);
}

base::Task<void> model_audit(const CoreDoor& door, net::Request& request, net::Response& response) {
  auto filter = audit_filter_of(request);
  if (!filter) co_return fail(response, request, filter.error());
  filter->model = request.param("name");
  auto look = [name = filter->model, limits = limits_of(request)](store::Tx& tx) -> base::Result<void> {
    TRY(check_model(tx, limits, name, base::Level::kRead));
    TRY(track::registered_row(tx, name));
    return {};
  };
  co_await send_audit(door, std::move(*filter), request, response, std::move(look));
}

// Numbers of all projects, with names of theirs in the labels.
base::Task<void> metrics(const CoreDoor& door, net::Request& request, net::Response& response) {
  if (!request.grant->rules_server) {
    auto ask = [&request](store::Tx& tx) -> base::Result<bool> {
      const bool all = core::reads_everything(tx, gate::admission_of(request).identity);
      TRY(tx.status());
      return all;
    };
    const auto all = co_await door.store.read_point(request.ctx, ask);
    if (!all) co_return fail(response, request, all.error());
    if (!*all) {
      co_return fail(response, request,
                     {base::Code::kForbidden, "the metrics tell of all projects, and '" + request.ctx.actor.name +
                                                  "' may not read all of them (lathe user role NAME '*:viewer')"});
    }
  }
  std::string text = door.metrics.render();
  if (door.more_metrics) door.more_metrics(text);
  response.send(200, "text/plain; version=0.0.4; charset=utf-8", std::move(text));
}

base::Task<void> readyz(const CoreDoor& door, net::Request& request, net::Response& response) {
  auto ask = [](store::Tx& tx) -> base::Result<void> {
    std::ignore = tx.query_i64("SELECT id FROM projects WHERE id = ?", base::kDefaultProject);
    return tx.status();
  };
  const bool ready = (co_await door.store.read_point(request.ctx, ask)).has_value();
  response.send(ready ? 200 : 503, "text/plain; charset=utf-8", ready ? "OK" : "the store does not answer");
}

base::Task<void> routes_table(const net::RouteTable& table, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("routes").begin_array();
  for (const auto& route : table.routes()) {
    json.begin_object().field("method", net::name(route.method)).field("pattern", route.pattern);
    json.field("protocol", net::name(route.protocol)).field("permission", route.asks());
    json.field("by_resource", route.checks_resources);
    json.field("body_bytes", route.limits.body_bytes).field("deadline_us", route.limits.deadline_us).end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
  co_return;
}

}  // namespace

void add_core_routes(net::RouteTable& routes, const CoreDoor& door) {
  using base::Permission;
  using net::Method;
  using net::Protocol;
  // What anybody may ask: that the process answers (live), and that its store does (ready).
  for (const char* pattern : {"/health", "/healthz", "/livez"}) {
    routes.add({Method::kGet, pattern, Protocol::kOps, Permission::kNone, kNoBody,
                [](net::Request&, net::Response& response) -> base::Task<void> {
                  response.send(200, "text/plain; charset=utf-8", "OK");
                  co_return;
                }});
  }
  routes.add({Method::kGet, "/readyz", Protocol::kOps, Permission::kNone, kNoBody,
              [door](net::Request& request, net::Response& response) { return readyz(door, request, response); }});
  routes.add({Method::kGet, "/metrics", Protocol::kMetrics, Permission::kNone, kNoBody,
              [door](net::Request& request, net::Response& response) { return metrics(door, request, response); },
              net::Scope::kSelf});
  routes.add({Method::kGet, "/api/lathe/v1/audit", Protocol::kLathe, Permission::kAdmin, kNoBody,
              [door](net::Request& request, net::Response& response) { return audit_page(door, request, response); }});
  guarded_route_adder(routes, door)(Method::kGet, "/models/{name}/audit", Permission::kRead, kNoBody, model_audit);
  routes.add({Method::kGet, "/api/lathe/v1/routes", Protocol::kLathe, Permission::kNone, kNoBody,
              [&routes](net::Request&, net::Response& response) { return routes_table(routes, response); },
              net::Scope::kSelf});
  routes.add({Method::kGet, "/api/lathe/v1/openapi.json", Protocol::kLathe, Permission::kNone, kNoBody,
              [](net::Request&, net::Response& response) -> base::Task<void> {
                response.send_json(std::string(openapi_json()));
                co_return;
              },
              net::Scope::kSelf});
  // One path, two forms: a stream for whoever accepts text/event-stream, else a page.
  routes.add({Method::kGet,
              "/api/lathe/v1/events",
              Protocol::kLathe,
              Permission::kRead,
              {.body_bytes = 0, .deadline_us = 0},
              [door](net::Request& request, net::Response& response) {
                const bool live = request.header("accept").find("text/event-stream") != std::string_view::npos;
                return live ? events_stream(door, request, response) : events_page(door, request, response);
              }});
}

}  // namespace api::lathe
