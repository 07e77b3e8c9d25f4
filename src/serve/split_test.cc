#include "serve/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "serve/mirror.h"

namespace serve {
namespace {

using testing::HasSubstr;

TEST(Split, APlanIsCheckedAndPutInOrder) {
  const auto plan = checked({.parts = {{5, 1000}, {2, 1000}, {3, 8000}}, .sticky = "X-User"}, 3);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->parts, (std::vector<TrafficPart>{{3, 8000}, {2, 1000}, {5, 1000}}));
  EXPECT_EQ(plan->sticky, "x-user");
  EXPECT_EQ(plan_of_json(to_json(*plan)), *plan);
  EXPECT_EQ(to_json(TrafficPlan{}), "");
  EXPECT_EQ(describe(*plan, 3), "3=80 2=10 5=10; sticky by x-user");
  EXPECT_TRUE(checked({.parts = {{3, kWholeShare}}}, 3)->parts.empty());  // that is no division
}

TEST(Split, WhatCannotBeIsRefusedWithItsReason) {
  const auto why = [](TrafficPlan plan) {
    const auto refused = checked(std::move(plan), 1);
    return refused ? std::string() : refused.error().message;
  };
  EXPECT_THAT(why({.parts = {{1, 9000}, {2, 500}}}), HasSubstr("add up to 95.0 %"));
  EXPECT_THAT(why({.parts = {{1, 5000}, {1, 5000}}}), HasSubstr("twice"));
  EXPECT_THAT(why({.parts = {{1, 0}, {2, 10000}}}), HasSubstr("promote"));
  EXPECT_THAT(why({.parts = {{2, 10000}}}), HasSubstr("promote"));
  EXPECT_THAT(why({.shadow = 1}), HasSubstr("another one"));
  EXPECT_THAT(why({.parts = {{1, 9000}, {2, 1000}}, .shadow = 2}), HasSubstr("another one"));
  EXPECT_THAT(why({.shadow = 2, .shadow_share = 0}), HasSubstr("more than 0"));
  EXPECT_THAT(why({.sticky = "a b"}), HasSubstr("header"));
  EXPECT_EQ(why({.parts = {{1, 10000}, {2, 0}}}), "");  // loaded, reached by name only
}

TEST(Split, SharesArePercentagesOfTwoDecimals) {
  EXPECT_EQ(*share_of_percent(12.5), 1250u);
  EXPECT_EQ(*share_of_percent(0.01), 1u);
  for (const double bad : {-1.0, 100.5, 0.005}) EXPECT_FALSE(share_of_percent(bad)) << bad;
  EXPECT_EQ(percent_text(1250), "12.5");
  EXPECT_EQ(percent_text(1), "0.01");
  EXPECT_EQ(percent_text(10000), "100");
}

TEST(Split, PlacesAreEvenAndFixed) {
  std::array<int, 10> counts{};
  for (int i = 0; i < 20'000; ++i) ++counts[place_of("request-" + std::to_string(i), 7) / (kWholeShare / 10)];
  double chi2 = 0;
  for (const int n : counts) chi2 += (n - 2000.0) * (n - 2000.0) / 2000.0;
  EXPECT_LT(chi2, 33.7);  // 9 degrees of freedom, p = 0.0001
  EXPECT_EQ(place_of("ann", 7), place_of("ann", 7));
  // One endpoint's choice says nothing about another's.
  int both = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = "user" + std::to_string(i);
    both += place_of(key, 1) < 5000 && place_of(key, 2) < 5000;
  }
  EXPECT_NEAR(both, 2500, 200);
}

TEST(MirrorPoint, AnswersAreComparedRowByRow) {
  MirrorPoint point;
  const std::vector<std::string> a{"0", "1", "2"}, b{"0", "1", "1"};
  const std::vector<double> p{0.9, 0.8, 0.5}, q{0.7, 0.8, 0.6};
  compare_answers(point, a, p, b, q);
  EXPECT_EQ(point.rows, 3);
  EXPECT_EQ(point.agreed, 2);
  EXPECT_EQ(point.scored, 3);
  EXPECT_NEAR(point.difference, 0.3, 1e-12);
  EXPECT_NEAR(point.most, 0.2, 1e-12);
  MirrorPoint values;  // a regression: the answers themselves
  compare_answers(values, std::vector<std::string>{"1.5"}, {}, std::vector<std::string>{"2"}, {});
  EXPECT_EQ(values.agreed, 0);
  EXPECT_NEAR(values.difference, 0.5, 1e-12);
}

}  // namespace
}  // namespace serve
