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
  GateRows out{
      .data_version = "v1", .part = std::move(part), .digest = "d1", .truth = std::vector<std::string>(rows, "yes")};
  out.challenger = predictions(rows, challenger);
  if (champion <= rows) out.champion = predictions(rows, champion);
  return out;
}

constexpr size_t kNone = SIZE_MAX;

GateInput input(GateKind kind) {
  GateInput in{
      .kind = kind, .metric = "accuracy", .challenger = "m-1", .champion = kind == GateKind::kFirst ? "" : "digits/1"};
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
  table.columns = {
      {"x", stats::Numbers{1, 2, 3, 4}}, {"site", stats::Texts{"a", "a", "b", "b"}}, {"y", stats::Numbers{0, 1, 1, 0}}};
  ScoringRule rule;
  rule.evaluate = {.metric = "accuracy", .slices = {"site"}, .worst_rows = 5};
  const Predictions predictions{
      .predicted = {"0", "1.0", "0", "1"}, .scores = {.9, .1, .2, .8, .6, .4, .3, .7}, .classes = {"0", "1"}};
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

// Rows of a regression: truth 0, 1, …; each model is off by its own error, one way and the other.
GateRows regression_rows(const std::string& part, size_t rows, double challenger, double champion) {
  GateRows out{.data_version = "ds_1", .part = part, .digest = "d"};
  for (size_t i = 0; i < rows; ++i) {
    const double truth = static_cast<double>(i), way = i % 2 == 0 ? 1 : -1, size = 0.5 + static_cast<double>(i % 7) / 6;
    out.truth.push_back(std::to_string(truth));
    out.challenger.push_back(std::to_string(truth + way * size * challenger));
    if (champion > 0) out.champion.push_back(std::to_string(truth + way * size * champion));
  }
  return out;
}

TEST(Gate, OfAnErrorLessIsBetter) {
  for (const std::string metric : {"rmse", "mae"}) {
    GateInput in = input(GateKind::kFirst);
    in.metric = metric;
    in.rule.max = 2.5;
    in.rule.min.reset();
    in.test = regression_rows("test", 200, 2, 0);
    EXPECT_TRUE(judge(in)->passed) << judge(in)->reason;
    in.rule.max = 2.0;
    EXPECT_FALSE(judge(in)->passed) << judge(in)->reason;

    in = input(GateKind::kRetraining);
    in.metric = metric;
    in.test = regression_rows("test", 200, 2.0, 2.01);
    in.recent = regression_rows("recent", 100, 1.5, 2.0);
    const auto better = judge(in);
    EXPECT_TRUE(better->passed) << better->reason;
    EXPECT_EQ(better->numbers.find("mcnemar"), std::string::npos) << "a test for right and wrong";
    const auto json = base::parse_json(better->numbers);
    const auto& recent = json->at("rows").as_array().at(1).as_object();
    EXPECT_NEAR(recent.at("challenger").at("value").to_number<double>(), 1.5, 0.3);
    EXPECT_GT(recent.at("difference").at("low").to_number<double>(), 0) << "a gain is positive";
    in.recent = regression_rows("recent", 100, 2.5, 2.0);
    EXPECT_FALSE(judge(in)->passed);
    in.recent = regression_rows("recent", 100, 1.5, 2.0);
    in.test = regression_rows("test", 200, 2.2, 2.0);  // a tenth worse; the rule allows a fiftieth
    EXPECT_FALSE(judge(in)->passed);
    in.rule.max_regression = 0.15;
    EXPECT_TRUE(judge(in)->passed) << judge(in)->reason;
  }
}

TEST(Gate, R2IsARegressionsMetricOfWhichMoreIsBetter) {
  GateInput in = input(GateKind::kFirst);
  in.metric = "r2";
  in.rule.min = 0.9;
  in.test = regression_rows("test", 200, 2, 0);
  EXPECT_TRUE(judge(in)->passed) << judge(in)->reason;
  in.test.challenger[7] = "cat";
  EXPECT_THAT(judge(in).error().message, HasSubstr("row 7 has the prediction 'cat'"));
}

TEST(Scoring, ARegressionHasItsOwnSummary) {
  stats::Table table;
  table.columns = {{"x", stats::Numbers{1, 2, 3, 4}},
                   {"site", stats::Texts{"a", "a", "b", "b"}},
                   {"y", stats::Numbers{1.5, 2, 3, 10}}};
  ScoringRule rule;
  rule.evaluate = {.metric = "rmse", .slices = {"site"}, .worst_rows = 2};
  const auto scores = score(rule, table, "y", {.predicted = {"1.5", "2.5", "2.5", "8"}});
  ASSERT_TRUE(scores) << scores.error().message;
  EXPECT_DOUBLE_EQ(scores->value, std::sqrt((0.25 + 0.25 + 4) / 4));
  EXPECT_LE(scores->low, scores->value);
  EXPECT_GE(scores->high, scores->value);
  const auto json = base::parse_json(scores->summary);
  const auto& object = json->as_object();
  EXPECT_DOUBLE_EQ(object.at("metrics").at("mae").to_number<double>(), 0.75);
  EXPECT_EQ(object.at("worst").as_array().at(0).at("row").to_number<int64_t>(), 3);
  EXPECT_EQ(object.at("slices").as_array().size(), 2U);
  EXPECT_FALSE(object.contains("confusion"));
  EXPECT_EQ(read_predictions(scores->predictions_csv)->predicted[3], "8");

  rule.evaluate.metric = "accuracy";
  EXPECT_THAT(score(rule, table, "y", {.predicted = {"1.25", "2.25", "2.5", "8.5"}}).error().message,
              HasSubstr("set evaluate.metric to rmse"));
  rule.evaluate.metric = "mae";
  EXPECT_THAT(score(rule, table, "site", {.predicted = {"1", "2", "3", "4"}}).error().message,
              HasSubstr("row 0 has the label 'a'"));
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
