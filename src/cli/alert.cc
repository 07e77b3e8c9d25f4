// lathe alert: rules on metrics of an experiment's runs, and what they raised.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>

#include "base/json.h"
#include "cli/api.h"
#include "cli/command.h"
#include "net/http.h"

namespace cli {
namespace {

namespace json = boost::json;

std::string text(const json::value& value) {
  return value.is_string() ? std::string(std::string_view(value.as_string())) : base::to_text(value);
}

std::string time_text(int64_t at_ms) {
  const time_t seconds = at_ms / 1000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%SZ", &parts);
  return buffer;
}

struct NewRule {
  std::string experiment, name, metric, filter;
  std::optional<double> above, below, stalled_minutes;
  bool not_finite = false;
};

void add_rule(Api& api, const NewRule& given) {
  json::object body{{"experiment", given.experiment}, {"metric", given.metric}, {"filter", given.filter}};
  std::string words;
  if (given.above) {
    body["kind"] = "above", body["threshold"] = *given.above;
    words = fmt::format("{} above {}", given.metric, *given.above);
  } else if (given.below) {
    body["kind"] = "below", body["threshold"] = *given.below;
    words = fmt::format("{} below {}", given.metric, *given.below);
  } else if (given.not_finite) {
    body["kind"] = "not_finite";
    words = (given.metric.empty() ? std::string("any metric") : given.metric) + " is no finite number";
  } else if (given.stalled_minutes) {
    body["kind"] = "stalled", body["silent_s"] = *given.stalled_minutes * 60;
    words = fmt::format("{} without a point for {} min", given.metric.empty() ? "a run" : given.metric,
                        *given.stalled_minutes);
  } else {
    throw Failure(kUsage, "say when it fires: --above, --below, --not-finite or --stalled");
  }
  body["name"] = given.name.empty() ? words : given.name;
  const auto made = api.post("/metric-rules", body);
  std::printf("%s  %s\n", text(made.at("id")).c_str(), text(made.at("name")).c_str());
}

std::string condition(const json::object& rule) {
  const std::string kind = text(rule.at("kind")), metric = text(rule.at("metric"));
  const std::string of = metric.empty() ? "any metric" : metric;
  if (kind == "stalled") return of + " silent for " + text(rule.at("silent_s")) + " s";
  if (kind == "not_finite") return of + " no finite number";
  return of + " " + kind + " " + text(rule.at("threshold"));
}

void list_rules(Api& api, const std::string& experiment) {
  const auto answer = api.get("/metric-rules?experiment=" + net::percent_encode(experiment));
  const auto& rules = answer.at("rules").as_array();
  if (rules.empty()) std::printf("no rules; lathe alert add makes one\n");
  for (const auto& rule : rules) {
    const auto& one = rule.as_object();
    const std::string filter = text(one.at("filter"));
    std::printf("%s  experiment %-6s %-30s %s%s\n", text(one.at("id")).c_str(), text(one.at("experiment")).c_str(),
                text(one.at("name")).c_str(), condition(one).c_str(),
                filter.empty() ? "" : ("  where " + filter).c_str());
  }
}

void list_raised(Api& api, const std::string& experiment, const std::string& run, int limit) {
  const auto answer = api.get(fmt::format("/metric-alerts?experiment={}&run={}&limit={}",
                                          net::percent_encode(experiment), net::percent_encode(run), limit));
  const auto& alerts = answer.at("alerts").as_array();
  if (alerts.empty()) std::printf("nothing was raised\n");
  for (const auto& alert : alerts) {
    const auto& one = alert.as_object();
    std::printf("%s  %-30s run %s (%s)  %s\n", time_text(one.at("at_ms").as_int64()).c_str(),
                text(one.at("name")).c_str(), text(one.at("run")).c_str(), text(one.at("run_name")).c_str(),
                base::to_text(one.at("numbers")).c_str());
  }
}

}  // namespace

void add_alert_commands(CLI::App& app, Common& common) {
  auto* alert = app.add_subcommand("alert", "Rules on metrics of runs, and what they raised");
  alert->require_subcommand(1);

  auto rule = std::make_shared<NewRule>();
  auto* add = alert->add_subcommand("add", "Add a rule; it fires once for a run");
  add->add_option("--experiment", rule->experiment, "the experiment's id")->required();
  add->add_option("--metric", rule->metric, "the metric; none: any, for --not-finite and --stalled");
  add->add_option("--name", rule->name, "what the rule is called; default: its words");
  add->add_option("--where", rule->filter, "only runs that match, as in a search: \"tags.stage = 'prod'\"");
  auto* above = add->add_option("--above", rule->above, "fires when a value is greater");
  auto* below = add->add_option("--below", rule->below, "fires when a value is less")->excludes(above);
  auto* not_finite =
      add->add_flag("--not-finite", rule->not_finite, "fires at NaN or an infinity")->excludes(above)->excludes(below);
  add->add_option("--stalled", rule->stalled_minutes, "fires when a RUNNING run logs no point for so many minutes")
      ->excludes(above)
      ->excludes(below)
      ->excludes(not_finite);
  add->callback([&common, rule] {
    Api api(common);
    add_rule(api, *rule);
  });

  auto experiment = std::make_shared<std::string>();
  auto* list = alert->add_subcommand("list", "The rules");
  list->add_option("--experiment", *experiment, "only of this experiment");
  list->callback([&common, experiment] {
    Api api(common);
    list_rules(api, *experiment);
  });

  auto id = std::make_shared<std::string>();
  auto* remove = alert->add_subcommand("rm", "Remove a rule and what it raised");
  remove->add_option("id", *id, "a rule's id (mr_…)")->required();
  remove->callback([&common, id] {
    Api api(common);
    net::ClientRequest request;
    request.method = "DELETE";
    api.call(std::move(request), "/metric-rules/" + net::percent_encode(*id));
  });

  auto of = std::make_shared<std::string>();
  auto run = std::make_shared<std::string>();
  auto limit = std::make_shared<int>(100);
  auto* raised = alert->add_subcommand("raised", "What was raised, newest first");
  raised->add_option("--experiment", *of, "only of this experiment");
  raised->add_option("--run", *run, "only of this run");
  raised->add_option("--limit", *limit, "how many")->check(CLI::Range(1, 1000));
  raised->callback([&common, of, run, limit] {
    Api api(common);
    list_raised(api, *of, *run, *limit);
  });
}

}  // namespace cli
