// Rules on metrics: what crosses, what is silent, once for a run; both engines.
#include "track/metric_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "blob/migrations.h"
#include "core/migrations.h"
#include "store/testing.h"
#include "track/experiments.h"
#include "track/migrations.h"
#include "track/runs.h"

namespace track {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class MetricRulesTest : public store::testing::EngineTest {
 protected:
  MetricRulesTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  MetricRule rule(MetricRule given) {
    return ok([&](store::Tx& tx) { return create_metric_rule(tx, "0", given); });
  }
  base::Error refused(MetricRule given) {
    const auto made = write([&](store::Tx& tx) { return create_metric_rule(tx, "0", given); });
    EXPECT_FALSE(made);
    return made ? base::Error{} : made.error();
  }
  std::string run(const std::string& name = "r", int64_t start_ms = 1000) {
    return ok([&](store::Tx& tx) { return create_run(tx, {.experiment_id = "0", .name = name, .start_ms = start_ms}); })
        .info.run_id;
  }
  void log(const std::string& id, const std::string& key, double value, int64_t step, int64_t at_ms = 2000) {
    const auto done = write([&](store::Tx& tx) {
      return log_batch(tx, {.run_id = id, .metrics = {{.key = key, .value = value, .at_ms = at_ms, .step = step}}});
    });
    EXPECT_TRUE(done) << done.error().message;
  }
  std::vector<Crossing> crossed(const std::string& id) {
    return ok([&](store::Tx& tx) { return crossings(tx, id, list_metric_rules(tx, std::nullopt)); });
  }
  int64_t raise(const std::string& id) {
    const auto found = crossed(id);
    return ok([&](store::Tx& tx) { return raise_alerts(tx, id, found); });
  }
  std::vector<MetricAlert> alerts(const AlertQuery& query = {}) {
    return ok([&](store::Tx& tx) -> base::Result<std::vector<MetricAlert>> { return list_metric_alerts(tx, query); });
  }
};

TEST_P(MetricRulesTest, WhatARuleNeedsIsAsked) {
  const MetricRule good{.name = "high", .kind = RuleKind::kAbove, .metric = "loss", .threshold = 1};
  rule(good);
  EXPECT_EQ(refused(good).code, Code::kAlreadyExists);
  for (const auto& wrong : {MetricRule{.name = "", .metric = "loss"}, MetricRule{.name = "a", .metric = ""},
                            MetricRule{.name = "b", .metric = "loss", .threshold = std::nan("")},
                            MetricRule{.name = "c", .kind = RuleKind::kStalled, .silent_ms = 0},
                            MetricRule{.name = "d", .kind = RuleKind::kStalled, .silent_ms = kMaxSilentMs + 1},
                            MetricRule{.name = "e", .metric = "loss", .filter = "metrics.a >"},
                            MetricRule{.name = std::string(kRuleNameChars + 1, 'x'), .metric = "loss"}})
    EXPECT_EQ(refused(wrong).code, Code::kInvalid) << wrong.name;
  const auto missing = write([&](store::Tx& tx) { return create_metric_rule(tx, "77", good); });
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
}

TEST_P(MetricRulesTest, ASpikeWithinABatchIsSeenAndToldOnce) {
  const MetricRule high = rule({.name = "high", .kind = RuleKind::kAbove, .metric = "loss", .threshold = 10});
  rule({.name = "low", .kind = RuleKind::kBelow, .metric = "loss", .threshold = -10});
  const std::string id = run();
  log(id, "loss", 10, 1);
  EXPECT_THAT(crossed(id), IsEmpty()) << "at the threshold is not beyond it";
  log(id, "loss", 11, 2);
  log(id, "loss", 1, 3);
  ASSERT_EQ(crossed(id).size(), 1u);
  EXPECT_EQ(crossed(id)[0].rule, high.row);
  EXPECT_THAT(crossed(id)[0].numbers, HasSubstr("11"));
  EXPECT_EQ(raise(id), 1);
  EXPECT_EQ(raise(id), 0);
  log(id, "loss", 99, 4);
  EXPECT_THAT(crossed(id), IsEmpty()) << "once for a run";
  ASSERT_EQ(alerts().size(), 1u);
  EXPECT_EQ(alerts()[0].rule_name, "high");
  EXPECT_EQ(alerts()[0].run_id, id);
  EXPECT_THAT(alerts({.run_id = "other"}), IsEmpty());
}

TEST_P(MetricRulesTest, NotFiniteIsFoundInTheTailAndInChunks) {
  rule({.name = "any", .kind = RuleKind::kNotFinite});
  rule({.name = "of acc", .kind = RuleKind::kNotFinite, .metric = "acc"});
  const std::string first = run("first"), second = run("second"), fine = run("fine");
  log(first, "loss", std::nan(""), 1);
  std::vector<Metric> long_history;
  for (int64_t step = 0; step < 500; ++step)
    long_history.push_back({.key = "acc", .value = step == 3 ? std::nan("") : 1.0, .at_ms = step, .step = step});
  ASSERT_TRUE(write([&](store::Tx& tx) { return log_batch(tx, {.run_id = second, .metrics = long_history}); }));
  log(fine, "loss", 1, 1);
  EXPECT_EQ(raise(first), 1);
  EXPECT_EQ(raise(second), 2);
  EXPECT_EQ(raise(fine), 0);
}

TEST_P(MetricRulesTest, AFilterChoosesItsRuns) {
  rule({.name = "high", .kind = RuleKind::kAbove, .metric = "loss", .threshold = 0, .filter = "params.model = 'big'"});
  const std::string big = run("big"), small = run("small");
  ASSERT_TRUE(write([&](store::Tx& tx) { return log_batch(tx, {.run_id = big, .params = {{"model", "big"}}}); }));
  log(big, "loss", 1, 1);
  log(small, "loss", 1, 1);
  EXPECT_EQ(raise(big), 1);
  EXPECT_EQ(raise(small), 0);
}

TEST_P(MetricRulesTest, SilenceIsOfRunningRunsByTheirPointsTimes) {
  const MetricRule quiet = rule({.name = "quiet", .kind = RuleKind::kStalled, .silent_ms = 1000});
  const std::string talks = run("talks", 1000), silent = run("silent", 1000), ended = run("ended", 1000);
  const int64_t since = quiet.created_ms;  // before it nobody asked
  log(talks, "loss", 1, 1, since + 9500);
  log(silent, "loss", 1, 1, since + 5000);
  ASSERT_TRUE(write([&](store::Tx& tx) {
    return update_run(tx, {.run_id = ended, .status = RunStatus::kFinished, .end_ms = 2000, .name = {}});
  }));
  const auto found = ok([&](store::Tx& tx) { return silent_runs(tx, quiet, since + 10'000); });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].run_id, silent);
  EXPECT_EQ(found[0].last_ms, since + 5000);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(write([&](store::Tx& tx) { return raise_stalled(tx, quiet, found[0]); }));
  EXPECT_EQ(alerts().size(), 1u);
  EXPECT_THAT(ok([&](store::Tx& tx) { return silent_runs(tx, quiet, since + 10'000); }), IsEmpty()) << "it was told";
}

TEST_P(MetricRulesTest, ADeletedRuleTakesItsAlertsAlong) {
  const MetricRule high = rule({.name = "high", .kind = RuleKind::kAbove, .metric = "loss", .threshold = 0});
  const std::string id = run();
  log(id, "loss", 1, 1);
  EXPECT_EQ(raise(id), 1);
  EXPECT_THAT(ok([](store::Tx& tx) -> base::Result<std::vector<int64_t>> { return projects_with_rules(tx); }),
              ElementsAre(1));
  ASSERT_TRUE(write([&](store::Tx& tx) { return delete_metric_rule(tx, high.id); }));
  EXPECT_THAT(alerts(), IsEmpty());
  const auto again = write([&](store::Tx& tx) { return delete_metric_rule(tx, high.id); });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kNotFound);
}

TEST_P(MetricRulesTest, RunsThatEndedLongAgoAreLeftAlone) {
  const std::string running = run("running"), old = run("old"), fresh = run("fresh");
  for (const auto& [id, end] : {std::pair{old, 5000}, {fresh, 50'000}}) {
    ASSERT_TRUE(write([&](store::Tx& tx) {
      return update_run(tx, {.run_id = id, .status = RunStatus::kFinished, .end_ms = end, .name = {}});
    }));
  }
  EXPECT_THAT(ok([](store::Tx& tx) { return recent_runs(tx, 0, 10'000); }), UnorderedElementsAre(running, fresh));
}

INSTANTIATE_TEST_SUITE_P(Engines, MetricRulesTest, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace track
