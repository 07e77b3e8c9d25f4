#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "track/search_ast.h"

namespace track {
namespace {

using ::testing::HasSubstr;

constexpr Attribute kAttributes[] = {{.name = "run_id", .column = "r.run_id", .list = true},
                                     {.name = "start_time", .column = "r.start_ms", .numeric = true}};
constexpr Dialect kDialect{
    .entity = "runs", .attributes = kAttributes, .metrics = true, .params = true, .datasets = true, .histories = true};

std::string error_of(std::string_view text) {
  const auto filter = parse_filter(text, kDialect);
  return filter ? "" : filter.error().message;
}

TEST(SearchParser, PrecedenceIsNotThenAndThenOr) {
  const auto filter = parse_filter("metrics.a > 1 OR NOT metrics.b = 2 AND params.c = 'x'", kDialect);
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->kind, Filter::Kind::kAny);
  EXPECT_EQ(filter->children.at(1).kind, Filter::Kind::kAll);
  EXPECT_EQ(filter->children[1].children.at(0).kind, Filter::Kind::kNot);
}

TEST(SearchParser, KeysMayBeQuotedInEitherWay) {
  for (const std::string_view text : {"params.`a b.c` = 'v'", "params.\"a b.c\" = 'v'", "`params`.`a b.c` = \"v\""}) {
    const auto filter = parse_filter(text, kDialect);
    ASSERT_TRUE(filter) << filter.error().message;
    EXPECT_EQ(filter->term.key, "a b.c");
    EXPECT_EQ(filter->term.value.text, "v");
  }
}

TEST(SearchParser, AnErrorPointsAtItsCharacter) {
  EXPECT_THAT(error_of("metrics.a >"), HasSubstr("at character 12"));
  EXPECT_THAT(error_of("metrics.a > 1 ; x"), HasSubstr("at character 15"));
  EXPECT_THAT(error_of("params.ä = 'x' params.b = 'y'"), HasSubstr("at character 16"));
  EXPECT_THAT(error_of("params.a = 'open"), HasSubstr("at character 12"));
  EXPECT_THAT(error_of("(metrics.a = 1"), HasSubstr("closing parenthesis"));
}

TEST(SearchParser, AMetricsHistoryMayBeAsked) {
  struct Case {
    std::string_view text;
    Pick pick;
  };
  for (const Case& c : {Case{"min(metrics.loss) < 0.5", Pick::kMin}, Case{"MAX( metrics.`a b` ) >= 2", Pick::kMax},
                        Case{"best(metrics.val_loss) < 1", Pick::kMin}, Case{"best(metrics.valLoss) < 1", Pick::kMin},
                        Case{"best(metrics.accuracy) > 1", Pick::kMax}, Case{"metrics.min > 1", Pick::kLast}}) {
    const auto filter = parse_filter(c.text, kDialect);
    ASSERT_TRUE(filter) << c.text << ": " << filter.error().message;
    EXPECT_EQ(filter->term.pick, c.pick) << c.text;
  }
  EXPECT_THAT(error_of("min(params.a) = 1"), HasSubstr("of metrics at character 5"));
  EXPECT_THAT(error_of("min(metrics.a = 1"), HasSubstr("closing parenthesis at character 15"));
  EXPECT_THAT(error_of("best(metrics.a) LIKE 'x'"), HasSubstr("Invalid comparator"));
  const auto order = parse_order("best(metrics.loss) ASC", kDialect);
  ASSERT_TRUE(order);
  EXPECT_EQ(order->pick, Pick::kMin);
}

TEST(SearchParser, WrongTypesAreRefused) {
  for (const std::string_view text :
       {"metrics.a = 'x'", "params.a = 5", "params.a = x", "params.a > '5'", "metrics.a LIKE 'x'", "start_time = 'x'",
        "nonsense.a = 1", "unknown = 'x'", "run_id IN ()", "run_id IN (1)", "params.a IN ('x')", "start_time IS NULL",
        "metrics.a == 1", "metrics.a = 1e999", "metrics. = 1", "dataset.size = 'x'", "AND", "metrics.a = 1 AND"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
}

TEST(SearchParser, DepthAndLengthAreBounded) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "(";
  EXPECT_THAT(error_of(deep + "metrics.a = 1"), HasSubstr("nested"));
  std::string nots;
  for (int i = 0; i < 100'000; ++i) nots += "NOT ";
  EXPECT_NE(error_of(nots), "");
  std::string many = "metrics.a = 1";
  for (int i = 0; i < 300; ++i) many += " AND metrics.a = 1";
  EXPECT_THAT(error_of(many), HasSubstr("comparisons"));
}

}  // namespace
}  // namespace track
