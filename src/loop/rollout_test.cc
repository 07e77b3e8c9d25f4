// Rollouts: the pure rule, then a simulator that drives it with thousands of seeded histories.
#include "loop/rollout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace loop {
namespace {

using testing::HasSubstr;

constexpr int64_t kMinute = 60'000'000;

RolloutRule rule_of() {
  return {.steps = {1000, 5000}, .wait_us = 10 * kMinute, .bake_us = 30 * kMinute, .min_requests = 50};
}

TEST(Rollout, AStepEndsWhenItsTimeIsOverAndItSawEnough) {
  const RolloutRule rule = rule_of();
  const RolloutState state{0, 0};
  const RolloutSide good{.requests = 100, .p95 = 0.001};
  auto early = decide(rule, state, good, good, 9 * kMinute);
  EXPECT_EQ(early.act, RolloutAct::kWait);
  EXPECT_EQ(early.look_again_us, 10 * kMinute);
  EXPECT_EQ(decide(rule, state, good, good, 10 * kMinute).act, RolloutAct::kAdvance);
  const auto few = decide(rule, state, {.requests = 49}, good, 60 * kMinute);
  EXPECT_EQ(few.act, RolloutAct::kWait);
  EXPECT_THAT(few.reason, HasSubstr("49 of the 50"));
}

TEST(Rollout, ABakeEndsWithItsTime) {
  const RolloutRule rule = rule_of();
  const RolloutState bake{2, 0};
  EXPECT_EQ(decide(rule, bake, {}, {}, 29 * kMinute).act, RolloutAct::kWait);
  EXPECT_EQ(decide(rule, bake, {}, {}, 30 * kMinute).act, RolloutAct::kFinish);
}

TEST(Rollout, HarmIsActedOnAtOnceAndNamed) {
  const RolloutRule rule = rule_of();
  const RolloutState state{0, 0};
  const RolloutSide good{.requests = 1000, .p95 = 0.002, .labelled = 200, .correct = 190};
  const auto why = [&](const RolloutSide& challenger, const RolloutSide& champion) {
    const auto decision = decide(rule, state, challenger, champion, kMinute);
    return decision.act == RolloutAct::kRevert ? decision.reason : "";
  };
  EXPECT_THAT(why({.requests = 100, .faults = 10}, good), HasSubstr("10.00 % of its 100 requests failed"));
  EXPECT_EQ(why({.requests = 100, .faults = 2}, good), "");  // could be chance
  // The champion fails as often: it is not the challenger's doing.
  EXPECT_EQ(why({.requests = 100, .faults = 10}, {.requests = 1000, .faults = 110}), "");
  EXPECT_THAT(why({.requests = 100, .p95 = 0.02}, good), HasSubstr("95th percentile"));
  EXPECT_THAT(why({.requests = 100, .p95 = 0.0025}, {.requests = 1000, .p95 = 0.0001}), HasSubstr("percentile"));
  EXPECT_EQ(why({.requests = 100, .p95 = 0.0009}, {.requests = 1000, .p95 = 0.0001}), "");  // 0.8 ms: nobody's business
  EXPECT_THAT(why({.requests = 100, .labelled = 100, .correct = 70}, good),
              HasSubstr("accuracy by feedback is 70.0 %"));
  EXPECT_EQ(why({.requests = 100, .labelled = 29, .correct = 5}, good), "");  // too few labels
  EXPECT_EQ(why({.requests = 100, .labelled = 100, .correct = 94}, good), "");
}

// A world where the challenger is as good as the champion, or is not; every look sees what has happened so far.
struct Outcome {
  RolloutAct act = RolloutAct::kWait;
  size_t step = 0;
  int64_t at_us = 0;
};
Outcome simulate(uint32_t seed, double fault_rate, double accuracy) {
  const RolloutRule rule = rule_of();
  std::mt19937 random(seed);
  RolloutState state{0, 0};
  RolloutSide challenger, champion;
  std::uniform_real_distribution<double> uniform;
  for (int64_t now = 0; now < 6 * 60 * kMinute; now += kMinute / 4) {
    const double share = state.step < rule.steps.size() ? rule.steps[state.step] / 10'000.0 : 1;
    for (int i = 0; i < 40; ++i) {
      const bool mine = uniform(random) < share;
      RolloutSide& side = mine ? challenger : champion;
      ++side.requests;
      side.faults += uniform(random) < (mine ? fault_rate : 0.001);
      if (uniform(random) > 0.2) continue;
      ++side.labelled;
      side.correct += uniform(random) < (mine ? accuracy : 0.95);
    }
    const auto decision = decide(rule, state, challenger, champion, now);
    switch (decision.act) {
      case RolloutAct::kWait: EXPECT_TRUE(decision.look_again_us == 0 || decision.look_again_us > now); break;
      case RolloutAct::kAdvance:
        EXPECT_GE(now - state.since_us, rule.wait_us);
        EXPECT_GE(challenger.requests, rule.min_requests);
        state = {state.step + 1, now};
        if (state.phase(rule) == RolloutPhase::kBake) champion = {};  // it answers no more
        challenger = {};
        break;
      default: return {decision.act, state.step, now};
    }
  }
  return {};
}

TEST(RolloutSimulation, TheGoodArriveAndTheBadGoBack) {
  int false_alarms = 0, missed = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const Outcome good = simulate(seed, 0.001, 0.95);
    if (good.act == RolloutAct::kRevert) {
      ++false_alarms;
    } else {
      EXPECT_EQ(good.act, RolloutAct::kFinish);
      EXPECT_EQ(good.step, 2u);
      EXPECT_GE(good.at_us, 50 * kMinute);
    }
    const Outcome failing = simulate(seed, 0.10, 0.95), wrong = simulate(seed, 0.001, 0.75);
    missed += failing.act != RolloutAct::kRevert || failing.step > 0;
    missed += wrong.act != RolloutAct::kRevert;
  }
  EXPECT_LT(false_alarms, 30);  // three ends at one in twenty, less what stays within the bound
  EXPECT_EQ(missed, 0);
}

}  // namespace
}  // namespace loop
