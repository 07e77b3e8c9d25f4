// lathe step gate, lathe step promote: a run asks for its verdict and, if it passed, for the promotion. A verdict that
// does not pass is a recorded outcome, not a failure of the run.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/json.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/command_group.h"

namespace cli {
namespace {

using base::json::object;
using base::json::value;

object verdict_of_run(Api& api) {
  const value answer = api.send_slowly("POST", "/verdicts", "{}");
  return answer.as_object();
}

void gate(const Common& common) {
  Api api(common);
  const object verdict = verdict_of_run(api);
  std::printf("%s\n%s\n", verdict.at("id").as_string().c_str(), verdict.at("reason").as_string().c_str());
}

void promote(const Common& common) {
  Api api(common);
  const char* run = std::getenv("LATHE_PIPELINE_RUN");
  if (run == nullptr)
    throw Failure(kUsage, "'lathe step promote' is run by a pipeline; use 'lathe promote --to ENVIRONMENT' by hand");
  const value found = api.get("/verdicts?run=" + std::string(run));
  const auto& verdicts = found.at("verdicts").as_array();
  if (verdicts.empty()) throw Failure(kRefused, "the run has no verdict yet");
  const object& verdict = verdicts[0].as_object();
  if (!verdict.at("passed").as_bool()) {
    std::printf("%s\n", verdict.at("reason").as_string().c_str());
    return;
  }
  const value promotion = api.send_slowly("POST", "/promotions", "{}");
  const object& p = promotion.as_object();
  const char* what = p.at("kind").as_string() == "canary" ? "begins as a canary" : "serves";
  std::printf("%s/%lld %s at '%s' as revision %lld\n", p.at("model").as_string().c_str(),
              static_cast<long long>(p.at("version").to_number<int64_t>()), what, p.at("endpoint").as_string().c_str(),
              static_cast<long long>(p.at("revision").to_number<int64_t>()));
}

}  // namespace

void add_step_gate_commands(CLI::App& app, Common& common) {
  CLI::App& step = command_group(app, "step", "Lathe's own stages; pipelines run them, and people may");
  step.add_subcommand("gate", "Ask for the verdict on the run's evaluations")->callback([&common] { gate(common); });
  step.add_subcommand("promote", "Promote the run's challenger if its verdict passed")->callback([&common] {
    promote(common);
  });
}

}  // namespace cli
