#include "serve/graph.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/json.h"
#include "base/json_writer.h"
#include "serve/condition.h"

namespace serve {
namespace {

constexpr std::array<std::string_view, 4> kRouters = {"sequence", "switch", "ensemble", "splitter"};
constexpr std::array<std::string_view, 3> kCombines = {"average", "vote", "merge"};
constexpr size_t kMaxNameBytes = 100;

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

class Checker {
 public:
  explicit Checker(const Graph& graph) : graph_(graph) {}

  std::optional<GraphProblem> problem() {
    if (graph_.nodes.empty() || graph_.nodes.size() > kMaxGraphNodes)
      return fail(
          "", -1,
          "has " + std::to_string(graph_.nodes.size()) + " nodes; allowed: 1 to " + std::to_string(kMaxGraphNodes));
    if (graph_.columns.size() > kMaxGraphColumns)
      return fail("", -1, "declares more than " + std::to_string(kMaxGraphColumns) + " columns");
    std::set<std::string_view> names;
    for (const GraphNode& node : graph_.nodes) {
      if (!is_plain_name(node.name))
        return fail(node.name, -1, "a node's name is letters, digits, '.', '_' and '-', at most 100");
      if (!names.insert(node.name).second) return fail(node.name, -1, "is declared twice");
      if (!check_node(node)) return problem_;
    }
    if (!graph_.find(kGraphRoot)) return fail("", -1, "has no node 'root': where a request begins");
    if (!descend(*graph_.find(kGraphRoot))) return problem_;
    for (const GraphNode& node : graph_.nodes)
      if (!reached_.contains(node.name)) return fail(node.name, -1, "is not reached from 'root'");
    return std::nullopt;
  }

 private:
  std::optional<GraphProblem> fail(std::string node, int step, std::string what) {
    problem_ = {std::move(node), step, std::move(what)};
    return problem_;
  }

  bool check_node(const GraphNode& node) {
    if (node.steps.empty() || node.steps.size() > kMaxGraphSteps) {
      fail(node.name, -1,
           "has " + std::to_string(node.steps.size()) + " steps; allowed: 1 to " + std::to_string(kMaxGraphSteps));
      return false;
    }
    std::set<std::string_view> names;
    double weights = 0;
    for (size_t i = 0; i < node.steps.size(); ++i) {
      const GraphStep& step = node.steps[i];
      std::string what = check_step(node, i);
      if (what.empty() && !names.insert(step.label()).second)
        what = "there is another step '" + step.label() + "' in this node; give one of them a name";
      if (!what.empty()) {
        fail(node.name, static_cast<int>(i), std::move(what));
        return false;
      }
      weights += step.weight;
    }
    if (node.router == Router::kSplitter && std::abs(weights - 100) > 1e-6) {
      fail(node.name, -1, "the weights of a splitter's steps add up to 100, found " + std::to_string(weights));
      return false;
    }
    return true;
  }

  std::string check_step(const GraphNode& node, size_t place) const {
    const GraphStep& step = node.steps[place];
    const int targets = !step.endpoint.empty() + !step.model.empty() + !step.node.empty();
    if (targets != 1) return "names " + std::to_string(targets) + " targets; allowed: one of endpoint, model, node";
    if (!step.model.empty() && step.version <= 0) return "a model is named with its version: models:/NAME/3";
    if (!step.node.empty() && !graph_.find(step.node)) return "there is no node '" + step.node + "'";
    if (!is_plain_name(step.label()))
      return "a step's name is letters, digits, '.', '_' and '-', at most 100; give it one with 'name'";
    if (std::string what = check_condition(node, place); !what.empty()) return what;
    if (step.response && (node.router != Router::kSequence || place == 0))
      return "$response is the answer of the step before, in a sequence";
    if (step.soft && !(node.router == Router::kEnsemble && node.combine != Combine::kMerge) &&
        !(node.router == Router::kSequence && place > 0))
      return "a step that may fail (soft) needs others: in an ensemble that averages or votes, or after the first of a "
             "sequence";
    if (!std::isfinite(step.weight) || step.weight < 0) return "a weight is a number from 0";
    if (step.weight != 0 && node.router != Router::kEnsemble && node.router != Router::kSplitter)
      return "only steps of an ensemble or a splitter have a weight";
    if (step.weight != 0 && node.router == Router::kEnsemble && node.combine == Combine::kMerge)
      return "answers that are merged have no weights";
    return "";
  }

  static std::string check_condition(const GraphNode& node, size_t place) {
    const GraphStep& step = node.steps[place];
    if (step.condition.empty()) {
      if (node.router == Router::kSwitch && place + 1 < node.steps.size())
        return "a step of a switch needs a condition, but the last, which then takes the rest";
      return "";
    }
    if (node.router == Router::kEnsemble || node.router == Router::kSplitter)
      return "steps of an ensemble or a splitter have no condition";
    if (node.router == Router::kSequence && place == 0)
      return "the first step of a sequence has no condition: there is no answer yet that could stand instead";
    const auto condition = Condition::parse(step.condition);
    if (!condition) return "condition: " + condition.error().message;
    for (const auto& reference : condition->references())
      if (reference.source == Condition::Source::kResponse && node.router == Router::kSwitch)
        return "condition: at character " + std::to_string(reference.at) +
               ": a switch has no answer before it; put it into a sequence with data: $response and name its columns";
    return "";
  }

  // Each way counts, so a graph whose ways multiply ends here, not in memory.
  bool descend(const GraphNode& node) {
    reached_.insert(node.name);
    const bool cycle = std::ranges::find(way_, node.name) != way_.end();
    way_.push_back(node.name);
    if (cycle || way_.size() > kMaxGraphDepth) {
      std::string shown;
      for (std::string_view name : way_) shown += (shown.empty() ? "" : " → ") + std::string(name);
      fail(node.name, -1,
           cycle ? "lies in a cycle: " + shown
                 : "lies deeper than " + std::to_string(kMaxGraphDepth) + " nodes within each other: " + shown);
      return false;
    }
    for (const GraphStep& step : node.steps) {
      if (++steps_ > kMaxGraphWays) {
        fail("", -1, "has more than " + std::to_string(kMaxGraphWays) + " steps, each way to them counted");
        return false;
      }
      if (!step.node.empty() && !descend(*graph_.find(step.node))) return false;
    }
    way_.pop_back();
    return true;
  }

  const Graph& graph_;
  std::optional<GraphProblem> problem_;
  std::set<std::string_view> reached_;
  std::vector<std::string_view> way_;
  size_t steps_ = 0;
};

template <size_t N>
std::optional<size_t> place_of_word(const std::array<std::string_view, N>& words, std::string_view word) {
  const auto found = std::ranges::find(words, word);
  return found == words.end() ? std::nullopt : std::optional(static_cast<size_t>(found - words.begin()));
}

base::Result<GraphStep> parse_step(const base::json::value& value) {
  TRY_SET(const auto* object, base::as_object(value, "a step"));
  GraphStep step;
  const auto text = [&](std::string_view key, std::string& to) -> base::Result<void> {
    TRY_SET(auto found, base::optional_string(*object, key));
    to = found.value_or("");
    return {};
  };
  TRY(text("name", step.name));
  TRY(text("endpoint", step.endpoint));
  TRY(text("model", step.model));
  TRY(text("node", step.node));
  TRY(text("condition", step.condition));
  TRY(text("artifact_root", step.artifact_root));
  TRY(text("transform", step.transform_digest));
  if (const auto* version = object->if_contains("version"); version && version->is_int64())
    step.version = version->get_int64();
  if (const auto* weight = object->if_contains("weight"); weight && weight->is_number())
    step.weight = weight->to_number<double>();
  TRY_SET(const auto response, base::optional_bool(*object, "response"));
  TRY_SET(const auto soft, base::optional_bool(*object, "soft"));
  step.response = response.value_or(false);
  step.soft = soft.value_or(false);
  return step;
}

}  // namespace

std::string_view name(Router router) { return kRouters[static_cast<size_t>(router)]; }
std::string_view name(Combine combine) { return kCombines[static_cast<size_t>(combine)]; }
std::optional<Router> parse_router(std::string_view word) {
  const auto place = place_of_word(kRouters, word);
  return place ? std::optional(static_cast<Router>(*place)) : std::nullopt;
}
std::optional<Combine> parse_combine(std::string_view word) {
  const auto place = place_of_word(kCombines, word);
  return place ? std::optional(static_cast<Combine>(*place)) : std::nullopt;
}

const GraphNode* Graph::find(std::string_view node) const {
  const auto found = std::ranges::find(nodes, node, &GraphNode::name);
  return found == nodes.end() ? nullptr : &*found;
}

std::optional<GraphProblem> problem_of(const Graph& graph) { return Checker(graph).problem(); }

base::Result<void> check(const Graph& graph) {
  const auto problem = problem_of(graph);
  if (!problem) return {};
  std::string where = "the graph";
  if (!problem->node.empty()) where = "node '" + problem->node + "'";
  if (problem->step >= 0) where += ", step " + std::to_string(problem->step + 1);
  return base::invalid(where + ": " + problem->what);
}

std::string to_json(const Graph& graph) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("nodes").begin_array();
  for (const GraphNode& node : graph.nodes) {
    w.begin_object().field("name", node.name).field("router", name(node.router));
    if (node.router == Router::kEnsemble) w.field("combine", name(node.combine));
    w.key("steps").begin_array();
    for (const GraphStep& step : node.steps) {
      w.begin_object();
      if (!step.name.empty()) w.field("name", step.name);
      if (!step.endpoint.empty()) w.field("endpoint", step.endpoint);
      if (!step.model.empty()) w.field("model", step.model).field("version", step.version);
      if (!step.node.empty()) w.field("node", step.node);
      if (!step.condition.empty()) w.field("condition", step.condition);
      if (step.response) w.field("response", true);
      if (step.soft) w.field("soft", true);
      if (step.weight != 0) w.field("weight", step.weight);
      if (!step.artifact_root.empty()) w.field("artifact_root", step.artifact_root);
      if (!step.transform_digest.empty()) w.field("transform", step.transform_digest);
      w.end_object();
    }
    w.end_array().end_object();
  }
  w.end_array();
  if (!graph.columns.empty()) {
    w.key("columns").begin_array();
    for (const GraphColumn& column : graph.columns)
      w.begin_object().field("name", column.name).field("text", column.text).end_object();
    w.end_array();
  }
  w.end_object();
  return out;
}

base::Result<Graph> parse_graph(std::string_view json) {
  TRY_SET(const auto value, base::parse_json(json));
  TRY_SET(const auto* object, base::as_object(value, "a graph"));
  Graph out;
  TRY_SET(const auto* nodes, base::required_array(*object, "nodes"));
  for (const auto& entry : *nodes) {
    TRY_SET(const auto* node, base::as_object(entry, "a node"));
    GraphNode one;
    TRY_SET(one.name, base::required_string(*node, "name"));
    TRY_SET(const std::string router, base::required_string(*node, "router"));
    TRY_SET(const auto combine, base::optional_string(*node, "combine"));
    const auto kind = parse_router(router);
    const auto how = parse_combine(combine.value_or("average"));
    if (!kind || !how) return base::invalid("a node of a kind that is not known: '" + router + "'");
    one.router = *kind;
    one.combine = *how;
    TRY_SET(const auto* steps, base::required_array(*node, "steps"));
    for (const auto& step : *steps) {
      TRY_SET(auto parsed, parse_step(step));
      one.steps.push_back(std::move(parsed));
    }
    out.nodes.push_back(std::move(one));
  }
  if (object->if_contains("columns")) {
    TRY_SET(const auto* columns, base::required_array(*object, "columns"));
    for (const auto& entry : *columns) {
      TRY_SET(const auto* column, base::as_object(entry, "a column"));
      GraphColumn one;
      TRY_SET(one.name, base::required_string(*column, "name"));
      TRY_SET(const auto text, base::optional_bool(*column, "text"));
      one.text = text.value_or(false);
      out.columns.push_back(std::move(one));
    }
  }
  TRY(check(out));
  return out;
}

std::string to_json(const GraphRoute& route) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("steps").begin_array();
  for (const GraphRoute::Step& step : route.steps) {
    w.begin_object().field("path", step.path);
    if (!step.endpoint.empty()) w.field("endpoint", step.endpoint).field("revision", step.revision);
    w.field("model", step.model).field("version", step.version);
    if (step.ran) w.field("ran", true);
    w.end_object();
  }
  w.end_array();
  if (!route.splits.empty()) {
    w.key("splits").begin_object();
    for (const auto& [path, step] : route.splits) w.field(path, step);
    w.end_object();
  }
  if (!route.headers.empty()) {
    w.key("headers").begin_object();
    for (const auto& [header, value] : route.headers) w.field(header, value);
    w.end_object();
  }
  w.end_object();
  return out;
}

base::Result<GraphRoute> parse_route(std::string_view json) {
  TRY_SET(const auto value, base::parse_json(json));
  TRY_SET(const auto* object, base::as_object(value, "a route"));
  GraphRoute out;
  TRY_SET(const auto* steps, base::required_array(*object, "steps"));
  for (const auto& entry : *steps) {
    TRY_SET(const auto* step, base::as_object(entry, "a step"));
    GraphRoute::Step one;
    TRY_SET(one.path, base::required_string(*step, "path"));
    TRY_SET(auto endpoint, base::optional_string(*step, "endpoint"));
    one.endpoint = endpoint.value_or("");
    if (!one.endpoint.empty()) {
      TRY_SET(one.revision, base::required_int(*step, "revision"));
    }
    TRY_SET(one.model, base::required_string(*step, "model"));
    TRY_SET(one.version, base::required_int(*step, "version"));
    TRY_SET(const auto ran, base::optional_bool(*step, "ran"));
    one.ran = ran.value_or(false);
    out.steps.push_back(std::move(one));
  }
  if (const auto* splits = object->if_contains("splits"); splits && splits->is_object())
    for (const auto& entry : splits->get_object())
      if (entry.value().is_int64()) out.splits.emplace(entry.key(), entry.value().get_int64());
  if (const auto* headers = object->if_contains("headers"); headers && headers->is_object())
    for (const auto& entry : headers->get_object())
      if (entry.value().is_string()) out.headers.emplace(entry.key(), std::string(entry.value().get_string()));
  return out;
}

}  // namespace serve
