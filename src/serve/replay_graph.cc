#include "serve/replay_graph.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_writer.h"
#include "serve/graph_model.h"
#include "serve/trial.h"

namespace serve {
namespace {

// The step's own entry of a route: of one endpoint a request meets one revision, and what ran tells which.
const GraphRoute::Step* entry_of(const GraphRoute& route, const GraphStep& step) {
  const GraphRoute::Step* out = nullptr;
  for (const GraphRoute::Step& entry : route.steps) {
    const bool same = step.endpoint.empty()
                          ? entry.endpoint.empty() && entry.model == step.model && entry.version == step.version
                          : entry.endpoint == step.endpoint;
    if (same && (!out || entry.ran)) out = &entry;
  }
  return out;
}

template <class F>
base::Result<void> for_each_target(const Graph& graph, F&& with) {
  for (const GraphStep& step : graph.steps()) {
    if (step.node.empty()) TRY(with(step));
  }
  return {};
}

class Planner {
 public:
  Planner(Runtime& runtime, int64_t project) : runtime_(runtime), project_(project), json_(text_) {}

  base::Result<GraphReplayPlan> plan(const Revision& target, std::vector<CapturedRequest>& requests) {
    TRY_SET(graph_, parse_graph(target.graph));
    json_.begin_object().key("graph").raw(target.graph).key("models").begin_array();
    for (CapturedRequest& request : requests) {
      TRY_SET(GraphRoute route, parse_route(request.route));
      if (request.revision != target.number) {
        TRY(follow_now(route));
        request.route = to_json(route);
      }
      TRY(for_each_target(graph_, [&](const GraphStep& step) -> base::Result<void> {
        const GraphRoute::Step* entry = entry_of(route, step);
        if (!entry)
          return base::invalid("prediction " + request.id + " does not say what answered '" + step.label() + "'");
        return add(step, entry->revision);
      }));
    }
    json_.end_array().end_object();
    return GraphReplayPlan{std::move(text_), std::move(held_)};
  }

 private:
  base::Result<void> follow_now(GraphRoute& route) {
    route.steps.clear();
    return for_each_target(graph_, [&](const GraphStep& step) -> base::Result<void> {
      GraphRoute::Step entry{
          .path = step.label(), .endpoint = step.endpoint, .model = step.model, .version = step.version};
      if (!step.endpoint.empty()) {
        const LivePtr live = runtime_.route(project_, step.endpoint);
        if (!live) return base::not_found("endpoint '" + step.endpoint + "' serves nothing now");
        entry.revision = live->revision.number;
        entry.model = live->revision.model_name;
        entry.version = live->revision.model_version;
      }
      route.steps.push_back(std::move(entry));
      return {};
    });
  }

  base::Result<void> add(const GraphStep& step, int64_t number) {
    const std::pair key(step.endpoint + step.model, step.endpoint.empty() ? step.version : number);
    if (std::ranges::find(seen_, key) != seen_.end()) return {};
    if (seen_.size() == kMaxReplayModels)
      return base::fail(base::Code::kTooLarge, "these requests were answered by more than " +
                                                   std::to_string(kMaxReplayModels) + " models; replay fewer");
    seen_.push_back(key);
    Revision revision = pinned_revision(step);
    if (!step.endpoint.empty()) {
      TRY_SET(revision, runtime_.revision_of(project_, step.endpoint, number));
    }
    TRY_SET(Runtime::Files files, runtime_.files_of(project_, revision));
    json_.begin_object().field("endpoint", step.endpoint).field("revision", step.endpoint.empty() ? 0 : number);
    json_.field("model", revision.model_name).field("version", revision.model_version);
    json_.field("folder", files.folder.string()).field("transform", files.transform.string()).end_object();
    held_.push_back(std::move(files));
    return {};
  }

  Runtime& runtime_;
  const int64_t project_;
  Graph graph_;
  std::string text_;
  base::JsonWriter json_;
  std::vector<std::pair<std::string, int64_t>> seen_;
  std::vector<Runtime::Files> held_;
};

}  // namespace

base::Result<GraphReplayPlan> plan_graph_replay(Runtime& runtime, int64_t project, const Revision& target,
                                                std::vector<CapturedRequest>& requests) {
  return Planner(runtime, project).plan(target, requests);
}

base::Result<GraphReplayer> GraphReplayer::load(std::string_view plan) {
  TRY_SET(const auto value, base::parse_json(plan));
  TRY_SET(const auto* object, base::as_object(value, "the plan"));
  GraphReplayer out;
  const auto* graph = object->if_contains("graph");
  if (!graph) return base::invalid("the plan has no graph");
  TRY_SET(out.graph_, parse_graph(base::to_text(*graph)));
  TRY_SET(const auto* models, base::required_array(*object, "models"));
  for (const auto& entry : *models) {
    TRY_SET(const auto* model, base::as_object(entry, "a model"));
    Model one;
    TRY_SET(one.endpoint, base::required_string(*model, "endpoint"));
    TRY_SET(one.revision, base::required_int(*model, "revision"));
    TRY_SET(one.name, base::required_string(*model, "model"));
    TRY_SET(one.version, base::required_int(*model, "version"));
    TRY_SET(const std::string folder, base::required_string(*model, "folder"));
    TRY_SET(const std::string transform_file, base::required_string(*model, "transform"));
    TRY_SET(stats::Transform transform, load_transform(transform_file));
    auto live = std::make_shared<LiveEndpoint>();
    TRY_SET(live->predictor, Predictor::load(folder, std::move(transform)));
    live->name = one.endpoint;
    live->revision = {
        .endpoint = one.endpoint, .number = one.revision, .model_name = one.name, .model_version = one.version};
    live->waits = live->predictor->waits();
    one.live = std::move(live);
    out.models_.push_back(std::move(one));
  }
  return out;
}

base::Result<LivePtr> GraphReplayer::find(const GraphStep& step, const GraphRoute& route) const {
  const GraphRoute::Step* entry = entry_of(route, step);
  for (const Model& model : models_) {
    const bool same = step.endpoint.empty()
                          ? model.endpoint.empty() && model.name == step.model && model.version == step.version
                          : entry && model.endpoint == step.endpoint && model.revision == entry->revision;
    if (same) return model.live;
  }
  return base::not_found("the model behind '" + step.label() + "' is not among those of the replay");
}

base::Result<const Predictor*> GraphReplayer::predictor_for(const GraphRoute& route) {
  std::string key;
  for (const GraphRoute::Step& entry : route.steps)
    key += entry.path + "=" + std::to_string(entry.revision) + (entry.ran ? "!" : "") + ";";
  if (!bound_ || key != bound_to_) {
    TRY_SET(bound_, make_graph_predictor(graph_, [&](const GraphStep& step) { return find(step, route); }));
    bound_to_ = std::move(key);
  }
  return bound_.get();
}

}  // namespace serve
