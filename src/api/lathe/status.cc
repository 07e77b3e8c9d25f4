#include "api/lathe/status.h"

#include <optional>
#include <vector>

#include "api/lathe/errors.h"
#include "api/lathe/planes_json.h"
#include "base/json_writer.h"
#include "flow/flow.h"
#include "watch/watch.h"

namespace api::lathe {
namespace {

constexpr size_t kListed = 50;  // of each kind

struct Deployed {
  serve::Endpoint endpoint;
  std::optional<serve::Revision> live;
};

struct Facts {
  int64_t project = 0;
  std::vector<Deployed> endpoints;
  std::vector<flow::PipelineRun> running;
  std::vector<watch::Alert> alerts;
  std::vector<PlaneFacts> planes;
};

base::Result<Facts> read_facts(store::Tx& tx) {
  Facts out;
  out.project = tx.project();
  for (serve::Endpoint& endpoint : serve::list_endpoints(tx)) {
    Deployed deployed{std::move(endpoint), std::nullopt};
    if (deployed.endpoint.live_revision != 0) {
      TRY_SET(deployed.live, serve::get_revision(tx, deployed.endpoint.name, deployed.endpoint.live_revision));
    }
    out.endpoints.push_back(std::move(deployed));
    if (out.endpoints.size() == kListed) break;
  }
  out.running = flow::list_running(tx, kListed);
  for (watch::Alert& alert : watch::list_alerts(tx, "", kListed)) {
    if (alert.ended_us == 0) out.alerts.push_back(std::move(alert));
  }
  out.planes = plane_facts(tx);
  TRY(tx.status());
  return out;
}

void write_disk(base::JsonWriter& json, const base::Path& dir) {
  std::error_code error;
  const auto space = std::filesystem::space(dir, error);
  if (error) return;
  json.key("disk").begin_object();
  json.field("total_bytes", space.capacity).field("free_bytes", space.available);
  json.end_object();
}

void write_endpoints(base::JsonWriter& json, const Facts& facts, const serve::Runtime& runtime) {
  json.key("endpoints").begin_array();
  for (const auto& [endpoint, live] : facts.endpoints) {
    json.begin_object().field("name", endpoint.name).field("environment", endpoint.environment);
    json.field("revision", endpoint.live_revision);
    if (live) json.field("model", live->model_name).field("version", live->model_version);
    const auto route = runtime.route(facts.project, endpoint.name);
    json.field("serves", route && route->ready());
    if (const std::string trouble = route ? route->trouble() : std::string(); !trouble.empty())
      json.field("problem", trouble);
    json.end_object();
  }
  json.end_array();
}

void write_work(base::JsonWriter& json, const Facts& facts) {
  json.key("running").begin_array();
  for (const auto& run : facts.running) {
    json.begin_object().field("id", run.id).field("pipeline", run.pipeline).field("number", run.number);
    json.field("state", flow::name(run.state)).field("cause", run.cause).field("created_us", run.created_us);
    json.end_object();
  }
  json.end_array().key("alerts").begin_array();
  for (const auto& alert : facts.alerts) {
    json.begin_object().field("id", alert.id).field("kind", alert.kind).field("endpoint", alert.endpoint);
    json.field("revision", alert.revision).field("raised_us", alert.raised_us);
    json.end_object();
  }
  json.end_array();
}

base::Task<void> send_status(const StatusDoor& door, net::Request& request, net::Response& response) {
  const auto facts = co_await door.store.read(request.ctx, read_facts);
  if (!facts) co_return fail(response, request, facts.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object();
  door.process(json);
  write_disk(json, door.dir);
  write_endpoints(json, *facts, door.runtime);
  write_work(json, *facts);
  json.key("planes");
  write_planes(json, facts->planes, request.ctx.now_us);
  json.end_object();
  response.send_json(std::move(body));
}

}  // namespace

void add_status_route(net::RouteTable& routes, const StatusDoor& door) {
  routes.add({net::Method::kGet,
              "/api/lathe/v1/status",
              net::Protocol::kLathe,
              base::Permission::kRead,
              {.body_bytes = 0},
              [door](net::Request& request, net::Response& response) { return send_status(door, request, response); }});
}

}  // namespace api::lathe
