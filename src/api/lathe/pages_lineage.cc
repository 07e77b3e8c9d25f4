#include "api/lathe/pages_lineage.h"

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "data/data.h"
#include "flow/browse.h"
#include "loop/lineage.h"
#include "serve/capture.h"
#include "serve/graph.h"
#include "watch/watch.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

void write_node(base::JsonWriter& w, const core::Node& node) {
  w.begin_object().field("kind", node.kind).field("id", node.id).end_object();
}

// Where the page of an object is, as far as its id does not say: the pipeline of a run, the endpoint of an alert.
void write_place(base::JsonWriter& w, store::Tx& tx, const core::Node& node) {
  w.key("place").begin_object();
  if (node.kind == "pipeline_run") {
    if (const auto run = flow::get_run(tx, node.id)) w.field("pipeline", run->pipeline).field("number", run->number);
  }
  if (node.kind == "attempt") {
    for (const auto& edge : core::edges_into(tx, node)) {
      if (edge.from.kind != "pipeline_run") continue;
      const auto run = flow::get_run(tx, edge.from.id);
      const auto attempt = flow::get_attempt(tx, node.id);
      if (run && attempt)
        w.field("pipeline", run->pipeline).field("number", run->number).field("stage", attempt->stage);
    }
  }
  if (node.kind == "alert") {
    if (const auto alert = watch::get_alert(tx, node.id)) w.field("endpoint", alert->endpoint);
  }
  if (node.kind == "window") {
    if (const auto window = watch::get_window(tx, node.id))
      w.field("endpoint", window->endpoint).field("number", window->number);
  }
  if (node.kind == "revision") w.field("endpoint", node.id.substr(0, node.id.rfind('/')));
  if (node.kind == "data_version") {
    if (const auto v = data::get_version(tx, node.id)) w.field("name", v->name).field("number", v->number);
  }
  w.end_object();
}

std::string graph_json(store::Tx& tx, const loop::Neighbourhood& found) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("start");
  write_node(w, found.graph.start);
  w.key("nodes").begin_array();
  for (size_t i = 0; i < found.graph.nodes.size(); ++i) {
    const auto& node = found.graph.nodes[i];
    w.begin_object().field("kind", node.node.kind).field("id", node.node.id).field("step", found.steps[i]);
    w.field("beyond", found.beyond[i]).key("facts").begin_array();
    for (const auto& [key, value] : node.facts) w.begin_array().value(key).value(clean_text(value)).end_array();
    w.end_array();
    write_place(w, tx, node.node);
    w.end_object();
  }
  w.end_array().key("edges").begin_array();
  for (const auto& edge : found.graph.edges) {
    w.begin_object().key("from");
    write_node(w, edge.from);
    w.key("to");
    write_node(w, edge.to);
    w.field("role", edge.role).field("at_us", edge.at_us).end_object();
  }
  w.end_array().field("truncated", found.graph.truncated).end_object();
  return out;
}

Task<void> show(const LineagePagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const std::string id = args.text("id");
  const auto up = static_cast<int>(args.integer("up", 1, 0, loop::kMaxLineageSteps));
  const auto down = static_cast<int>(args.integer("down", 1, 0, loop::kMaxLineageSteps));
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  const auto node = co_await door.store.read(request.ctx, [&](store::Tx& tx) { return loop::find_node(tx, id); });
  if (!node) co_return fail(response, request, node.error());
  const auto extra = co_await prediction_edges(door.runtime, door.offload, request.ctx.project, *node);
  if (!extra) co_return fail(response, request, extra.error());
  auto read = [&](store::Tx& tx) -> Result<std::string> {
    TRY_SET(const auto found, loop::neighbourhood(tx, *node, up, down, *extra));
    auto body = graph_json(tx, found);
    TRY(tx.status());
    return body;
  };
  co_await answer_read(door.store, request, response, read);
}

// The newest of each kind, so that a page without an id has somewhere to begin.
Task<void> start(const LineagePagesDoor& door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    const auto begin = [&](std::string_view kind, std::string_view id, std::string_view text, int64_t at_us) {
      w.begin_object().field("kind", kind).field("id", id).field("text", text).field("at_us", at_us).end_object();
    };
    w.begin_object().key("starts").begin_array();
    for (const auto& v : data::list_newest(tx))
      begin("data_version", v.id, v.name + " version " + std::to_string(v.number), v.created_us);
    for (const auto& name : flow::list_pipelines(tx))
      for (const auto& run : flow::list_runs(tx, name, 1))
        begin("pipeline_run", run.id, name + " run " + std::to_string(run.number), run.created_us);
    for (const auto& e : serve::list_endpoints(tx)) {
      if (e.live_revision == 0) continue;
      const std::string id = e.name + "/" + std::to_string(e.live_revision);
      const auto revision = serve::get_revision(tx, e.name, e.live_revision);
      begin("revision", id, "endpoint " + e.name + ", revision " + std::to_string(e.live_revision),
            revision ? revision->created_us : 0);
    }
    for (const auto& a : watch::list_alerts(tx, "", 3)) begin("alert", a.id, a.kind + " of " + a.endpoint, a.raised_us);
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

}  // namespace

Task<Result<std::vector<core::Edge>>> prediction_edges(serve::Runtime& runtime, net::Offload& offload, int64_t project,
                                                       const core::Node& node) {
  std::vector<core::Edge> out;
  if (node.kind != "prediction") co_return out;
  CO_TRY_SET(const auto found, co_await offload.run([&] { return runtime.capture().find(node.id); }));
  if (!found || found->project != project) co_return base::not_found("there is no prediction '" + node.id + "'");
  out.push_back(
      {{"revision", found->endpoint + "/" + std::to_string(found->revision)}, node, "answered", found->at_us});
  if (found->route.empty()) co_return out;
  CO_TRY_SET(const auto route, serve::parse_route(found->route));
  for (const auto& step : route.steps) {  // the models that answered within a graph
    if (!step.ran) continue;
    const core::Node from = step.endpoint.empty()
                                ? core::Node{"model_version", step.model + "/" + std::to_string(step.version)}
                                : core::Node{"revision", step.endpoint + "/" + std::to_string(step.revision)};
    out.push_back({from, node, step.path, found->at_us});
  }
  co_return out;
}

void add_pages_lineage_routes(net::RouteTable& routes, const LineagePagesDoor& door) {
  add_page(routes, door, "/lineage", show);
  add_page(routes, door, "/lineage/start", start);
}

}  // namespace api::lathe
