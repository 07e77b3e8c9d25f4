#include "loop/lineage.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <ranges>
#include <set>

#include "base/clock.h"
#include "base/ids.h"
#include "base/json_writer.h"
#include "data/data.h"
#include "flow/flow.h"
#include "loop/bundle.h"
#include "loop/evaluation.h"
#include "loop/verdict.h"
#include "serve/endpoint.h"
#include "track/registry.h"
#include "track/runs.h"
#include "watch/watch.h"

namespace loop {

namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

constexpr std::array<std::string_view, 14> kKinds = {
    "file",          "data_version", "bundle",  "pipeline_run", "attempt", "run",   "logged_model",
    "model_version", "evaluation",   "verdict", "revision",     "window",  "alert", "prediction"};
constexpr size_t kMaxFilesSearched = 10'000;
constexpr size_t kMaxParamsShown = 20;

bool is_hex(std::string_view text, size_t size) {
  return text.size() == size &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string_view kind_of_prefix(std::string_view prefix) {
  if (prefix == "pr") return "prediction";
  if (prefix == "at") return "attempt";
  if (prefix == "pl") return "pipeline_run";
  if (prefix == "ev") return "evaluation";
  if (prefix == "vd") return "verdict";
  if (prefix == "al") return "alert";
  return "";
}

// "name/3" → name and 3.
bool split_numbered(std::string_view text, std::string& name, int64_t& number) {
  const size_t slash = text.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return false;
  const auto digits = text.substr(slash + 1);
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (ec != std::errc() || end != digits.data() + digits.size() || number <= 0) return false;
  name = text.substr(0, slash);
  return true;
}

// Files are nodes "<data set>/<path>@<sha256>"; a person says the path, or with its data set, or with (the head of) the
// digest. The newest one answers.
base::Result<core::Node> find_file(store::Tx& tx, std::string_view text) {
  const size_t at = text.rfind('@');
  const auto path = text.substr(0, at);
  const auto digest = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  auto rows = tx.query(
      "SELECT from_id, MAX(at_us) FROM edges WHERE project = ? AND from_kind = 'file' GROUP BY from_id ORDER BY "
      "MAX(at_us) DESC LIMIT ?",
      tx.project(), static_cast<int64_t>(kMaxFilesSearched));
  while (rows.next()) {
    const std::string id = rows.str(0);
    const std::string_view whole = std::string_view(id).substr(0, id.rfind('@'));
    const auto own = whole.substr(whole.find('/') + 1);
    if ((path == whole || path == own) && std::string_view(id).substr(whole.size() + 1).starts_with(digest))
      return core::Node{"file", id};
  }
  return base::not_found("'" + std::string(text) +
                         "' is no id, model version, revision or raw file that is known here");
}

std::string short_text(std::string_view text, size_t most) {
  return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "…";
}

void add(Facts& facts, std::string name, std::string value) {
  if (!value.empty()) facts.emplace_back(std::move(name), std::move(value));
}

std::string number(double v) {
  std::string out;
  base::append_double(out, v);
  return out;
}

void data_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto version = data::get_version(tx, id);
  if (!version) return;
  add(facts, "data", version->name + " version " + std::to_string(version->number));
  std::string rows;
  for (const auto& [part, count] : version->rows)
    rows += (rows.empty() ? "" : ", ") + part + " " + std::to_string(count);
  add(facts, "rows", rows);
}

void bundle_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto bundle = get_bundle(tx, id);
  if (!bundle) return;
  add(facts, "commit",
      bundle->commit.empty() ? "none (not under git)"
                             : bundle->commit + (bundle->dirty ? " with changes that are not committed" : ""));
  add(facts, "files", std::to_string(bundle->files));
}

void pipeline_run_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto run = flow::get_run(tx, id);
  if (!run) return;
  add(facts, "pipeline", run->pipeline + " run " + std::to_string(run->number));
  add(facts, "cause", run->cause);
  add(facts, "state", std::string(flow::name(run->state)));
}

void attempt_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  for (const auto& edge : core::edges_into(tx, {"attempt", id})) {
    if (edge.from.kind != "pipeline_run") continue;
    for (const auto& stage : flow::list_stages(tx, edge.from.id)) {
      if (stage.attempt == id) add(facts, "stage", stage.name);
    }
  }
}

void run_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto run = track::get_run(tx, id);
  if (!run) return;
  add(facts, "name", run->info.name);
  std::string params;
  for (size_t i = 0; i < run->params.size() && i < kMaxParamsShown; ++i)
    params += (i == 0 ? "" : ", ") + run->params[i].key + "=" + short_text(run->params[i].value, 60);
  add(facts, "params", params);
}

void logged_model_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto model = track::get_logged_model(tx, id);
  if (model) add(facts, "name", model->name);
}

void model_version_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  std::string name;
  int64_t version = 0;
  if (!split_numbered(id, name, version)) return;
  const auto found = track::get_model_version(tx, name, version);
  if (!found) return;
  std::string aliases;
  for (const auto& alias : found->aliases) aliases += (aliases.empty() ? "" : ", ") + alias;
  add(facts, "aliases", aliases);
}

void evaluation_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto e = get_evaluation(tx, id);
  if (!e) return;
  add(facts, "as", e->side);
  add(facts, e->metric,
      number(e->value) + " (" + number(e->low) + " to " + number(e->high) + ") on " + std::to_string(e->rows) +
          " rows of " + e->part);
}

void verdict_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto verdict = get_verdict(tx, id);
  if (verdict) add(facts, "verdict", verdict->reason);
}

void revision_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  std::string endpoint;
  int64_t revision = 0;
  if (!split_numbered(id, endpoint, revision)) return;
  const auto found = serve::get_revision(tx, endpoint, revision);
  if (found) add(facts, "serves", found->model_name + "/" + std::to_string(found->model_version));
  const auto live = serve::get_endpoint(tx, endpoint);
  if (live && live->live_revision == revision) add(facts, "state", "live");
}

void alert_facts(store::Tx& tx, const std::string& id, Facts& facts) {
  const auto alert = watch::get_alert(tx, id);
  if (!alert) return;
  add(facts, "kind", alert->kind);
  add(facts, "raised", base::format_iso8601(alert->raised_us));
}

Facts facts_of(store::Tx& tx, const core::Node& node) {
  Facts facts;
  if (node.kind == "data_version") data_facts(tx, node.id, facts);
  if (node.kind == "bundle") bundle_facts(tx, node.id, facts);
  if (node.kind == "pipeline_run") pipeline_run_facts(tx, node.id, facts);
  if (node.kind == "attempt") attempt_facts(tx, node.id, facts);
  if (node.kind == "run") run_facts(tx, node.id, facts);
  if (node.kind == "logged_model") logged_model_facts(tx, node.id, facts);
  if (node.kind == "model_version") model_version_facts(tx, node.id, facts);
  if (node.kind == "evaluation") evaluation_facts(tx, node.id, facts);
  if (node.kind == "verdict") verdict_facts(tx, node.id, facts);
  if (node.kind == "revision") revision_facts(tx, node.id, facts);
  if (node.kind == "alert") alert_facts(tx, node.id, facts);
  return facts;
}

bool has_edges(store::Tx& tx, const core::Node& node) {
  return !core::edges_into(tx, node).empty() || !core::edges_out_of(tx, node).empty();
}

}  // namespace

base::Result<core::Node> find_node(store::Tx& tx, std::string_view text) {
  if (text.empty()) return base::invalid("an id is missing");
  for (std::string_view kind : kKinds) {
    if (text.size() > kind.size() + 1 && text.starts_with(kind) && text[kind.size()] == ':')
      return core::Node{std::string(kind), std::string(text.substr(kind.size() + 1))};
  }
  if (const auto kind = kind_of_prefix(base::id_kind(text)); !kind.empty())
    return core::Node{std::string(kind), std::string(text)};
  if (text.starts_with("m-") && is_hex(text.substr(2), 32)) return core::Node{"logged_model", std::string(text)};
  if (is_hex(text, 32)) return core::Node{"run", std::string(text)};
  if (is_hex(text, 64)) {
    const bool bundle = get_bundle(tx, text).has_value();
    return core::Node{bundle ? "bundle" : "data_version", std::string(text)};
  }
  std::string name;
  int64_t numbered = 0;
  if (split_numbered(text, name, numbered)) {
    if (track::get_model_version(tx, name, numbered)) return core::Node{"model_version", std::string(text)};
    if (serve::get_revision(tx, name, numbered)) return core::Node{"revision", std::string(text)};
  }
  return find_file(tx, text);
}

base::Result<LineageGraph> lineage(store::Tx& tx, const core::Node& start, core::Direction direction,
                                   const std::vector<core::Edge>& extra) {
  LineageGraph out{.start = start};
  const bool up = direction == core::Direction::kUpstream;
  std::set<core::Edge, decltype([](const core::Edge& a, const core::Edge& b) {
             return std::tie(a.from, a.to, a.role) < std::tie(b.from, b.to, b.role);
           })>
      seen_edges;
  std::set<core::Node> seen{start};
  out.nodes.push_back({start, {}});
  const auto take = [&](const core::Edge& edge) {
    if (!seen_edges.insert(edge).second) return;
    out.edges.push_back(edge);
    const auto& next = up ? edge.from : edge.to;
    if (seen.insert(next).second) out.nodes.push_back({next, {}});
  };
  for (const auto& edge : extra) take(edge);
  const size_t roots = out.nodes.size();
  for (size_t i = 0; i < roots; ++i) {
    for (const auto& edge : core::trace(tx, out.nodes[i].node, direction, kMaxLineageEdges)) take(edge);
  }
  out.truncated = out.edges.size() >= kMaxLineageEdges;
  for (auto& node : out.nodes) node.facts = facts_of(tx, node.node);
  const bool known = !out.nodes[0].facts.empty() || !out.edges.empty() || has_edges(tx, start);
  if (!known) return base::not_found("there is no " + start.kind + " '" + start.id + "'");
  return out;
}

namespace {

// Grows the graph from the nodes at `from` steps, one step at a time, to `to`.
class Grower {
 public:
  Grower(store::Tx& tx, Neighbourhood& out, const std::vector<core::Edge>& extra) : tx_(tx), out_(out), extra_(extra) {}

  void grow(bool up, int most) {
    std::vector<size_t> edge{0};
    for (int step = 1; step <= most && !edge.empty(); ++step) {
      std::vector<size_t> next;
      for (const size_t i : edge) {
        const core::Node node = out_.graph.nodes[i].node;
        std::map<std::string, size_t, std::less<>> siblings;
        for (const auto& found : edges_of(node, up) | std::views::reverse) {  // newest first
          const core::Node& other = up ? found.from : found.to;
          if (!seen_.contains(other) && ++siblings[other.kind] > kMaxSiblings) continue;
          if (!take(found)) return;
          if (const auto at = add(other, up ? -step : step)) next.push_back(*at);
        }
      }
      edge = std::move(next);
    }
  }

  // Edges between nodes that are both there, and counts of those that lead out.
  void finish() {
    out_.beyond.assign(out_.graph.nodes.size(), 0);
    for (size_t i = 0; i < out_.graph.nodes.size(); ++i) {
      const core::Node node = out_.graph.nodes[i].node;
      for (const bool up : {true, false}) {
        for (const auto& found : edges_of(node, up)) {
          if (!seen_.contains(up ? found.from : found.to))
            ++out_.beyond[i];
          else
            take(found);
        }
      }
    }
  }

  std::optional<size_t> add(const core::Node& node, int step) {
    if (!seen_.insert(node).second) return std::nullopt;
    out_.graph.nodes.push_back({node, {}});
    out_.steps.push_back(step);
    return out_.graph.nodes.size() - 1;
  }

 private:
  std::vector<core::Edge> edges_of(const core::Node& node, bool up) {
    auto edges = up ? core::edges_into(tx_, node) : core::edges_out_of(tx_, node);
    for (const auto& edge : extra_)
      if ((up ? edge.to : edge.from) == node) edges.push_back(edge);
    return edges;
  }
  bool take(const core::Edge& edge) {
    if (edges_.contains({edge.from, edge.to})) return true;
    if (out_.graph.edges.size() >= kMaxLineageEdges) return out_.graph.truncated = true, false;
    edges_.insert({edge.from, edge.to});
    out_.graph.edges.push_back(edge);
    return true;
  }

  store::Tx& tx_;
  Neighbourhood& out_;
  const std::vector<core::Edge>& extra_;
  std::set<core::Node> seen_;
  std::set<std::pair<core::Node, core::Node>> edges_;
};

}  // namespace

base::Result<Neighbourhood> neighbourhood(store::Tx& tx, const core::Node& start, int up, int down,
                                          const std::vector<core::Edge>& extra) {
  Neighbourhood out{.graph = {.start = start}};
  Grower grower(tx, out, extra);
  grower.add(start, 0);
  grower.grow(true, up);
  grower.grow(false, down);
  grower.finish();
  for (auto& node : out.graph.nodes) node.facts = facts_of(tx, node.node);
  TRY(tx.status());
  if (out.graph.nodes[0].facts.empty() && out.graph.edges.empty() && out.beyond[0] == 0)
    return base::not_found("there is no " + start.kind + " '" + start.id + "'");
  return out;
}

}  // namespace loop
