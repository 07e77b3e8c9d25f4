#include "stats/transform.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace stats {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Table train_rows() {
  Table table;
  table.columns.push_back({"a", Numbers{1, 2, kNaN, 4, 9}});
  table.columns.push_back({"b", Numbers{5, 5, 5, 5, 5}});
  table.columns.push_back({"c", Numbers{3, 1, 3, 2, kNaN}});
  table.columns.push_back({"city", Texts{"Oslo", std::nullopt, "Rome", "Oslo", "Bern"}});
  table.columns.push_back({"label", Numbers{0, 1, 0, 1, 0}});
  return table;
}

TransformSpec full_spec() {
  TransformSpec spec;
  spec.fill = {{"*", FillKind::kMean, ""}, {"c", FillKind::kMode, ""}, {"city", FillKind::kConstant, "nowhere"}};
  spec.scale = {{"*", ScaleKind::kStandard}};
  spec.one_hot = {"c", "city"};
  return spec;
}

const std::vector<std::string> kFeatures = {"a", "b", "c", "city"};

TEST(Transform, FitsAsScikitLearnDoes) {
  const auto transform = Transform::fit(full_spec(), train_rows(), kFeatures);
  ASSERT_TRUE(transform) << transform.error().message;
  EXPECT_EQ(transform->output_columns(), (std::vector<std::string>{"a", "b", "c_1", "c_2", "c_3", "city_Bern",
                                                                   "city_Oslo", "city_Rome", "city_nowhere"}));
  const auto out = transform->apply(train_rows());
  ASSERT_TRUE(out) << out.error().message;
  // SimpleImputer(mean) then StandardScaler: mean 4, deviation sqrt(38/5).
  const double deviation = std::sqrt(38.0 / 5.0);
  const Numbers expected = {-3 / deviation, -2 / deviation, 0, 0, 5 / deviation};
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(out->columns[0].numbers()[i], expected[i], 1e-15);
  EXPECT_EQ(out->find("b")->numbers(), (Numbers{0, 0, 0, 0, 0}));  // constant: scale 1
  EXPECT_EQ(out->find("c_3")->numbers(), (Numbers{1, 0, 1, 0, 1}));
  EXPECT_EQ(out->find("city_nowhere")->numbers(), (Numbers{0, 1, 0, 0, 0}));
  EXPECT_EQ(out->find("label"), nullptr);
}

TEST(Transform, MedianAndMinMax) {
  TransformSpec spec;
  spec.fill = {{"a", FillKind::kMedian, ""}};
  spec.scale = {{"a", ScaleKind::kMinMax}};
  const auto transform = Transform::fit(spec, train_rows(), {"a", "b"});
  ASSERT_TRUE(transform);
  const auto out = transform->apply(train_rows());
  const Numbers& a = out->find("a")->numbers();
  EXPECT_DOUBLE_EQ(a[2], (3.0 - 1) / 8);  // median of 1 2 4 9
  EXPECT_DOUBLE_EQ(a[4], 1);
  EXPECT_EQ(out->find("b")->numbers()[0], 5);  // no step declared: untouched
}

TEST(Transform, UnknownCategoriesAreZeroAndMissingIsItsOwn) {
  TransformSpec spec;
  spec.one_hot = {"c", "city"};
  const auto transform = Transform::fit(spec, train_rows(), {"c", "city"});
  ASSERT_TRUE(transform);
  EXPECT_EQ(transform->output_columns().back(), "city_nan");
  Table rows;
  rows.columns.push_back({"city", Texts{"Paris", std::nullopt}});
  rows.columns.push_back({"c", Numbers{7, kNaN}});
  const auto out = transform->apply(rows);
  ASSERT_TRUE(out);
  double sum_first = 0;
  for (const Column& column : out->columns) sum_first += column.numbers()[0];
  EXPECT_EQ(sum_first, 0);
  EXPECT_EQ(out->find("c_nan")->numbers()[1], 1);
  EXPECT_EQ(out->find("city_nan")->numbers()[1], 1);
}

TEST(Transform, DenseAgreesWithTableBitForBit) {
  Table train;
  for (int c = 0; c < 6; ++c) {
    Numbers values;
    for (int r = 0; r < 200; ++r) {
      values.push_back((r * 7 + c) % 11 == 0 && c != 5 ? kNaN : std::sin(r * 1.7 + c) * std::pow(10, c - 2) + 0.1 * c);
    }
    if (c == 4)
      for (double& x : values) x = std::isnan(x) ? x : std::round(std::fmod(std::abs(x), 4));
    train.columns.push_back({"x" + std::to_string(c), std::move(values)});
  }
  std::vector<std::string> features;
  for (const Column& column : train.columns) features.push_back(column.name);
  for (const bool hot : {false, true}) {
    TransformSpec spec;
    spec.fill = {{"x0", FillKind::kMean, ""}, {"x1", FillKind::kMedian, ""}, {"x2", FillKind::kConstant, "-1.25"}};
    spec.scale = {{"*", ScaleKind::kStandard}, {"x1", ScaleKind::kMinMax}};
    if (hot) spec.one_hot = {"x4"};
    const auto transform = Transform::fit(spec, train, features);
    ASSERT_TRUE(transform) << transform.error().message;
    const auto reread = Transform::parse(transform->to_json());
    ASSERT_TRUE(reread) << reread.error().message;
    EXPECT_EQ(reread->to_json(), transform->to_json());
    std::vector<double> dense;
    for (size_t r = 0; r < train.rows(); ++r) {
      for (const Column& column : train.columns) dense.push_back(column.numbers()[r]);
    }
    const auto fast = reread->apply_dense(dense.data(), train.rows());
    const auto slow = transform->apply(train);
    ASSERT_TRUE(fast && slow);
    const size_t width = slow->columns.size();
    ASSERT_EQ(fast->size(), width * train.rows());
    for (size_t r = 0; r < train.rows(); ++r) {
      for (size_t c = 0; c < width; ++c) {
        const auto expected = static_cast<float>(slow->columns[c].numbers()[r]);
        EXPECT_EQ(std::bit_cast<uint32_t>((*fast)[r * width + c]), std::bit_cast<uint32_t>(expected)) << r << ' ' << c;
      }
    }
  }
}

TEST(Transform, CategoriesThatLookLikeNumbersInOneFile) {
  Table train;
  train.columns.push_back({"size", Texts{"10", "12", "L"}});
  TransformSpec spec;
  spec.one_hot = {"size"};
  const auto transform = Transform::fit(spec, train, {"size"});
  ASSERT_TRUE(transform);
  const auto out = transform->apply(*parse_csv("size\n12\n10\n"));
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->find("size_12")->numbers(), (Numbers{1, 0}));
}

TEST(Transform, IdentityLeavesRowsAlone) {
  const auto transform = Transform::fit({}, train_rows(), {"b", "a"});
  ASSERT_TRUE(transform);
  EXPECT_TRUE(transform->identity());
  EXPECT_TRUE(transform->all_inputs_numeric());
  EXPECT_EQ(transform->output_columns(), (std::vector<std::string>{"b", "a"}));
  const double row[] = {5, 0.1};
  EXPECT_EQ(*transform->apply_dense(row, 1), (std::vector<float>{5.0F, 0.1F}));
}

TEST(Transform, ErrorsNameTheColumn) {
  auto message = [](const TransformSpec& spec, std::vector<std::string> features = kFeatures) {
    const auto transform = Transform::fit(spec, train_rows(), features);
    return transform ? std::string("no error") : transform.error().message;
  };
  TransformSpec spec;
  spec.scale = {{"height", ScaleKind::kStandard}};
  EXPECT_EQ(message(spec), "scale: 'height' is not a feature; the features are a, b, c, city");
  spec.scale = {{"city", ScaleKind::kStandard}};
  EXPECT_EQ(message(spec), "column 'city': a text column cannot be scaled");
  spec.scale = {{"c", ScaleKind::kMinMax}}, spec.one_hot = {"c"};
  EXPECT_EQ(message(spec), "'c' is in both scale and one_hot");
  spec = {};
  spec.fill = {{"city", FillKind::kMean, ""}};
  EXPECT_EQ(message(spec), "column 'city': a text column has no mean; mode and constant are possible");
  spec.fill = {{"a", FillKind::kConstant, "x"}};
  EXPECT_EQ(message(spec), "column 'a': the constant 'x' is not a number, the column is");
  EXPECT_EQ(message({}, {"a", "z"}), "the training rows have no column 'z'");

  const auto transform = Transform::fit({}, train_rows(), kFeatures);
  Table rows = train_rows();
  rows.columns[0].values = Texts{"x", "y", "z", "u", "v"};
  EXPECT_EQ(transform->apply(rows).error().message, "column 'a' must be numeric; found the text 'x'");
  rows.columns.erase(rows.columns.begin());
  EXPECT_EQ(transform->apply(rows).error().message, "column 'a' is missing");
  const double one[4] = {};
  EXPECT_EQ(transform->apply_dense(one, 1).error().message, "column 'city' is text; send the rows by column name");
}

TEST(Transform, ParseTrustsNothing) {
  for (
      const char* bad : {
          "",
          "[]",
          "{}",
          R"({"format":"lathe.transform.v9","columns":[]})",
          R"({"format":"lathe.transform.v1"})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a"}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"date"}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"number"},{"name":"a","type":"number"}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"number","fill":{"kind":"max","value":1}}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"number","fill":{"kind":"mean","value":"x"}}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"text","scale":{"kind":"minmax","offset":0,"factor":1}}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"number","one_hot":{"categories":[2,1],"missing":false}}]})",
          R"({"format":"lathe.transform.v1","columns":[{"name":"a","type":"number","one_hot":{"categories":["x"],"missing":false}}]})",
      }) {
    EXPECT_FALSE(Transform::parse(bad).has_value()) << bad;
  }
  EXPECT_TRUE(Transform::parse(Transform().to_json()).has_value());
}

}  // namespace
}  // namespace stats
