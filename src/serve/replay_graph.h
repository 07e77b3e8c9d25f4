// Replay of a graph's requests: the child gets every model that answered one of them, and takes each request's own way
// through the graph once more. Used by replay.cc and the child of the same binary. Thread: as in replay.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/capture.h"
#include "serve/graph.h"
#include "serve/model.h"
#include "serve/runtime.h"

namespace serve {

inline constexpr size_t kMaxReplayModels = 64;  // of one replay of a graph

// The parent's side: what the child has to know, as JSON, and the files that it reads, held.
struct GraphReplayPlan {
  std::string text;
  std::vector<Runtime::Files> held;
};
// A request that another revision of the graph answered takes the ways of `target`, with what serves now behind its
// steps: its route is changed so.
base::Result<GraphReplayPlan> plan_graph_replay(Runtime& runtime, int64_t project, const Revision& target,
                                                std::vector<CapturedRequest>& requests);

// The child's side.
class GraphReplayer {
 public:
  static base::Result<GraphReplayer> load(std::string_view plan);
  // The graph with the models that the request's route names.
  base::Result<const Predictor*> predictor_for(const GraphRoute& route);

 private:
  struct Model {
    std::string endpoint;  // "": a model version
    int64_t revision = 0;
    std::string name;
    int64_t version = 0;
    LivePtr live;
  };
  base::Result<LivePtr> find(const GraphStep& step, const GraphRoute& route) const;

  Graph graph_;
  std::vector<Model> models_;
  std::string bound_to_;  // the route's steps that `bound_` was made for
  std::unique_ptr<Predictor> bound_;
};

}  // namespace serve
