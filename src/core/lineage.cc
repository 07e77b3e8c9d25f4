#include "core/lineage.h"

#include <deque>
#include <set>

namespace core {
namespace {

std::vector<Edge> read_edges(store::Rows rows) {
  std::vector<Edge> edges;
  while (rows.next()) {
    edges.push_back({{rows.str(0), rows.str(1)}, {rows.str(2), rows.str(3)}, rows.str(4), rows.i64(5)});
  }
  return edges;
}

}  // namespace

void add_edge(store::Tx& tx, const Node& from, const Node& to, std::string_view role) {
  tx.exec(
      "INSERT INTO edges (project, from_kind, from_id, to_kind, to_id, role, at_us) VALUES (?, ?, ?, ?, ?, ?, ?)"
      " ON CONFLICT DO NOTHING",
      tx.project(), from.kind, from.id, to.kind, to.id, role, tx.now_us());
}

std::vector<Edge> edges_into(store::Tx& tx, const Node& node) {
  return read_edges(
      tx.query("SELECT from_kind, from_id, to_kind, to_id, role, at_us FROM edges"
               " WHERE project = ? AND to_kind = ? AND to_id = ? ORDER BY at_us, from_kind, from_id, role",
               tx.project(), node.kind, node.id));
}

std::vector<Edge> edges_out_of(store::Tx& tx, const Node& node) {
  return read_edges(
      tx.query("SELECT from_kind, from_id, to_kind, to_id, role, at_us FROM edges"
               " WHERE project = ? AND from_kind = ? AND from_id = ? ORDER BY at_us, to_kind, to_id, role",
               tx.project(), node.kind, node.id));
}

std::vector<Edge> trace(store::Tx& tx, const Node& start, Direction direction, size_t limit) {
  std::vector<Edge> found;
  std::set<Node> seen{start};
  std::deque<Node> waiting{start};
  while (!waiting.empty() && found.size() < limit) {
    const Node node = std::move(waiting.front());
    waiting.pop_front();
    // Each node is expanded once, so each edge comes up once.
    for (Edge& edge : direction == Direction::kUpstream ? edges_into(tx, node) : edges_out_of(tx, node)) {
      if (found.size() == limit) break;
      const Node& next = direction == Direction::kUpstream ? edge.from : edge.to;
      if (seen.insert(next).second) waiting.push_back(next);
      found.push_back(std::move(edge));
    }
  }
  return found;
}

}  // namespace core
