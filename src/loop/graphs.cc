#include "loop/graphs.h"

#include "base/json_writer.h"
#include "core/audit.h"
#include "loop/verdict.h"
#include "track/registered.h"
#include "track/version_source.h"

namespace loop {
namespace {

base::Result<void> check_endpoint(store::Tx& tx, const std::string& name, const std::string& graph) {
  if (name == graph) return base::invalid("it cannot ask itself");
  auto endpoint = serve::get_endpoint(tx, name);
  if (!endpoint) return std::unexpected(std::move(endpoint).error());
  if (endpoint->live_revision == 0) return {};  // it will, once something is promoted
  TRY_SET(const auto live, serve::get_revision(tx, name, endpoint->live_revision));
  if (live.graph.empty()) return {};
  return base::invalid("endpoint '" + name + "' is a graph itself; its nodes can stand in this one");
}

base::Result<void> resolve_version(store::Tx& tx, serve::GraphStep& step) {
  TRY_SET(const auto version, track::get_model_version(tx, step.model, step.version));
  TRY_SET(step.artifact_root, track::artifact_root_of(tx, version));
  TRY_SET(step.transform_digest, transform_of_version(tx, version));
  return {};
}

}  // namespace

base::Result<void> put_graph(store::Tx& tx, const GraphConfig& wanted) {
  serve::Graph graph = wanted.graph;
  for (serve::GraphNode& node : graph.nodes) {
    for (serve::GraphStep& step : node.steps) {
      if (!step.node.empty()) continue;
      auto fine = step.endpoint.empty() ? resolve_version(tx, step) : check_endpoint(tx, step.endpoint, wanted.name);
      if (!fine)
        return std::unexpected(std::move(fine).error().within("graphs." + wanted.name + "." + node.name + ", step '" +
                                                              step.label() + "'"));
    }
  }
  const std::string text = serve::to_json(graph);
  TRY_SET(const auto endpoint, serve::ensure_endpoint(tx, wanted.name, wanted.environment));
  if (endpoint.live_revision != 0) {
    TRY_SET(const auto live, serve::get_revision(tx, wanted.name, endpoint.live_revision));
    if (live.graph == text) return {};
    if (live.graph.empty())
      return base::fail(base::Code::kConflict, "the endpoint '" + wanted.name + "' serves the model " +
                                                   live.model_name + "; give the graph another name");
  }
  TRY_SET(const auto revision,
          serve::add_revision(tx, {.endpoint = wanted.name, .model_name = wanted.name, .graph = text}));
  TRY(serve::set_live(tx, wanted.name, revision.number, endpoint.live_revision, false));
  std::string body;
  base::JsonWriter(body).begin_object().field("revision", revision.number).key("graph").raw(text).end_object();
  core::audit(tx, "endpoint.graph", "endpoint", wanted.name, body);
  return tx.status();
}

base::Result<std::string> transform_of_version(store::Tx& tx, const track::ModelVersion& version) {
  for (const auto& endpoint : serve::list_endpoints(tx)) {
    for (const auto& revision : serve::list_revisions(tx, endpoint.name))
      if (revision.model_name == version.name && revision.model_version == version.version && revision.graph.empty())
        return revision.transform_digest;
  }
  if (version.model_id.empty()) return std::string();
  const auto verdicts = verdicts_of_challenger(tx, version.model_id, 1);
  return verdicts.empty() ? std::string() : verdicts[0].transform_digest;
}

}  // namespace loop
