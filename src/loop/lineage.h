// Lineage as people ask for it: an id, a version or a path → what it came from and what it touched, each node with the
// facts that name it (commit, params, rows, metrics). The edges are core's; the facts are read from the rooms.
// Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/lineage.h"
#include "store/tx.h"

namespace loop {

inline constexpr size_t kMaxLineageEdges = 1000;

struct LineageNode {
  core::Node node;
  std::vector<std::pair<std::string, std::string>> facts;  // in the order to show
};

struct LineageGraph {
  core::Node start;
  std::vector<LineageNode> nodes;  // each once, the start first
  std::vector<core::Edge> edges;
  bool truncated = false;
};

// What a person typed → a node. Kinds of ids of ours are told by their prefix; 'kind:id' says it outright; "name/3" is
// a model version, else a revision; a path is a file of the newest data version that read it. kNotFound says what was
// tried.
base::Result<core::Node> find_node(store::Tx& tx, std::string_view text);

// `extra`: edges that are in no table, such as a prediction's to its revision.
base::Result<LineageGraph> lineage(store::Tx& tx, const core::Node& start, core::Direction direction,
                                   const std::vector<core::Edge>& extra = {});

// Both ways at once, a number of steps each: what a page draws. A node that has more beyond the last step says how many
// edges it has there.
struct Neighbourhood {
  LineageGraph graph;
  std::vector<int> steps;      // by graph.nodes: below 0 upstream, above downstream
  std::vector<size_t> beyond;  // by graph.nodes: edges that are not in the graph
};
inline constexpr int kMaxLineageSteps = 20;
inline constexpr size_t kMaxSiblings = 12;  // of one kind beside one node; the newest are drawn, the others counted
base::Result<Neighbourhood> neighbourhood(store::Tx& tx, const core::Node& start, int up, int down,
                                          const std::vector<core::Edge>& extra = {});

}  // namespace loop
