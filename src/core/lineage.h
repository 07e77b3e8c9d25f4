// Lineage: edges written by the functions that make a relation true; both directions indexed.
// Direction: from the thing that came first to the thing made of it ("data version" → "attempt" → "logged model").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace core {

struct Node {
  std::string kind;  // file, data_version, bundle, pipeline_run, attempt, run, logged_model, model_version, evaluation,
                     // verdict, revision, window, alert
  std::string id;    // public id; model_version: "name/3"; revision: "endpoint/7"; file: "name/path@sha256"
  auto operator<=>(const Node&) const = default;
};

struct Edge {
  Node from;
  Node to;
  std::string role;  // input, output, produced, registered, judged, serves, baseline, watched, caused, code
  int64_t at_us = 0;
};

void add_edge(store::Tx& tx, const Node& from, const Node& to, std::string_view role);  // a repeated edge is a no-op
std::vector<Edge> edges_into(store::Tx& tx, const Node& node);                          // what it came from
std::vector<Edge> edges_out_of(store::Tx& tx, const Node& node);                        // what it touched

// Breadth-first, at most `limit` edges, each once; upstream (towards raw bytes) or downstream.
enum class Direction : uint8_t { kUpstream, kDownstream };
std::vector<Edge> trace(store::Tx& tx, const Node& start, Direction direction, size_t limit = 1000);

}  // namespace core
