#include "loop/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "loop/scoring.h"

namespace loop {
namespace {

using testing::HasSubstr;

// `right` of `rows` predictions are the truth; the right ones begin at row `from`, and wrap around.
std::vector<std::string> predictions(size_t rows, size_t right, size_t from = 0) {
  std::vector<std::string> out(rows, "no");
  for (size_t i = 0; i < right; ++i) out[(from + i) % rows] = "yes";
  return out;
}

GateRows rows_of(std::string part, size_t rows, size_t challenger, size_t champion) {
  GateRows out{.data_version = "v1", .part = std::move(part), .digest = "d1", .truth = std::vector<std::string>(rows, "yes")};
  out.challenger = predictions(rows, challenger);
  if (champion <= rows) out.champion = predictions(rows, champion);
  return out;
}

constexpr size_t kNone = SIZE_MAX;

GateInput input(GateKind kind) {
  GateInput in{.kind = kind, .metric = "accuracy", .challenger = "m-1", .champion = kind == GateKind::kFirst ? "" : "digits/1"};
  in.rule = {.confidence = 0.95, .max_regression = 0.02, .min_recent_rows = 50, .seed = 1};
  return in;
}

TEST(Gate, FirstPromotionReportsTheIntervalAndHoldsTheBound) {
  GateInput in = input(GateKind::kFirst);
  in.test = rows_of("test", 200, 190, kNone);
  auto result = judge(in);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->passed);
  EXPECT_THAT(result->reason, HasSubstr("no absolute bound"));

  in.rule.min = 0.95;  // the value reaches it, its interval does not
  result = judge(in);
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->passed);
  EXPECT_THAT(result->reason, HasSubstr("does not reach the bound"));

  in.rule.min = 0.90;
  EXPECT_TRUE(judge(in)->passed);
}

TEST(Gate, UpdateMayNotLoseOnTheFrozenTest) {
  GateInput in = input(GateKind::kUpdate);
  in.test = rows_of("test", 400, 380, 380);
  EXPECT_TRUE(judge(in)->passed);
  in.test = rows_of("test", 400, 360, 380);
  EXPECT_FALSE(judge(in)->passed);
}

TEST(Gate, RetrainingNeedsBothHalves) {
  GateInput in = input(GateKind::kRetraining);
  in.test = rows_of("test", 400, 380, 380);
  in.recent = rows_of("recent", 120, 108, 80);
  auto result = judge(in);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->passed) << result->reason;
  const auto numbers = base::parse_json(result->numbers);
  ASSERT_TRUE(numbers) << result->numbers;
  EXPECT_EQ(numbers->as_object().at("rows").as_array().size(), 2U);
  EXPECT_EQ(numbers->as_object().at("checks").as_array().size(), 2U);

  in.recent = rows_of("recent", 120, 81, 80);  // better, but not significantly
  EXPECT_FALSE(judge(in)->passed);
  in.recent = rows_of("recent", 120, 108, 80);
  in.test = rows_of("test", 400, 360, 380);  // better on recent rows, worse on the frozen ones
  EXPECT_FALSE(judge(in)->passed);
}

TEST(Gate, TooFewRecentRowsFailWithWhatIsMissing) {
  GateInput in = input(GateKind::kRetraining);
  in.test = rows_of("test", 400, 380, 380);
  in.recent = rows_of("recent", 20, 20, 5);
  auto result = judge(in);
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->passed);
  EXPECT_THAT(result->reason, HasSubstr("30 more are needed"));
  in.recent.reset();
  EXPECT_THAT(judge(in)->reason, HasSubstr("50 more are needed"));
}

TEST(Gate, SameInputSameNumbers) {
  GateInput in = input(GateKind::kRetraining);
  in.metric = "macro_f1";
  in.test = rows_of("test", 100, 90, 88);
  in.recent = rows_of("recent", 100, 90, 60);
  EXPECT_EQ(judge(in)->numbers, judge(in)->numbers);
}

TEST(Gate, RefusesRowsThatDoNotMatch) {
  GateInput in = input(GateKind::kUpdate);
  in.test = rows_of("test", 100, 90, 88);
  in.test.champion.pop_back();
  EXPECT_FALSE(judge(in));
}

TEST(Scoring, SummaryHoldsWhatAPersonAsks) {
  stats::Table table;
  table.columns = {{"x", stats::Numbers{1, 2, 3, 4}}, {"site", stats::Texts{"a", "a", "b", "b"}}, {"y", stats::Numbers{0, 1, 1, 0}}};
  ScoringRule rule;
  rule.evaluate = {.metric = "accuracy", .slices = {"site"}, .worst_rows = 5};
  const Predictions predictions{.predicted = {"0", "1.0", "0", "1"}, .scores = {.9, .1, .2, .8, .6, .4, .3, .7}, .classes = {"0", "1"}};
  const auto scores = score(rule, table, "y", predictions);
  ASSERT_TRUE(scores) << scores.error().message;
  EXPECT_DOUBLE_EQ(scores->value, 0.5);
  const auto json = base::parse_json(scores->summary);
  ASSERT_TRUE(json) << scores->summary;
  const auto& object = json->as_object();
  EXPECT_EQ(object.at("slices").as_array().size(), 2U);
  EXPECT_EQ(object.at("worst").as_array().at(0).as_object().at("row").as_int64(), 3);  // most confident first
  const auto rows = read_predictions(scores->predictions_csv);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->truth, (std::vector<std::string>{"0", "1", "1", "0"}));
  EXPECT_EQ(rows->predicted, (std::vector<std::string>{"0", "1", "0", "1"}));
}

TEST(Scoring, RefusesWhatDoesNotFit) {
  stats::Table table;
  table.columns = {{"y", stats::Numbers{0, 1}}};
  ScoringRule rule;
  rule.evaluate.metric = "accuracy";
  EXPECT_FALSE(score(rule, table, "y", {.predicted = {"0"}}));
  EXPECT_FALSE(score(rule, table, "z", {.predicted = {"0", "1"}}));
  rule.evaluate.slices = {"nothing"};
  EXPECT_FALSE(score(rule, table, "y", {.predicted = {"0", "1"}}));
}

}  // namespace
}  // namespace loop
