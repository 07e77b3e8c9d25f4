#include "flow/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace flow {
namespace {

constexpr int64_t kT0 = 1'700'000'000'000'000;

RunState graph(std::vector<std::vector<uint32_t>> upstream) {
  RunState run;
  for (auto& up : upstream) run.stages.push_back({.upstream = std::move(up)});
  return run;
}

using List = std::vector<uint32_t>;

Effects decide_run(RunState& run, uint32_t stage, int64_t now = kT0) {
  return step(run, Decided{.stage = stage, .verdict = Decided::Verdict::kRun, .reason = "why", .reuse = ""}, now);
}
Effects grant(RunState& run, uint32_t stage, std::string attempt, int64_t now = kT0) {
  return step(run, Granted{stage, std::move(attempt)}, now);
}
Effects end(RunState& run, uint32_t stage, std::string attempt, Outcome outcome, int64_t now = kT0) {
  return step(run, AttemptEnded{stage, std::move(attempt), outcome, "detail"}, now);
}

TEST(Scheduler, AChainGoesFromEndToEnd) {
  RunState run = graph({{}, {0}});
  EXPECT_EQ(step(run, Resume{}, kT0).decide, (List{0}));
  EXPECT_EQ(decide_run(run, 0).want, (List{0}));
  EXPECT_EQ(grant(run, 0, "a1").start, (List{0}));
  EXPECT_EQ(run.state, State::kRunning);
  Effects effects = end(run, 0, "a1", Outcome::kSucceeded);
  EXPECT_EQ(effects.decide, (List{1}));
  ASSERT_EQ(effects.retired.size(), 1u);
  decide_run(run, 1);
  grant(run, 1, "a2");
  effects = end(run, 1, "a2", Outcome::kSucceeded);
  EXPECT_TRUE(run.ended());
  EXPECT_TRUE(effects.run_changed);
  EXPECT_EQ(run.state, State::kSucceeded);
}

TEST(Scheduler, EventsOfAnotherAttemptChangeNothing) {
  RunState run = graph({{}});
  run.stages[0].retries = 1;
  step(run, Resume{}, kT0);
  decide_run(run, 0);
  grant(run, 0, "a1");
  end(run, 0, "a1", Outcome::kFailed);
  EXPECT_EQ(run.stages[0].phase, Phase::kBackoff);
  EXPECT_TRUE(end(run, 0, "a1", Outcome::kSucceeded).retired.empty());
  step(run, Tick{}, kT0 + 1'000'000);
  grant(run, 0, "a2", kT0 + 1'000'000);
  EXPECT_TRUE(end(run, 0, "a1", Outcome::kFailed).changed.empty());
  EXPECT_EQ(run.stages[0].phase, Phase::kRunning);
  EXPECT_TRUE(grant(run, 0, "a3").start.empty());
}

TEST(Scheduler, BackoffDoublesAndTriesAreBounded) {
  RunState run = graph({{}, {0}});
  run.stages[0].retries = 3;
  int64_t now = kT0;
  step(run, Resume{}, now);
  decide_run(run, 0);
  for (int attempt = 0; attempt < 4; ++attempt) {
    const std::string id = "a" + std::to_string(attempt);
    EXPECT_EQ(grant(run, 0, id, now).start, (List{0}));
    const Effects effects = end(run, 0, id, Outcome::kFailed, now);
    if (attempt == 3) break;
    EXPECT_EQ(effects.wake_at_us, now + (int64_t{1'000'000} << attempt));
    EXPECT_TRUE(step(run, Tick{}, effects.wake_at_us - 1).want.empty());
    now = effects.wake_at_us;
    EXPECT_EQ(step(run, Tick{}, now).want, (List{0}));
  }
  EXPECT_EQ(run.stages[0].result, State::kFailed);
  EXPECT_EQ(run.stages[0].tries, 4);
  EXPECT_EQ(run.stages[1].result, State::kUpstreamFailed);
  EXPECT_EQ(run.state, State::kFailed);
}

TEST(Scheduler, ALostAttemptDoesNotCountButIsBounded) {
  RunState run = graph({{}});
  step(run, Resume{}, kT0);
  decide_run(run, 0);
  int64_t now = kT0;
  for (int i = 0; i <= kMaxLosses; ++i) {
    ASSERT_EQ(run.stages[0].phase, Phase::kReady) << i;
    grant(run, 0, "a" + std::to_string(i), now);
    const Effects effects = end(run, 0, "a" + std::to_string(i), i == 0 ? Outcome::kNotStarted : Outcome::kLost, now);
    if (effects.wake_at_us) now = effects.wake_at_us;
    step(run, Tick{}, now);
  }
  EXPECT_EQ(run.state, State::kFailed);
  EXPECT_EQ(run.stages[0].tries, 0);
}

TEST(Scheduler, CancelKillsWhatRunsAndTakesNoResult) {
  RunState run = graph({{}, {}, {0}});
  step(run, Resume{}, kT0);
  decide_run(run, 0);
  decide_run(run, 1);
  grant(run, 0, "a1");
  const Effects effects = step(run, CancelRun{}, kT0);
  EXPECT_EQ(effects.kill, (List{0}));
  EXPECT_EQ(run.stages[1].result, State::kCancelled);
  EXPECT_EQ(run.stages[2].result, State::kCancelled);
  EXPECT_FALSE(run.ended());
  EXPECT_TRUE(grant(run, 1, "a9").start.empty());
  EXPECT_TRUE(step(run, CancelRun{}, kT0).kill.empty());
  EXPECT_EQ(step(run, Resume{}, kT0).kill, (List{0}));  // said again after a restart
  end(run, 0, "a1", Outcome::kSucceeded);
  EXPECT_EQ(run.stages[0].result, State::kCancelled);
  EXPECT_EQ(run.state, State::kCancelled);
}

TEST(Scheduler, AnAttemptThatWasKilledForAllTimeCancelsItsRun) {
  RunState run = graph({{}, {}});
  run.stages[0].retries = 5;
  step(run, Resume{}, kT0);
  decide_run(run, 0);
  decide_run(run, 1);
  grant(run, 0, "a1");
  end(run, 0, "a1", Outcome::kKilled);
  EXPECT_EQ(run.state, State::kCancelled);
}

TEST(Scheduler, ATimeoutThatTheExecutorMissedIsEnforced) {
  RunState run = graph({{}});
  run.stages[0].timeout_us = 1000;
  step(run, Resume{}, kT0);
  decide_run(run, 0);
  const Effects granted = grant(run, 0, "a1");
  EXPECT_EQ(granted.wake_at_us, kT0 + 1000 + kTimeoutSlackUs);
  EXPECT_EQ(step(run, Tick{}, granted.wake_at_us).kill, (List{0}));
  end(run, 0, "a1", Outcome::kKilled);
  EXPECT_EQ(run.stages[0].result, State::kFailed);
  EXPECT_EQ(run.stages[0].reason, "it ran longer than its timeout");
}

TEST(Scheduler, ASkipCountsAsSuccessAndMissingInputsFail) {
  RunState run = graph({{}, {0}});
  step(run, Resume{}, kT0);
  const Effects effects = step(run, Decided{0, Decided::Verdict::kSkip, "unchanged", "old"}, kT0);
  EXPECT_EQ(effects.decide, (List{1}));
  EXPECT_EQ(run.stages[0].attempt, "old");
  step(run, Decided{1, Decided::Verdict::kFail, "no such dep", ""}, kT0);
  EXPECT_EQ(run.stages[1].result, State::kFailed);
  EXPECT_EQ(run.state, State::kFailed);
}

TEST(Scheduler, ARunKeepsToItsOwnLimit) {
  RunState run = graph({{}, {}, {}});
  run.max_parallel = 1;
  step(run, Resume{}, kT0);
  EXPECT_EQ(decide_run(run, 0).want, (List{0}));
  decide_run(run, 1);
  decide_run(run, 2);
  grant(run, 0, "a1");
  EXPECT_TRUE(step(run, Tick{}, kT0).want.empty());
  EXPECT_EQ(end(run, 0, "a1", Outcome::kSucceeded).want, (List{1}));
}

TEST(Scheduler, AClockThatIsSetBackDoesNotStretchABackoff) {
  RunState run = graph({{}});
  run.stages[0].retries = 1;
  step(run, Resume{}, kT0);
  decide_run(run, 0);
  grant(run, 0, "a1");
  end(run, 0, "a1", Outcome::kFailed);
  const int64_t back = kT0 - int64_t{86'400'000'000};
  EXPECT_EQ(step(run, Tick{}, back).wake_at_us, back + kMaxRetryDelayUs);
}

TEST(SlotPool, FirstComeFirstServedAlsoForBigStages) {
  SlotPool pool(2);
  pool.want({1, 0, 1});
  pool.want({1, 0, 1});  // once is enough
  pool.want({2, 0, 9});  // more than there is: all of them
  pool.want({3, 0, 1});
  SlotPool::Request request{};
  ASSERT_TRUE(pool.next(request));
  EXPECT_EQ(request.run, 1);
  EXPECT_FALSE(pool.next(request));  // the big one waits, and the small one behind it too
  pool.release(1);
  ASSERT_TRUE(pool.next(request));
  EXPECT_EQ(request.run, 2);
  EXPECT_EQ(pool.used(), 2);
  pool.release(9);
  ASSERT_TRUE(pool.next(request));
  EXPECT_EQ(request.run, 3);
}

}  // namespace
}  // namespace flow
