#include "loop/config_graphs.h"

#include <charconv>

#include "serve/condition.h"

namespace loop {

using base::yaml::Node;

namespace {

class GraphReader {
 public:
  GraphReader(ReadState& state, std::string where) : state_(state), where_(std::move(where)) {}

  GraphConfig read(const std::string& name, const Node& node) {
    GraphConfig out{.name = name};
    if (!is_config_name(name))
      state_.fail(node.line, where_, "an endpoint's name must be " + allowed_text({"", KeyType::kName}));
    KeyReader keys(state_, where_, kGraphKeys, &node, nullptr, {"columns", "nodes"});
    out.environment = keys.text("environment");
    if (const Node* columns = node.find("columns")) read_columns(*columns, out.graph);
    const Node* nodes = node.find("nodes");
    if (nodes == nullptr || !nodes->is_map()) {
      state_.fail(nodes == nullptr ? node.line : nodes->line, where_ + ".nodes",
                  "must be a mapping from a node's name to its router and steps; 'root' is where a request begins");
      return out;
    }
    for (const auto& entry : nodes->entries) read_node(entry.key, entry.value, out.graph);
    if (state_.error) return out;
    if (const auto problem = serve::problem_of(out.graph))
      state_.fail(line_of(*nodes, *problem), key_of(*problem), problem->what);
    return out;
  }

 private:
  void read_columns(const Node& columns, serve::Graph& graph) {
    if (!columns.is_map()) {
      state_.fail(columns.line, where_ + ".columns", "must be a mapping from a column's name to text or number");
      return;
    }
    for (const auto& entry : columns.entries) {
      const bool text = entry.value.scalar == "text";
      if (!entry.value.is_scalar() || (!text && entry.value.scalar != "number"))
        state_.fail(entry.value.line, where_ + ".columns." + entry.key,
                    "found " + entry.value.describe() + "; allowed: text, number");
      graph.columns.push_back({entry.key, text});
    }
  }

  void read_node(const std::string& name, const Node& node, serve::Graph& graph) {
    const std::string where = where_ + "." + name;
    KeyReader keys(state_, where, kGraphNodeKeys, &node, nullptr, {"steps"});
    if (state_.error) return;
    serve::GraphNode out{.name = name};
    out.router = serve::parse_router(keys.text("router")).value_or(serve::Router::kSequence);
    if (keys.has("combine") && out.router != serve::Router::kEnsemble)
      state_.fail(keys.line("combine"), where + ".combine", "only an ensemble combines answers");
    if (out.router == serve::Router::kEnsemble)
      out.combine = serve::parse_combine(keys.text("combine")).value_or(serve::Combine::kAverage);
    const Node* steps = node.find("steps");
    if (steps == nullptr || !steps->is_sequence()) {
      state_.fail(steps == nullptr ? node.line : steps->line, where + ".steps", "must be a list of steps");
      return;
    }
    for (size_t i = 0; i < steps->items.size(); ++i)
      out.steps.push_back(read_step(steps->items[i], where + ".steps[" + std::to_string(i + 1) + "]"));
    graph.nodes.push_back(std::move(out));
  }

  serve::GraphStep read_step(const Node& node, const std::string& where) {
    KeyReader keys(state_, where, kGraphStepKeys, &node);
    serve::GraphStep out;
    if (state_.error) return out;
    out.name = keys.text("name");
    out.endpoint = keys.text("endpoint");
    out.node = keys.text("node");
    if (keys.has("model")) read_model(keys.text("model"), keys.line("model"), where, out);
    out.condition = keys.text("condition");
    if (!out.condition.empty()) {
      if (const auto condition = serve::Condition::parse(out.condition); !condition)
        state_.fail(keys.line("condition"), where + ".condition", condition.error().message);
    }
    out.response = keys.text("data") == "$response";
    out.soft = keys.text("dependency") == "soft";
    out.weight = keys.optional_number("weight").value_or(0);
    return out;
  }

  void read_model(std::string_view text, int line, const std::string& where, serve::GraphStep& out) {
    constexpr std::string_view kScheme = "models:/";
    std::string_view rest = text;
    if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
    const size_t slash = rest.rfind('/');
    if (slash != std::string_view::npos) {
      const auto digits = rest.substr(slash + 1);
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.version);
      out.model = rest.substr(0, slash);
      if (error == std::errc() && end == digits.data() + digits.size() && out.version > 0 && !out.model.empty()) return;
    }
    state_.fail(line, where + ".model",
                "found '" + std::string(text) + "'; allowed: a version of a registered model, as in models:/NAME/3");
  }

  int line_of(const Node& nodes, const serve::GraphProblem& problem) const {
    const Node* node = problem.node.empty() ? nullptr : nodes.find(problem.node);
    if (node == nullptr) return nodes.line;
    const Node* steps = node->find("steps");
    const auto step = static_cast<size_t>(problem.step);
    return problem.step >= 0 && steps != nullptr && step < steps->items.size() ? steps->items[step].line : node->line;
  }

  std::string key_of(const serve::GraphProblem& problem) const {
    std::string out = where_;
    if (!problem.node.empty()) out += "." + problem.node;
    if (problem.step >= 0) out += ".steps[" + std::to_string(problem.step + 1) + "]";
    return out;
  }

  ReadState& state_;
  const std::string where_;
};

}  // namespace

std::vector<GraphConfig> read_graphs(ReadState& state, const Node& section) {
  std::vector<GraphConfig> out;
  if (!section.is_map() || section.entries.size() > kMaxGraphs) {
    state.fail(section.line, "graphs",
               "must be a mapping from an endpoint's name to its graph, at most " + std::to_string(kMaxGraphs));
    return out;
  }
  for (const auto& entry : section.entries)
    out.push_back(GraphReader(state, "graphs." + entry.key).read(entry.key, entry.value));
  return out;
}

}  // namespace loop
