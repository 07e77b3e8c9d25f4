// Inference graphs: what an endpoint does that is made of other endpoints and model versions. KServe's InferenceGraph
// is the model: named nodes, of which `root` is where a request begins, each one of
//
//   sequence  its steps one after the other, until a step's condition does not hold: then the answer so far stands
//   switch    the first step whose condition holds
//   ensemble  all steps, their answers combined
//   splitter  one step, by weight
//
// Conditions (condition.h) are asked for each row, so that an answer never depends on what else was in the request.
// Plain values here; what runs is graph_model.h. Thread: safe anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

inline constexpr size_t kMaxGraphNodes = 32;
inline constexpr size_t kMaxGraphSteps = 16;  // of one node
inline constexpr size_t kMaxGraphDepth = 8;   // nodes within each other
inline constexpr size_t kMaxGraphWays = 64;   // steps, each way to them counted
inline constexpr size_t kMaxGraphColumns = 64;
inline constexpr std::string_view kGraphRoot = "root";

struct GraphStep {
  std::string name;      // unique in its node; "": its target's
  std::string endpoint;  // the target, one of three: an endpoint's live revision, or those that its traffic goes to …
  std::string model;     // … this version of a registered model …
  int64_t version = 0;
  std::string node;                             // … another node
  std::string condition;                        // "": always
  bool response = false;                        // is given the answer before, not the request
  bool soft = false;                            // may fail: then the step counts as not there
  double weight = 0;                            // splitter: percent; ensemble: any, 0 stands for 1
  std::string artifact_root, transform_digest;  // of `model`, once resolved
  bool operator==(const GraphStep&) const = default;

  const std::string& label() const {
    return !name.empty() ? name : !endpoint.empty() ? endpoint : !model.empty() ? model : node;
  }
};

enum class Router : uint8_t { kSequence, kSwitch, kEnsemble, kSplitter };
enum class Combine : uint8_t { kAverage, kVote, kMerge };
std::string_view name(Router router);
std::string_view name(Combine combine);
std::optional<Router> parse_router(std::string_view word);
std::optional<Combine> parse_combine(std::string_view word);

struct GraphNode {
  std::string name;
  Router router = Router::kSequence;
  Combine combine = Combine::kAverage;
  std::vector<GraphStep> steps;
  bool operator==(const GraphNode&) const = default;
};

struct GraphColumn {  // of the request: what conditions read and no model takes
  std::string name;
  bool text = false;
  bool operator==(const GraphColumn&) const = default;
};

struct Graph {
  std::vector<GraphNode> nodes;
  std::vector<GraphColumn> columns;
  bool operator==(const Graph&) const = default;

  const GraphNode* find(std::string_view node) const;
  auto steps() const { return nodes | std::views::transform(&GraphNode::steps) | std::views::join; }  // of all nodes
};

// What is wrong with a graph as written, and where.
struct GraphProblem {
  std::string node;  // "": the graph itself
  int step = -1;     // -1: the node itself
  std::string what;
};
std::optional<GraphProblem> problem_of(const Graph& graph);
base::Result<void> check(const Graph& graph);

std::string to_json(const Graph& graph);
base::Result<Graph> parse_graph(std::string_view json);

// The way one request took, kept with its record, so that it can be taken again: which revision stood behind every
// step, which of them were asked, and what was decided by something that the record does not hold.
struct GraphRoute {
  struct Step {
    std::string path;  // "root/expert/screen"
    std::string endpoint;
    int64_t revision = 0;  // 0: a model version, no endpoint
    std::string model;
    int64_t version = 0;
    bool ran = false;
  };
  std::vector<Step> steps;
  std::map<std::string, int64_t, std::less<>> splits;       // splitter's path → number of its step
  std::map<std::string, std::string, std::less<>> headers;  // that conditions name
};
std::string to_json(const GraphRoute& route);
base::Result<GraphRoute> parse_route(std::string_view json);

}  // namespace serve
