#include "api/lathe/plane.h"

#include "api/lathe/errors.h"
#include "api/lathe/planes_json.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/limits.h"
#include "core/event_text.h"
#include "core/identity.h"
#include "core/users.h"
#include "net/access.h"
#include "net/sse.h"
#include "plane/caller.h"
#include "plane/planes.h"
#include "plane/snapshot.h"
#include "serve/capture_format.h"

namespace api::lathe {
namespace {

constexpr int64_t kHeartbeatUs = 1'000'000;  // a plane counts itself out of touch after three that did not come
constexpr uint32_t kMaxRows = 1'000'000;     // of one captured request
constexpr net::RouteLimits kStream{.body_bytes = 0, .deadline_us = 0};
constexpr net::RouteLimits kQuestion{.body_bytes = 128 * base::limits::kKiB};
constexpr net::RouteLimits kReport{.body_bytes = plane::kMaxReport};
constexpr net::RouteLimits kCaptures{.body_bytes = 16 * base::limits::kMiB};  // twice a batch: one record may be larger

base::Task<void> snapshot(PlaneDoor door, net::Request& request, net::Response& response) {
  auto read = [&door](store::Tx& tx) -> base::Result<std::string> {
    TRY_SET(plane::Snapshot taken, plane::take_snapshot(tx));
    taken.require_login = door.require_login;
    return plane::to_json(taken);
  };
  auto text = co_await door.blobs.store.read(request.ctx, read);
  if (!text) co_return fail(response, request, text.error());
  response.send_json(std::move(*text));
}

// What changes what a plane does: its project's endpoints, and anybody's rights.
bool concerns_planes(const core::Event& event, int64_t project) {
  if (event.kind == "principal.revoked") return event.project == core::kServerProject || event.project == project;
  return event.project == project && event.kind.starts_with("endpoint.");
}

base::Task<void> events(PlaneDoor door, net::Request& request, net::Response& response) {
  auto position = core::parse_event_position(request.header("last-event-id"));
  if (!position) co_return fail(response, request, position.error());
  core::EventPosition after = *position;
  auto ask = [after](store::Tx& tx) { return core::are_all_kept(tx, after); };
  const auto kept = co_await door.blobs.store.read(request.ctx, ask);
  if (!kept) co_return fail(response, request, kept.error());
  if (!*kept) {
    co_return fail(response, request,
                   {base::Code::kConflict, "the events after " + core::to_text(after) +
                                               " are not all kept here; begin again with a snapshot"});
  }
  net::EventStream stream(response);
  if (!co_await stream.begin()) co_return;
  const std::stop_token cancelled = request.ctx.cancelled;
  while (!cancelled.stop_requested()) {
    const uint64_t seen = door.commits.version();
    auto next = [after](store::Tx& tx) { return core::read_events(tx, after, base::limits::kEventBatch); };
    const auto found = co_await door.blobs.store.read(request.ctx, next);
    if (!found) co_return;
    for (const auto& event : *found) {
      after = event.position;
      if (!concerns_planes(event, request.ctx.project)) continue;
      std::string data;
      base::JsonWriter(data).begin_object().field("subject", event.subject).end_object();
      stream.add(core::to_text(after), event.kind, data);
    }
    const bool caught_up = found->size() < base::limits::kEventBatch;
    if (caught_up) stream.add(core::to_text(after), "heartbeat", "{}");
    if (!co_await stream.flush()) co_return;
    if (caught_up) co_await door.commits.wait(seen, kHeartbeatUs, cancelled);
  }
  std::ignore = co_await response.end();
}

base::Task<void> file(PlaneDoor door, net::Request& request, net::Response& response) {
  const auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, request.param("sha256"));
  if (!digest) co_return fail(response, request, digest.error());
  auto ask = [digest = *digest](store::Tx& tx) { return plane::is_served_file(tx, digest); };
  const auto served = co_await door.blobs.store.read_point(request.ctx, ask);
  if (!served) co_return fail(response, request, served.error());
  if (!*served) {
    co_return fail(response, request,
                   {base::Code::kNotFound, "no revision of this project has the file " + digest->hex()});
  }
  co_await send_blob(door.blobs, *digest, "application/octet-stream", request, response);
}

base::Result<std::vector<std::string>> read_hashes(std::string_view body) {
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  TRY_SET(const base::json::array* hashes, base::required_array(*object, "hashes"));
  if (hashes->size() > plane::kMaxAsked)
    return base::fail(base::Code::kTooLarge, "at most " + std::to_string(plane::kMaxAsked) + " hashes are answered");
  std::vector<std::string> out;
  for (const base::json::value& entry : *hashes) {
    if (!entry.is_string()) return base::invalid("'hashes' must hold strings");
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, std::string_view(entry.get_string())));
    out.emplace_back(reinterpret_cast<const char*>(digest.bytes.data()), digest.size());
  }
  return out;
}

base::Task<void> callers(PlaneDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto hashes = read_hashes(*body);
  if (!hashes) co_return fail(response, request, hashes.error());
  auto find = [&](store::Tx& tx) { return plane::find_callers(tx, request.grant->project_name, *hashes); };
  const auto found = co_await door.blobs.store.read_point(request.ctx, find);
  if (!found) co_return fail(response, request, found.error());
  if (!found->used.empty()) {
    auto note = [&](store::Tx& tx) -> base::Result<void> {
      for (const std::string& hash : found->used) core::note_token_use(tx, hash);
      return tx.status();
    };
    if (const auto noted = co_await door.blobs.store.write(request.ctx, note); !noted)
      co_return fail(response, request, noted.error());
  }
  response.send_json(plane::to_json(found->callers));
}

base::Task<void> report(PlaneDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto told = plane::report_of_json(*body);
  if (!told) co_return fail(response, request, told.error());
  auto record = [&, id = std::string(request.param("id"))](store::Tx& tx) {
    return plane::record_report(tx, id, *told, door.runtime.capture().writer());
  };
  const auto plane = co_await door.blobs.store.write(request.ctx, record);
  if (!plane) co_return fail(response, request, plane.error());
  std::string text;
  base::JsonWriter(text).begin_object().field("writer", plane->writer).end_object();
  response.send_json(std::move(text));
}

// Whose ids name another writer are not this plane's to tell.
base::Result<std::vector<serve::CapturedRequest>> read_captured(std::string_view body, int64_t project,
                                                                const std::string& endpoint, uint16_t writer) {
  TRY_SET(auto requests, serve::format::unpack_requests(body, {.project = project, .endpoint = endpoint}));
  for (const serve::CapturedRequest& one : requests) {
    const auto id = serve::parse_prediction_id(one.id);
    if (!id || serve::writer_of(*id) != writer) return base::invalid("prediction " + one.id + " was not made there");
    if (one.row_count > kMaxRows)
      return base::invalid("prediction " + one.id + " is said to have " + std::to_string(one.row_count) + " rows");
  }
  return requests;
}

base::Task<void> captures(PlaneDoor door, net::Request& request, net::Response& response) {
  const std::string endpoint(request.param("endpoint"));
  auto ask = [&, id = std::string(request.param("id"))](store::Tx& tx) -> base::Result<plane::Plane> {
    TRY(serve::get_endpoint(tx, endpoint));
    auto plane = plane::get_plane(tx, id);
    if (plane && plane->principal != request.ctx.actor.name)
      return base::fail(base::Code::kForbidden, "the plane " + id + " is '" + plane->principal + "'");
    // Forgotten: its next report makes it known again, and then these are taken.
    if (!plane && plane.error().code == base::Code::kNotFound)
      return base::fail(base::Code::kConflict, plane.error().message);
    return plane;
  };
  const auto plane = co_await door.blobs.store.read_point(request.ctx, ask);
  if (!plane) co_return fail(response, request, plane.error());
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto adopt = [&]() -> base::Result<void> {
    TRY_SET(const auto requests, read_captured(*body, request.ctx.project, endpoint, plane->writer));
    return door.runtime.capture().adopt(requests);
  };
  const auto adopted = co_await door.blobs.offload.run(adopt);
  if (!adopted) co_return fail(response, request, adopted.error());
  response.send_json("{}");
}

base::Task<void> list(PlaneDoor door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> base::Result<std::vector<PlaneFacts>> {
    auto facts = plane_facts(tx);
    TRY(tx.status());
    return facts;
  };
  const auto planes = co_await door.blobs.store.read(request.ctx, read);
  if (!planes) co_return fail(response, request, planes.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("planes");
  write_planes(json, *planes, request.ctx.now_us);
  json.end_object();
  response.send_json(std::move(body));
}

base::Task<void> forget(PlaneDoor door, net::Request& request, net::Response& response) {
  auto remove = [id = std::string(request.param("id"))](store::Tx& tx) { return plane::forget_plane(tx, id); };
  const auto done = co_await door.blobs.store.write(request.ctx, remove);
  if (!done) co_return fail(response, request, done.error());
  response.send_json("{}");
}

}  // namespace

void add_plane_routes(net::RouteTable& routes, const PlaneDoor& door) {
  using net::Method;
  const auto add = [&](Method method, std::string_view path, net::RouteLimits limits, auto handler) {
    routes.add(
        {method, "/api/lathe/v1/plane" + std::string(path), net::Protocol::kPlane, base::Permission::kPlane, limits,
         [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); }});
  };
  add(Method::kGet, "/snapshot", kNoBody, snapshot);
  add(Method::kGet, "/events", kStream, events);
  add(Method::kGet, "/blobs/{sha256}", kStream, file);
  add(Method::kPost, "/callers", kQuestion, callers);
  add(Method::kPut, "/planes/{id}", kReport, report);
  add(Method::kPost, "/planes/{id}/captures/{endpoint}", kCaptures, captures);
  const auto own = route_adder(routes, door);
  own(Method::kGet, "/planes", base::Permission::kRead, kNoBody, list);
  own(Method::kDelete, "/planes/{id}", base::Permission::kAdmin, kNoBody, forget);
}

}  // namespace api::lathe
