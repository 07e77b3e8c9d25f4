#include "serve/condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace serve {
namespace {

using testing::HasSubstr;
using Value = Condition::Value;

// Numbers and texts by a reference's shown name.
bool holds(std::string_view text, const std::map<std::string, Value>& world) {
  const auto condition = Condition::parse(text);
  EXPECT_TRUE(condition) << condition.error().message;
  if (!condition) return false;
  std::vector<Value> values;
  for (const auto& reference : condition->references()) {
    EXPECT_TRUE(world.contains(reference.shown())) << reference.shown();
    values.push_back(world.at(reference.shown()));
  }
  return condition->holds(values);
}

std::string why(std::string_view text) {
  const auto condition = Condition::parse(text);
  return condition ? "" : condition.error().message;
}

TEST(Condition, ComparesNumbersTextsAndTruths) {
  const std::map<std::string, Value> world = {{"x", {.number = 3}},
                                              {"x[2]", {.number = 7}},
                                              {"city", {.text = "Bern"}},
                                              {"is_new", {.number = 1}},
                                              {"response.label", {.number = 2, .text = "2"}},
                                              {"response.score", {.number = 0.75}},
                                              {"response.scores[\"a\"]", {.number = 0.25}},
                                              {"header[\"x-tier\"]", {.text = "gold"}}};
  for (std::string_view text : {"x == 3",
                                "x != 4",
                                "x < 3.5",
                                "x <= 3",
                                "x > -1",
                                "x >= 3",
                                "1 + 2 * x == 7",
                                "(1 + 2) * x == 9",
                                "x - 1 - 1 == 1",
                                "x / 2 == 1.5",
                                "x % 2 == 1",
                                "-x == -3",
                                "x[2] > x",
                                "request.x == 3",
                                "city == 'Bern'",
                                "request[\"city\"] != \"Oslo\"",
                                "city < \"C\"",
                                "city in [\"Oslo\", \"Bern\"]",
                                "x in [1, 3, -2]",
                                "is_new and not false",
                                "not (x > 3 or is_new == false)",
                                "x > 5 or x > 2 and city == 'Bern'",
                                "response.label == 2",
                                "response.label == \"2\"",
                                "response.score > 0.5 && response.scores[\"a\"] < 0.5",
                                "header[\"X-Tier\"] == \"gold\"",
                                "header[\"x-tier\"] in ['gold', 'silver'] || x > 100",
                                "! (x == 4)",
                                "1e-3 < .5",
                                "city == \"B\\ern\""}) {
    EXPECT_TRUE(holds(text, world)) << text;
    EXPECT_FALSE(holds("not (" + std::string(text) + ")", world)) << text;
  }
}

TEST(Condition, AMissingNumberFailsEveryComparisonButInequality) {
  const std::map<std::string, Value> world = {{"x", {.number = std::nan("")}}};
  EXPECT_FALSE(holds("x < 1", world));
  EXPECT_FALSE(holds("x >= 1", world));
  EXPECT_FALSE(holds("x == x", world));
  EXPECT_TRUE(holds("x != 1", world));
}

TEST(Condition, ErrorsSayWhereAndWhatIsAllowed) {
  EXPECT_THAT(why(""), HasSubstr("at character 1: found the end"));
  EXPECT_THAT(why("x >"), HasSubstr("at character 4: found the end"));
  EXPECT_THAT(why("x = 3"), HasSubstr("at character 3: found '='"));
  EXPECT_THAT(why("x + 'a' > 2"), HasSubstr("at character 5: this is a text; it must be a number here"));
  EXPECT_THAT(why("x > 2 and x == 'a'"), HasSubstr("at character 11: 'x' is a number; it must be a text here"));
  EXPECT_THAT(why("x + 2"), HasSubstr("must be true or false here"));
  EXPECT_THAT(why("true < false"), HasSubstr("no order"));
  EXPECT_THAT(why("(x > 2"), HasSubstr("at character 7: found the end; allowed: ')'"));
  EXPECT_THAT(why("x > 2 y"), HasSubstr("at character 7: found 'y'; allowed: and, or"));
  EXPECT_THAT(why("x == 'a"), HasSubstr("without its closing"));
  EXPECT_THAT(why("x in []"), HasSubstr("a number or a text"));
  EXPECT_THAT(why("x in [1, 'a']"), HasSubstr("must be a number"));
  EXPECT_THAT(why("header == 'a'"), HasSubstr("allowed: '['"));
  EXPECT_THAT(why("header['a'] > 3"), HasSubstr("must be a text"));
  EXPECT_THAT(why("response.scores > 3"), HasSubstr("a class or its number"));
  EXPECT_THAT(why("2x > 1"), HasSubstr("cannot be read"));
  EXPECT_THAT(why("x > 1;"), HasSubstr("';'"));
  EXPECT_THAT(why("a.b.c > 1"), HasSubstr("at character 2"));
}

TEST(Condition, SizeAndDepthAreBounded) {
  EXPECT_THAT(why(std::string(kMaxConditionBytes + 1, ' ')), HasSubstr("2000 bytes"));
  EXPECT_THAT(why(std::string(500, '(') + "x > 1"), HasSubstr("levels deep"));
  EXPECT_THAT(why(std::string(500, '-') + "1 > 1"), HasSubstr("levels deep"));
  std::string many = "a";
  for (int i = 0; i < 300; ++i) many += " or a";
  EXPECT_THAT(why(many), HasSubstr("200 terms"));
}

TEST(Condition, ANamesTypeFollowsFromItsUse) {
  const auto condition = Condition::parse("a == 'x' and b > 1 and c and d == e and request.a != 'y'");
  ASSERT_TRUE(condition) << condition.error().message;
  ASSERT_EQ(condition->references().size(), 5U);  // request.a is a
  using Type = Condition::Type;
  const Type types[] = {Type::kText, Type::kNumber, Type::kBool, Type::kNumber, Type::kNumber};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(condition->references()[i].type, types[i]) << i;
}

}  // namespace
}  // namespace serve
