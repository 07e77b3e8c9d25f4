#include "data/prepare_spec.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace data {
namespace {

std::string message(std::string_view yaml, std::string_view label = "y") {
  const auto spec = parse_prepare(yaml, "prepare.yaml", label);
  return spec ? std::string("no error") : spec.error().message;
}

TEST(PrepareSpec, ReadsEverything) {
  const auto spec = parse_prepare(R"(
columns:  {age: {type: integer, min: 0, max: 130}, city: text}
rejects:  {age: not_null, city: {one_of: [Oslo, Bern]}}
missing_values: ["?", NA]
exclude:  [id]
drop_duplicates: [age, city]
split:    {train: 0.8, valid: 0.1, seed: 42, stratify: true, group: city}
missing:  {"*": mean, city: {constant: nowhere}, age: median}
scale:    {"*": standard, age: minmax}
one_hot:  [city]
feedback: {train: 0.5, valid: 0, recent: 0.5, rows: 100}
)",
                                  "prepare.yaml", "y");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->rules.at("age").max, 130);
  EXPECT_TRUE(spec->rules.at("age").not_null);
  EXPECT_EQ(spec->rules.at("city").one_of.size(), 2u);
  EXPECT_EQ(spec->rules.at("city").type, ColumnType::kText);
  EXPECT_NEAR(spec->split.test, 0.1, 1e-12);
  EXPECT_EQ(spec->stratify, "y");
  EXPECT_EQ(spec->group, "city");
  EXPECT_EQ(spec->seed, 42u);
  EXPECT_EQ(spec->transform.fill.size(), 3u);
  EXPECT_EQ(spec->transform.fill[1].constant, "nowhere");
  EXPECT_EQ(spec->transform.one_hot, std::vector<std::string>{"city"});
  EXPECT_EQ(spec->feedback.test, 0.5);
  EXPECT_EQ(spec->feedback_rows, 100);
}

TEST(PrepareSpec, NothingDeclaredIsTheDefaults) {
  for (const char* empty : {"", "# only a comment\n", "split:\n"}) {
    const auto spec = parse_prepare(empty, "prepare.yaml", "");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->split.train, 0.7);
    EXPECT_FALSE(spec->drop_duplicates);
    EXPECT_TRUE(spec->transform.empty());
  }
}

TEST(PrepareSpec, ErrorsNameFileLineKeyFoundAndAllowed) {
  EXPECT_EQ(message("exclude: [a]\nspilt: {}\n"),
            "prepare.yaml:2: unknown key 'spilt'; allowed: columns, rejects, missing_values, exclude, drop_duplicates, "
            "split, "
            "missing, scale, one_hot, feedback");
  EXPECT_EQ(message("\nsplit: {train: most}\n"),
            "prepare.yaml:2: split.train: found the text 'most'; allowed: a number from 0 to 1");
  EXPECT_EQ(message("split: {train: 0.5, valid: 0.2, test: 0.2}\n"),
            "prepare.yaml:1: split: train, valid and test add up to 0.8999999999999999; they must add up to 1 (one may "
            "be left out)");
  EXPECT_EQ(message("split: {seed: -1}"),
            "prepare.yaml:1: split.seed: found the number -1; allowed: an integer from 0");
  EXPECT_EQ(message("split: {stratify: true}", ""),
            "prepare.yaml:1: split.stratify: found true; allowed: a column: the data has no label");
  EXPECT_EQ(message("split: {tests: 1}"),
            "prepare.yaml:1: unknown key 'split.tests'; allowed: train, valid, test, seed, stratify, group");
  EXPECT_EQ(message("columns: {a: date}"),
            "prepare.yaml:1: columns.a: found the text 'date'; allowed: number, integer or text");
  EXPECT_EQ(message("columns: {a: {type: number, one_of: [1]}}"),
            "prepare.yaml:1: unknown key 'columns.a.one_of'; allowed: type, min, max");
  EXPECT_EQ(message("columns: {a: {min: 3, max: 1}}"),
            "prepare.yaml:1: columns.a: found a mapping; allowed: min not above max");
  EXPECT_EQ(message("columns: {a: number}\nrejects: {a: {type: text}}"),
            "prepare.yaml:2: rejects.a.type: 'text' here, 'number' in columns");
  EXPECT_EQ(message("missing: {a: zero}"),
            "prepare.yaml:1: missing.a: found the text 'zero'; allowed: mean, median, mode or {constant: VALUE}");
  EXPECT_EQ(message("scale: {a: robust}"),
            "prepare.yaml:1: scale.a: found the text 'robust'; allowed: standard or minmax");
  EXPECT_EQ(message("one_hot: city"), "prepare.yaml:1: one_hot: found the text 'city'; allowed: a list of columns");
  EXPECT_EQ(message("exclude: [a, a]"), "prepare.yaml:1: exclude: 'a' stands twice");
  EXPECT_EQ(message("drop_duplicates: []"),
            "prepare.yaml:1: drop_duplicates: found a list; allowed: true, false, or a list of key columns");
  EXPECT_EQ(message("- a\n"), "prepare.yaml:1: (whole file): found a list; allowed: keys and values");
}

TEST(PrepareSpec, TheSchemaIsJson) { EXPECT_TRUE(base::parse_json(prepare_json_schema()).has_value()); }

}  // namespace
}  // namespace data
