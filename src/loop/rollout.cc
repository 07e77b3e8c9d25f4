#include "loop/rollout.h"

#include <fmt/format.h>

#include <algorithm>

#include "stats/compare.h"

namespace loop {
namespace {

// It is looked at hundreds of times, and chance crosses a level of 5 % in one of them: before a step's end only what is
// beyond doubt counts (Haybittle and Peto's boundary for interim looks).
constexpr double kInterimAlpha = 0.001;

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// Harm that is significant at `alpha`, or "".
std::string harm(const RolloutRule& rule, const RolloutSide& challenger, const RolloutSide& champion, double alpha) {
  const double errors = share(challenger.faults, challenger.requests);
  if (challenger.faults > 0 && errors > rule.max_errors &&
      stats::wilson_interval(challenger.faults, challenger.requests, 1 - alpha).low > rule.max_errors) {
    const auto worse = stats::two_proportions({champion.faults, champion.requests},
                                              {challenger.faults, challenger.requests}, rule.confidence);
    // What the champion fails as well is not the challenger's doing.
    if (champion.requests < rule.min_requests || worse.p_greater <= alpha)
      return fmt::format("{:.2f} % of its {} requests failed; at most {:.2f} % may", 100 * errors, challenger.requests,
                         100 * rule.max_errors);
  }
  const bool enough = challenger.requests >= rule.min_requests && champion.requests >= rule.min_requests;
  if (enough && challenger.p95 && champion.p95 && *challenger.p95 > *champion.p95 * rule.max_slowdown &&
      *challenger.p95 - *champion.p95 > kLeastSlowdownSeconds)
    return fmt::format("its 95th percentile is {:.2f} ms, the champion's {:.2f} ms; at most {:g} times as much may be",
                       1e3 * *challenger.p95, 1e3 * *champion.p95, rule.max_slowdown);
  if (challenger.labelled < kMinJudgedLabels || champion.labelled < kMinJudgedLabels) return "";
  const auto accuracy = stats::two_proportions({champion.correct, champion.labelled},
                                               {challenger.correct, challenger.labelled}, rule.confidence);
  if (accuracy.difference < -rule.max_regression && accuracy.p_less <= alpha)
    return fmt::format(
        "its accuracy by feedback is {:.1f} % of {} labels, the champion's {:.1f} % of {} (p = {:.2g}); a loss of at "
        "most {:.1f} points is allowed",
        100 * share(challenger.correct, challenger.labelled), challenger.labelled,
        100 * share(champion.correct, champion.labelled), champion.labelled, accuracy.p_less,
        100 * rule.max_regression);
  return "";
}

}  // namespace

RolloutDecision decide(const RolloutRule& rule, const RolloutState& state, const RolloutSide& challenger,
                       const RolloutSide& champion, int64_t now_us) {
  const bool bakes = state.phase(rule) == RolloutPhase::kBake;
  const bool over = now_us >= state.since_us + (bakes ? rule.bake_us : rule.wait_us);
  const double alpha = over ? 1 - rule.confidence : std::min(kInterimAlpha, 1 - rule.confidence);
  if (std::string why = harm(rule, challenger, champion, alpha); !why.empty())
    return {RolloutAct::kRevert, std::move(why)};
  if (state.phase(rule) == RolloutPhase::kBake) {
    const int64_t end_us = state.since_us + rule.bake_us;
    if (now_us < end_us) return {RolloutAct::kWait, "", end_us};
    return {RolloutAct::kFinish,
            fmt::format("{} requests within the bake time, nothing outside the bounds", challenger.requests)};
  }
  const int64_t end_us = state.since_us + rule.wait_us;
  if (now_us < end_us) return {RolloutAct::kWait, "", end_us};
  if (challenger.requests < rule.min_requests)
    return {
        RolloutAct::kWait,
        fmt::format("it has answered {} of the {} requests that a step needs", challenger.requests, rule.min_requests),
        0};
  return {RolloutAct::kAdvance, fmt::format("{} requests, nothing outside the bounds", challenger.requests)};
}

}  // namespace loop
