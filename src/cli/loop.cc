// lathe promote, rollback, lineage, evaluations, verdicts.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/command.h"
#include "net/http.h"

namespace cli {
namespace {

using base::json::array;
using base::json::object;
using base::json::value;

// --- promote, rollback ----------------------------------------------------------------------------------------------

// The only project there is, where none is named.
std::string only_project(Api& api) {
  const value config = api.get("/config");
  const auto& projects = config.at("projects").as_array();
  if (projects.size() == 1) return std::string(projects[0].at("pipeline").as_string());
  std::string names;
  for (const auto& p : projects) names += (names.empty() ? "" : ", ") + std::string(p.at("pipeline").as_string());
  throw Failure(kUsage, projects.empty() ? "no project is applied yet; run 'lathe apply' first"
                                         : "which project? One of: " + names);
}

void print_promotion(const object& p, const char* verb) {
  std::printf("%s: %s/%lld serves at '%s' as revision %lld (before: %lld)\n", verb, text_of(p, "model").c_str(),
              static_cast<long long>(p.at("version").to_number<int64_t>()), text_of(p, "endpoint").c_str(),
              static_cast<long long>(p.at("revision").to_number<int64_t>()),
              static_cast<long long>(p.at("previous").to_number<int64_t>()));
}

struct PromoteOptions {
  std::string project, to, verdict;
  double traffic = -1;  // percent; below 0: what lathe.yaml says
};
void promote(const Common& common, const PromoteOptions& options) {
  Api api(common);
  std::string body;
  base::JsonWriter w(body);
  w.begin_object();
  if (!options.verdict.empty()) {
    w.field("verdict", options.verdict);
  } else if (options.to.empty()) {
    throw Failure(kUsage, "say where to: --to ENVIRONMENT (or which verdict: --verdict vd_…)");
  } else {
    w.field("pipeline", options.project.empty() ? only_project(api) : options.project);
  }
  if (!options.to.empty()) w.field("environment", options.to);
  if (options.traffic >= 0) w.field("traffic", options.traffic);
  w.end_object();
  const value done = api.send_slowly("POST", "/promotions", std::move(body));
  const object& p = done.as_object();
  if (text_of(p, "kind") != "canary") return print_promotion(p, "promoted");
  std::printf(
      "canary: %s/%lld has a share of '%s' as revision %lld, beside revision %lld; lathe traffic %s shows both\n",
      text_of(p, "model").c_str(), static_cast<long long>(p.at("version").to_number<int64_t>()),
      text_of(p, "endpoint").c_str(), static_cast<long long>(p.at("revision").to_number<int64_t>()),
      static_cast<long long>(p.at("previous").to_number<int64_t>()), text_of(p, "endpoint").c_str());
}

void rollback(const Common& common, const std::string& endpoint) {
  Api api(common);
  print_promotion(
      api.send_slowly("POST", "/endpoints/" + net::percent_encode(endpoint) + "/rollback", "{}").as_object(),
      "rolled back");
}

// --- lineage --------------------------------------------------------------------------------------------------------

// What a person follows first; and where a tree stops unless all of it is asked for: what judged and watched a model is
// named, its own origins are another question.
constexpr std::string_view kOrder[] = {"model_version", "logged_model", "run",          "attempt",   "data_version",
                                       "file",          "bundle",       "pipeline_run", "alert",     "window",
                                       "verdict",       "evaluation",   "revision",     "prediction"};
bool ends_a_branch(std::string_view kind) {
  return kind == "verdict" || kind == "evaluation" || kind == "window" || kind == "alert";
}

class Tree {
 public:
  Tree(const object& graph, bool upstream, bool all) : all_(all) {
    for (const auto& node : graph.at("nodes").as_array()) facts_[key(node.as_object())] = node.at("facts").as_object();
    for (const auto& edge : graph.at("edges").as_array()) {
      const auto from = key(edge.at("from").as_object()), to = key(edge.at("to").as_object());
      children_[upstream ? to : from].emplace_back(text_of(edge.as_object(), "role"), upstream ? from : to);
    }
    start_ = key(graph.at("start").as_object());
    const auto rank = [](const auto& child) {
      return std::find(std::begin(kOrder), std::end(kOrder), child.second.first) - std::begin(kOrder);
    };
    for (auto& [node, below] : children_)
      std::sort(below.begin(), below.end(),
                [&](const auto& a, const auto& b) { return rank(a) != rank(b) ? rank(a) < rank(b) : a < b; });
  }
  void print() { print_node(start_, "", "", ""); }

 private:
  using Key = std::pair<std::string, std::string>;  // kind, id
  using Children = std::vector<std::pair<std::string, Key>>;
  static Key key(const object& node) { return {text_of(node, "kind"), text_of(node, "id")}; }

  static std::string shown(const Key& node) {
    std::string kind = node.first;
    for (char& c : kind) c = c == '_' ? ' ' : c;
    return kind + " " + node.second;
  }

  void print_node(const Key& node, const std::string& first, const std::string& rest, const std::string& role) {
    std::string line = first + shown(node);
    if (!role.empty()) line += "  (" + role + ")";
    const bool again = !seen_.insert(node).second;
    if (again) line += "  … shown above";
    std::printf("%s\n", line.c_str());
    if (again) return;
    static const Children kNone;
    const bool cut = !all_ && !first.empty() && ends_a_branch(node.first);
    const auto& below = cut ? kNone : children_[node];
    const std::string gutter = rest + (below.empty() ? "    " : "│   ");
    for (const auto& fact : facts_[node]) {
      const auto& text = fact.value();
      std::printf("%s%s: %s\n", gutter.c_str(), std::string(fact.key()).c_str(),
                  text.is_string() ? text.as_string().c_str() : "");
    }
    for (size_t i = 0; i < below.size(); ++i) {
      const bool last = i + 1 == below.size();
      print_node(below[i].second, rest + (last ? "└── " : "├── "), rest + (last ? "    " : "│   "), below[i].first);
    }
  }

  std::map<Key, object> facts_;
  bool all_;
  std::map<Key, Children> children_;
  std::set<Key> seen_;
  Key start_;
};

void lineage(const Common& common, const std::string& id, bool down, bool all, bool as_json) {
  Api api(common);
  std::string direction = down ? "downstream" : "upstream";
  std::string path = "/lineage/";
  for (const char c : id) path += c == '/' ? std::string("/") : net::percent_encode(std::string_view(&c, 1));
  value graph = api.get(path + "?direction=" + direction);
  // A raw file has nothing before it: what it touched is what is asked for.
  if (!down && text_of(graph.at("start").as_object(), "kind") == "file") {
    direction = "downstream";
    graph = api.get(path + "?direction=" + direction);
  }
  if (as_json) {
    std::printf("%s\n", base::to_text(graph).c_str());
    return;
  }
  Tree(graph.as_object(), direction == "upstream", all).print();
  if (graph.at("truncated").as_bool()) std::printf("… and more: the graph was cut at its limit\n");
}

// --- evaluations, verdicts ------------------------------------------------------------------------------------------

void evaluations(const Common& common, const std::string& run) {
  Api api(common);
  const value answer =
      api.get("/evaluations?limit=200" + (run.empty() ? std::string() : "&run=" + net::percent_encode(run)));
  for (const auto& entry : answer.at("evaluations").as_array()) {
    const object& e = entry.as_object();
    const std::string version = text_of(e, "model_version");
    std::printf("%s  %-10s %-6s %-36s %s %.4f (%.4f to %.4f) on %lld rows\n", text_of(e, "id").c_str(),
                text_of(e, "side").c_str(), text_of(e, "part").c_str(),
                version.empty() ? text_of(e, "model").c_str() : version.c_str(), text_of(e, "metric").c_str(),
                e.at("value").to_number<double>(), e.at("low").to_number<double>(), e.at("high").to_number<double>(),
                static_cast<long long>(e.at("rows").to_number<int64_t>()));
  }
}

void verdicts(const Common& common, const std::string& project) {
  Api api(common);
  const value answer =
      api.get("/verdicts" + (project.empty() ? std::string() : "?pipeline=" + net::percent_encode(project)));
  for (const auto& entry : answer.at("verdicts").as_array()) {
    const object& v = entry.as_object();
    std::printf("%s  %s  %-10s %s\n", text_of(v, "id").c_str(),
                base::format_iso8601(v.at("at_us").to_number<int64_t>()).c_str(), text_of(v, "kind").c_str(),
                text_of(v, "reason").c_str());
  }
}

}  // namespace

void add_loop_commands(CLI::App& app, Common& common) {
  auto* promote_command =
      app.add_subcommand("promote", "Move what one environment verified to another, or promote a verdict");
  auto promoted = std::make_shared<PromoteOptions>();
  promote_command->add_option("project", promoted->project, "project, where there are several");
  promote_command->add_option("--to", promoted->to, "environment, as in lathe.yaml");
  promote_command->add_option("--verdict", promoted->verdict, "a verdict that passed");
  promote_command->add_option("--traffic", promoted->traffic,
                              "only so many percent of the traffic (canary); 100: all of it, whatever lathe.yaml says");
  promote_command->callback([promoted, &common] { promote(common, *promoted); });

  auto* rollback_command = app.add_subcommand("rollback", "Serve an endpoint's previous revision again");
  auto endpoint = std::make_shared<std::string>();
  rollback_command->add_option("endpoint", *endpoint, "endpoint's name")->required();
  rollback_command->callback([endpoint, &common] { rollback(common, *endpoint); });

  auto* lineage_command = app.add_subcommand("lineage", "What something came from, or what it touched");
  auto id = std::make_shared<std::string>();
  auto down = std::make_shared<bool>(false), all = std::make_shared<bool>(false),
       as_json = std::make_shared<bool>(false);
  lineage_command
      ->add_option("id", *id,
                   "prediction, run, model, model version (name/3), revision, data version, verdict, alert, or a raw "
                   "file's path")
      ->required();
  lineage_command->add_flag("--down", *down, "what it touched, instead of what it came from");
  lineage_command->add_flag("--all", *all, "also what verdicts, evaluations and alerts came from");
  lineage_command->add_flag("--json", *as_json, "the graph as JSON");
  lineage_command->callback([id, down, all, as_json, &common] { lineage(common, *id, *down, *all, *as_json); });

  auto* evaluations_command = app.add_subcommand("evaluations", "List evaluations");
  auto run = std::make_shared<std::string>();
  evaluations_command->add_option("run", *run, "a pipeline run's id");
  evaluations_command->callback([run, &common] { evaluations(common, *run); });

  auto* verdicts_command = app.add_subcommand("verdicts", "List the gate's verdicts");
  auto project = std::make_shared<std::string>();
  verdicts_command->add_option("project", *project, "a project's name");
  verdicts_command->callback([project, &common] { verdicts(common, *project); });
}

}  // namespace cli
