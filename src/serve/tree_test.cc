#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/json.h"
#include "base/process.h"
#include "serve/forest.h"
#include "serve/model.h"
#include "serve/outlier.h"
#include "serve/tree_file.h"

namespace serve {
namespace {

using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

base::Path models() {  // committed; made by tests/models/make_trees.py
  base::Path folder = base::executable_path().value();
  while (folder.has_relative_path() && !std::filesystem::exists(folder / "tests/models/trees"))
    folder = folder.parent_path();
  return folder / "tests/models/trees";
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(models()))
    out.push_back(entry.path().filename().string());
  std::ranges::sort(out);
  return out;
}

base::Path file_of(const base::Path& folder) {
  for (const char* name : {"model.json", "model.ubj", "model.txt"}) {
    if (std::filesystem::exists(folder / name)) return folder / name;
  }
  return {};
}

base::Result<Ensemble> read(const base::Path& file, std::string_view bytes) {
  return file.extension() == ".txt" ? read_lightgbm(bytes) : read_xgboost(bytes, true);
}

struct Expected {
  std::vector<double> rows;
  size_t count = 0;
  std::string bits;
  std::vector<double> contributions;
};

Expected expected(const base::Path& folder) {
  const auto parsed = base::parse_json(base::read_file(folder / "expected.txt").value());
  const auto& object = parsed->as_object();
  Expected out;
  for (const auto& row : object.at("rows").as_array()) {
    ++out.count;
    for (const auto& value : row.as_array()) out.rows.push_back(value.is_null() ? kNan : value.to_number<double>());
  }
  const std::string hex(object.at("bits").as_string());
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.bits += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  for (const auto& value : object.at("contributions").as_array())
    out.contributions.push_back(value.to_number<double>());
  return out;
}

Tensor input_of(const Model& model, const std::vector<double>& rows, size_t count) {
  Tensor tensor{.name = model.inputs()[0].name, .type = model.inputs()[0].type};
  tensor.shape = {static_cast<int64_t>(count), static_cast<int64_t>(rows.size() / count)};
  for (const double value : rows) append_number(tensor, value);
  return tensor;
}

class TreeFiles : public testing::TestWithParam<std::string> {
 protected:
  const base::Path folder = models() / GetParam();
};
INSTANTIATE_TEST_SUITE_P(All, TreeFiles, testing::ValuesIn(names()), [](const auto& info) { return info.param; });

TEST_P(TreeFiles, AnswersEqualTheLibrarysToTheLastBit) {
  auto predictor = Predictor::load(folder, {});
  ASSERT_TRUE(predictor) << predictor.error().message;
  const Model& model = (*predictor)->model();
  const Expected want = expected(folder);
  const Tensor input = input_of(model, want.rows, want.count);
  const auto outputs = model.run({&input, 1});
  ASSERT_TRUE(outputs) << outputs.error().message;
  std::string got = outputs->back().bytes;
  const size_t size = byte_size(outputs->back().type);
  if (outputs->size() == 2 && model.classes().size() == 2) {  // the library answers the second class alone
    std::string second;
    for (size_t at = size; at < got.size(); at += 2 * size) second += got.substr(at, size);
    got = second;
  }
  EXPECT_EQ(got, want.bits);
}

TEST_P(TreeFiles, ContributionsEqualTheLibrarys) {
  auto predictor = Predictor::load(folder, {});
  ASSERT_TRUE(predictor) << predictor.error().message;
  const Model& model = (*predictor)->model();
  const Expected want = expected(folder);
  if (want.contributions.empty()) return;  // XGBoost has none for categories
  ASSERT_TRUE(model.explains());
  const Tensor input = input_of(model, want.rows, want.count);
  const auto got = model.contributions({&input, 1});
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->values.size(), want.contributions.size());
  for (size_t i = 0; i < got->values.size(); ++i) EXPECT_NEAR(got->values[i], want.contributions[i], 1e-5);
}

// The walker against the plain meaning of a node, on values that lie at its edges.
template <class Walker, class Real>
void walk_both(const Ensemble& ensemble) {
  const Walker forest(ensemble);
  std::vector<double> edges = {0,
                               -0.0,
                               kNan,
                               1e-36,
                               -1e-36,
                               1e30,
                               -1e30,
                               1,
                               2,
                               3,
                               5,
                               31,
                               32,
                               1e9,
                               -1,
                               -0.5,
                               std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity()};
  for (const Tree& tree : ensemble.trees) {
    for (const TreeNode& node : tree.nodes) {
      if (node.left < 0) continue;
      edges.push_back(node.threshold);
      edges.push_back(std::nextafter(static_cast<Real>(node.threshold), Real{-1e30F}));
    }
  }
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Real> row(ensemble.features);
    for (Real& value : row) value = static_cast<Real>(edges[random() % edges.size()]);
    std::vector<Real> want;
    for (const double base : ensemble.base) want.push_back(static_cast<Real>(base));
    for (const Tree& tree : ensemble.trees) {
      size_t at = 0;
      while (tree.nodes[at].left >= 0) {
        const TreeNode& node = tree.nodes[at];
        at = static_cast<size_t>(goes_left(ensemble, tree, node, static_cast<double>(row[node.feature])) ? node.left
                                                                                                         : node.right);
      }
      want[tree.group] += static_cast<Real>(tree.nodes[at].value);
    }
    std::vector<Real> got(ensemble.groups);
    forest.walk(row.data(), got.data());
    ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(Real)), 0);
  }
}

TEST_P(TreeFiles, TheWalkerGoesWhereTheNodesSay) {
  const base::Path file = file_of(folder);
  auto ensemble = read(file, base::read_file(file).value());
  ASSERT_TRUE(ensemble) << ensemble.error().message;
  if (ensemble->xgboost)
    walk_both<XgboostForest, float>(*ensemble);
  else
    walk_both<LightgbmForest, double>(*ensemble);
}

TEST_P(TreeFiles, DamagedFilesAreErrorsOrModels) {
  const base::Path file = file_of(folder);
  const std::string bytes = base::read_file(file).value();
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = bytes.substr(0, round % 3 == 0 ? random() % bytes.size() : bytes.size());
    for (int i = 0; i < round % 5 && !damaged.empty(); ++i)
      damaged[random() % damaged.size()] = static_cast<char>(round % 2 ? random() : "0123456789-e,[]{}"[random() % 17]);
    auto ensemble = read(file, damaged);
    if (!ensemble) {
      EXPECT_FALSE(ensemble.error().message.empty());
      continue;
    }
    if (ensemble->features > 1000 || !ensemble->linear.empty()) continue;
    if (ensemble->xgboost) {
      std::vector<float> row(ensemble->features, 0.5F), sums(ensemble->groups);
      XgboostForest(*ensemble).walk(row.data(), sums.data());
    } else {
      std::vector<double> row(ensemble->features, 0.5), sums(ensemble->groups);
      LightgbmForest(*ensemble).walk(row.data(), sums.data());
    }
  }
}

// --- trees made by hand ---------------------------------------------------------------------------------------------

Ensemble stump() {
  Ensemble out{.xgboost = true, .features = 1, .trees = {}, .base = {0}};
  Tree tree;
  tree.nodes.resize(3);
  tree.nodes[0] = {.left = 1, .right = 2, .threshold = 0.5};
  tree.nodes[1].value = 1;
  tree.nodes[2].value = 2;
  out.trees.push_back(tree);
  return out;
}

float walk(const Ensemble& ensemble, float value) {
  float sum = 0;
  XgboostForest(ensemble).walk(&value, &sum);
  return sum;
}

TEST(Ensemble, WhatIsNoTreeIsRefused) {
  EXPECT_TRUE(check(stump()));
  const auto refused = [](auto change) {
    Ensemble ensemble = stump();
    change(ensemble);
    const auto checked = check(ensemble);
    return checked ? std::string() : checked.error().message;
  };
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].left = 0; }), HasSubstr("that is no tree"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].left = 2; }), HasSubstr("that is no tree"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].right = 3; }), HasSubstr("has 3 nodes"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].right = -1; }), HasSubstr("children"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].feature = 1; }), HasSubstr("feature 1"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].threshold = kNan; }), HasSubstr("not a number"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].group = 1; }), HasSubstr("class 1"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes.clear(); }), HasSubstr("no nodes"));
  EXPECT_THAT(refused([](Ensemble& e) { e.features = 0; }), HasSubstr("0 features"));
  EXPECT_THAT(refused([](Ensemble& e) { e.trees[0].nodes[0].categorical = e.trees[0].nodes[0].words = 1; }),
              HasSubstr("outside the file"));
  EXPECT_THAT(refused([](Ensemble& e) {  // a chain
                auto& nodes = e.trees[0].nodes;
                nodes.resize(2 * kMaxTreeDepth + 10);
                for (size_t i = 0; i + 2 < nodes.size(); i += 2) {
                  nodes[i].left = static_cast<int32_t>(i + 1);
                  nodes[i].right = static_cast<int32_t>(i + 2);
                }
              }),
              HasSubstr("deeper"));
}

TEST(Forest, NothingIsBelowMinusInfinityButWhatIsMissing) {
  Ensemble ensemble = stump();
  ensemble.trees[0].nodes[0].threshold = -std::numeric_limits<double>::infinity();
  ensemble.trees[0].nodes[0].default_left = true;
  EXPECT_EQ(walk(ensemble, std::numeric_limits<float>::quiet_NaN()), 1);
  EXPECT_EQ(walk(ensemble, -std::numeric_limits<float>::infinity()), 2);
  EXPECT_EQ(walk(ensemble, 0), 2);
}

TEST(Outlier, TheMostUnusualValueCounts) {
  TrainingProfile profile{.rows = 100, .features = {}};
  TrainingFeature size{.name = "size"};
  for (int i = 0; i < 100; ++i) size.sample.push_back(i);
  profile.features.push_back(size);
  profile.features.push_back({.name = "colour", .text = true, .categories = {"blue", "red"}, .shares = {0.01, 0.99}});
  const std::vector<Feature> features = {{"size", false}, {"colour", true}};
  const auto score = [&](double number, const std::string& text) {
    return outlier_score(profile, features, {.count = 1, .numbers = {number}, .texts = {text}});
  };
  EXPECT_LT(score(49, "red")->score, 0.2);
  EXPECT_EQ(score(1000, "red")->feature, "size");
  EXPECT_NEAR(score(1000, "red")->score, (1000 - 49.5) / (79.2 / 2.5631), 0.1);
  EXPECT_EQ(score(49, "blue")->feature, "colour");
  EXPECT_GT(score(49, "green")->score, score(49, "blue")->score);
  EXPECT_GT(score(kNan, "red")->score, 3);
  profile.features[0].sample.assign(100, 7.0);  // a constant has no spread
  EXPECT_EQ(score(7, "red")->feature, "colour");
  EXPECT_NEAR(score(8, "red")->score, std::sqrt(-2 * std::log(0.5 / 100)), 1e-9);
  profile.features[0] = size;
  EXPECT_FALSE(outlier_score(profile, {{"other", false}}, {.count = 1, .numbers = {1}, .texts = {}}));
  const stats::Table drawn = background_rows(profile, features, 50, 1);
  ASSERT_EQ(drawn.rows(), 50u);
  EXPECT_EQ(drawn.columns[0].numbers(), background_rows(profile, features, 50, 1).columns[0].numbers());
  EXPECT_TRUE(background_rows(profile, {{"other", false}}, 50, 1).columns.empty());
}

}  // namespace
}  // namespace serve
