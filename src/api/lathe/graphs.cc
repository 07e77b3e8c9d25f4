#include "api/lathe/graphs.h"

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json_writer.h"
#include "serve/graph.h"
#include "serve/traffic.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

struct GraphNow {
  serve::Endpoint endpoint;
  serve::Revision revision;
  serve::Graph graph;
};

Result<GraphNow> read_graph(store::Tx& tx, const std::string& name) {
  GraphNow out;
  TRY_SET(out.endpoint, serve::get_endpoint(tx, name));
  if (out.endpoint.live_revision != 0) {
    TRY_SET(out.revision, serve::get_revision(tx, name, out.endpoint.live_revision));
  }
  if (out.revision.graph.empty()) return base::not_found("the endpoint '" + name + "' is no graph");
  TRY_SET(out.graph, serve::parse_graph(out.revision.graph));
  return out;
}

void write_tensors(base::JsonWriter& w, std::string_view key, const std::vector<serve::TensorInfo>& infos) {
  w.key(key).begin_array();
  for (const serve::TensorInfo& info : infos) {
    w.begin_object().field("name", info.name).field("datatype", serve::name(info.type)).key("shape").begin_array();
    for (const int64_t size : info.shape) w.value(size);
    w.end_array().end_object();
  }
  w.end_array();
}

void write_step(base::JsonWriter& w, const serve::Routes& routes, int64_t project, const serve::GraphStep& step) {
  w.begin_object().field("name", step.label());
  if (!step.node.empty()) w.field("node", step.node);
  if (!step.endpoint.empty()) {
    w.field("endpoint", step.endpoint);
    if (const auto live = routes.route(project, step.endpoint)) {
      w.field("revision", live->revision.number).field("model", live->revision.model_name);
      w.field("version", live->revision.model_version).field("ready", live->ready());
    } else {
      w.field("ready", false);
    }
  }
  if (!step.model.empty()) w.field("model", step.model).field("version", step.version);
  if (!step.condition.empty()) w.field("condition", step.condition);
  w.field("data", step.response ? "$response" : "$request").field("dependency", step.soft ? "soft" : "hard");
  if (step.weight != 0) w.field("weight", step.weight);
  w.end_object();
}

// What each step has done since the server started. A node that stands at several places has several paths.
void write_meters(base::JsonWriter& w, const serve::LiveEndpoint& live) {
  w.field("requests", static_cast<int64_t>(live.requests->value()));
  w.field("failures", static_cast<int64_t>(live.failures->value()));
  w.field("rows", static_cast<int64_t>(live.rows->value()));
  w.key("steps").begin_array();
  for (const serve::StepMeters& step : live.steps) {
    const auto bounds = step.seconds->bounds();
    const serve::LatencyCounts latency{{bounds.begin(), bounds.end()}, step.seconds->counts()};
    w.begin_object().field("path", step.path).field("requests", static_cast<int64_t>(step.requests->value()));
    w.field("failures", static_cast<int64_t>(step.failures->value()));
    w.field("rows", static_cast<int64_t>(step.rows->value()));
    for (const auto& [key, share] : {std::pair("p50", 0.5), std::pair("p99", 0.99)}) {
      const auto value = latency.quantile(share);
      w.key(key);
      value ? w.value(*value) : w.null();
    }
    w.end_object();
  }
  w.end_array();
}

std::string render(const serve::Routes& routes, int64_t project, const GraphNow& g) {
  std::string out;
  base::JsonWriter w(out);
  const auto live = routes.route(project, g.endpoint.name);
  w.begin_object().field("endpoint", g.endpoint.name).field("revision", g.revision.number);
  w.field("ready", live && live->ready()).field("problem", live ? live->trouble() : "it is not loaded yet");
  w.key("nodes").begin_array();
  for (const serve::GraphNode& node : g.graph.nodes) {
    w.begin_object().field("name", node.name).field("router", serve::name(node.router));
    if (node.router == serve::Router::kEnsemble) w.field("combine", serve::name(node.combine));
    w.key("steps").begin_array();
    for (const serve::GraphStep& step : node.steps) write_step(w, routes, project, step);
    w.end_array().end_object();
  }
  w.end_array();
  if (live && live->predictor) {
    write_meters(w, *live);
    write_tensors(w, "inputs", live->predictor->inputs());
    write_tensors(w, "outputs", live->predictor->outputs());
    w.key("columns").begin_array();
    for (const serve::Feature& feature : live->predictor->features())
      w.begin_object().field("name", feature.name).field("type", feature.text ? "text" : "number").end_object();
    w.end_array();
  }
  w.end_object();
  return out;
}

Task<void> get_graph(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  const auto found = co_await door.store.read(request.ctx, [&](store::Tx& tx) { return read_graph(tx, name); });
  if (!found) co_return fail(response, request, found.error());
  response.send_json(render(door.runtime, request.ctx.project, *found));
}

}  // namespace

void add_graph_routes(net::RouteTable& routes, const LoopDoor& door) {
  route_adder(routes, door)(net::Method::kGet, "/endpoints/{name}/graph", base::Permission::kRead, kNoBody, get_graph);
}

}  // namespace api::lathe
