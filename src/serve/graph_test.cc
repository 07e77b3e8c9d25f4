#include "serve/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <map>

#include "serve/graph_model.h"

namespace serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A model of two columns whose second class has the score that a function of a row says.
struct Toy {
  std::vector<std::string> columns = {"a", "b"};
  std::function<double(const double*)> score;
  std::vector<std::string> classes = {"no", "yes"};
  bool value = false;  // a regression: the score is its answer
  bool fails = false;
};

class ToyModel final : public Model {
 public:
  explicit ToyModel(Toy toy) : toy_(std::move(toy)) {
    inputs_ = {{"x", DataType::kFp64, {-1, static_cast<int64_t>(toy_.columns.size())}}};
    if (toy_.value)
      outputs_ = {{"y", DataType::kFp64, {-1, 1}}};
    else
      outputs_ = {{"label", DataType::kBytes, {-1}}, {"probabilities", DataType::kFp64, {-1, 2}}};
    if (toy_.value) toy_.classes.clear();
  }
  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return toy_.classes; }
  std::string_view platform() const override { return "toy"; }
  std::vector<std::string> column_names() const override { return toy_.columns; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override {
    asked += static_cast<int>(inputs[0].shape[0]);
    if (toy_.fails) return base::fail(base::Code::kUnavailable, "the toy is broken");
    const auto rows = static_cast<size_t>(inputs[0].shape[0]);
    Tensor label{.name = "label", .type = DataType::kBytes, .shape = {inputs[0].shape[0]}};
    Tensor scores{.name = toy_.value ? "y" : "probabilities", .type = DataType::kFp64};
    scores.shape = {inputs[0].shape[0], toy_.value ? 1 : 2};
    for (size_t row = 0; row < rows; ++row) {
      std::vector<double> cells;
      for (size_t i = 0; i < toy_.columns.size(); ++i)
        cells.push_back(number_at(inputs[0], row * toy_.columns.size() + i));
      const double score = toy_.score(cells.data());
      if (!toy_.value) append_number(scores, 1 - score);
      append_number(scores, score);
      label.strings.push_back(toy_.classes.empty() ? "" : toy_.classes[score > 0.5 ? 1 : 0]);
    }
    if (toy_.value) return std::vector<Tensor>{scores};
    return std::vector<Tensor>{label, scores};
  }
  mutable int asked = 0;  // rows

 private:
  Toy toy_;
  std::vector<TensorInfo> inputs_, outputs_;
};

// Endpoints by name, as a snapshot would hold them.
class World {
 public:
  LivePtr add(const std::string& name, Toy toy, int64_t revision = 1) {
    auto live = std::make_shared<LiveEndpoint>();
    live->name = name;
    live->revision = {.endpoint = name, .number = revision, .model_name = name + "-model", .model_version = revision};
    auto model = std::make_unique<ToyModel>(std::move(toy));
    models[name] = model.get();
    live->predictor = *Predictor::over(std::move(model));
    live_[name] = live;
    return live;
  }
  void replace(const std::string& name, const LivePtr& live) { live_[name] = live; }

  base::Result<std::unique_ptr<Predictor>> bind(const Graph& graph) {
    return make_graph_predictor(graph, [this](const GraphStep& step) -> base::Result<LivePtr> {
      const auto found = live_.find(step.endpoint);
      if (found == live_.end()) return base::fail(base::Code::kUnavailable, "it serves nothing yet");
      return found->second;
    });
  }
  std::map<std::string, const ToyModel*> models;

 private:
  std::map<std::string, LivePtr> live_;
};

Tensor rows_of(const std::vector<std::vector<double>>& rows, std::string name = "x") {
  Tensor out{.name = std::move(name), .type = DataType::kFp64};
  out.shape = {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())};
  for (const auto& row : rows)
    for (const double cell : row) append_number(out, cell);
  return out;
}

std::string why(const Graph& graph) {
  const auto done = check(graph);
  return done ? "" : done.error().message;
}

Prediction ask(const Predictor& graph, const Tensor& rows, const Call& call = {}) {
  const auto outputs = graph.infer({&rows, 1}, call);
  EXPECT_TRUE(outputs) << outputs.error().message;
  return outputs ? graph.read(*outputs) : Prediction{};
}

const auto kFirst = [](const double* row) { return row[0]; };
const auto kSecond = [](const double* row) { return row[1]; };

TEST(Graph, IsKeptAsTextAndReadBack) {
  Graph graph{
      .nodes = {{"root",
                 Router::kSequence,
                 Combine::kAverage,
                 {{.endpoint = "a"}, {.name = "n", .node = "n", .condition = "response.score < 0.8", .soft = true}}},
                {"n",
                 Router::kEnsemble,
                 Combine::kVote,
                 {{.endpoint = "b", .weight = 2}, {.model = "m", .version = 3, .artifact_root = "r"}}}},
      .columns = {{"country", true}}};
  ASSERT_EQ(why(graph), "");
  const auto back = parse_graph(to_json(graph));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, graph);
}

TEST(Graph, WhatCannotBeIsRefusedWhereItStands) {
  const auto one = [](Router router, std::vector<GraphStep> steps) {
    return why(Graph{.nodes = {{"root", router, Combine::kAverage, std::move(steps)}}});
  };
  EXPECT_THAT(why({}), HasSubstr("0 nodes"));
  EXPECT_THAT(why({.nodes = {{"start", Router::kSequence, Combine::kAverage, {{.endpoint = "a"}}}}}),
              HasSubstr("'root'"));
  EXPECT_THAT(one(Router::kSequence, {}), HasSubstr("0 steps"));
  EXPECT_THAT(one(Router::kSequence, {{.name = "x"}}), HasSubstr("step 1: names 0 targets"));
  EXPECT_THAT(one(Router::kSequence, {{.endpoint = "a", .node = "b"}}), HasSubstr("names 2 targets"));
  EXPECT_THAT(one(Router::kSequence, {{.node = "b"}}), HasSubstr("no node 'b'"));
  EXPECT_THAT(one(Router::kSequence, {{.node = "root"}}), HasSubstr("in a cycle: root → root"));
  EXPECT_THAT(one(Router::kSequence, {{.endpoint = "a"}, {.endpoint = "a"}}), HasSubstr("another step 'a'"));
  EXPECT_THAT(one(Router::kSequence, {{.endpoint = "a", .condition = "x > 1"}}), HasSubstr("first step of a sequence"));
  EXPECT_THAT(one(Router::kSequence, {{.endpoint = "a"}, {.endpoint = "b", .condition = "x >"}}),
              HasSubstr("step 2: condition: at character 4"));
  EXPECT_THAT(one(Router::kSequence, {{.endpoint = "a", .response = true}}), HasSubstr("$response"));
  EXPECT_THAT(one(Router::kSequence, {{.endpoint = "a", .soft = true}}), HasSubstr("soft"));
  EXPECT_THAT(one(Router::kSwitch, {{.endpoint = "a"}, {.endpoint = "b"}}),
              HasSubstr("step 1: a step of a switch needs"));
  EXPECT_THAT(one(Router::kSwitch, {{.endpoint = "a", .condition = "response.label == 1"}}),
              HasSubstr("no answer before"));
  EXPECT_THAT(one(Router::kSplitter, {{.endpoint = "a", .weight = 50}, {.endpoint = "b", .weight = 40}}),
              HasSubstr("add up to 100"));
  EXPECT_THAT(one(Router::kEnsemble, {{.endpoint = "a", .condition = "x > 1"}}), HasSubstr("no condition"));
  EXPECT_THAT(one(Router::kEnsemble, {{.endpoint = "a", .weight = -1}}), HasSubstr("from 0"));
  EXPECT_THAT(one(Router::kSequence, {{.model = "m"}}), HasSubstr("with its version"));
  EXPECT_THAT(why({.nodes = {{"root", Router::kSequence, Combine::kAverage, {{.endpoint = "a"}}},
                             {"lost", Router::kSequence, Combine::kAverage, {{.endpoint = "a"}}}}}),
              HasSubstr("'lost': is not reached"));
  // Ways multiply: 16 steps in each of eight nodes would be 16^8.
  Graph wide;
  for (size_t depth = 0; depth < kMaxGraphDepth; ++depth) {
    GraphNode node{.name = depth == 0 ? "root" : "n" + std::to_string(depth), .router = Router::kEnsemble};
    for (size_t i = 0; i < kMaxGraphSteps; ++i) {
      GraphStep step{.name = "s" + std::to_string(i)};
      (depth + 1 < kMaxGraphDepth ? step.node : step.endpoint) =
          depth + 1 < kMaxGraphDepth ? "n" + std::to_string(depth + 1) : "a";
      node.steps.push_back(step);
    }
    wide.nodes.push_back(node);
  }
  EXPECT_THAT(why(wide), HasSubstr("more than 64 steps"));
  Graph deep;
  for (size_t depth = 0; depth <= kMaxGraphDepth; ++depth) {
    GraphNode node{.name = depth == 0 ? "root" : "n" + std::to_string(depth)};
    GraphStep step;
    (depth < kMaxGraphDepth ? step.node : step.endpoint) =
        depth < kMaxGraphDepth ? "n" + std::to_string(depth + 1) : "a";
    node.steps = {step};
    deep.nodes.push_back(node);
  }
  EXPECT_THAT(why(deep), HasSubstr("deeper than 8"));
}

TEST(Graph, ASequenceEndsForEachRowWhereItsConditionDoesNotHold) {
  World world;
  world.add("screen", {.score = kFirst});
  world.add("expert", {.score = kSecond});
  const Graph graph{.nodes = {{"root",
                               Router::kSequence,
                               Combine::kAverage,
                               {{.endpoint = "screen"}, {.endpoint = "expert", .condition = "response.score < 0.8"}}}}};
  const auto bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  EXPECT_EQ((*bound)->features()[1].name, "b");
  EXPECT_EQ((*bound)->model().platform(), "inference_graph");
  std::string text;
  const auto answer = ask(**bound, rows_of({{0.9, 0.1}, {0.6, 0.1}, {0.05, 0.9}, {0.4, 0.9}}), {.route = &text});
  EXPECT_THAT(answer.labels, ElementsAre("yes", "no", "no", "yes"));  // rows 1 and 3 go on to the expert
  EXPECT_EQ(world.models["expert"]->asked, 2);
  EXPECT_EQ(answer.scores[1], 0.9);
  EXPECT_EQ(answer.scores[2 * 3 + 1], 0.9);
  const auto route = parse_route(text);
  ASSERT_TRUE(route) << text;
  ASSERT_EQ(route->steps.size(), 2U);
  EXPECT_EQ(route->steps[1].path, "root/expert");
  EXPECT_TRUE(route->steps[1].ran);
  ask(**bound, rows_of({{0.9, 0.1}}), {.route = &text});
  EXPECT_FALSE(parse_route(text)->steps[1].ran);
  // One row at a time gives the same as all at once.
  for (const auto& [row, label] : std::map<double, std::string>{{0.9, "yes"}, {0.6, "no"}})
    EXPECT_THAT(ask(**bound, rows_of({{row, 0.1}})).labels, ElementsAre(label));
}

TEST(Graph, ASwitchSendsEachRowToTheFirstStepThatTakesIt) {
  World world;
  world.add("low", {.score = kFirst});
  world.add("high", {.score = kSecond});
  Graph graph{.nodes = {{"root",
                         Router::kSwitch,
                         Combine::kAverage,
                         {{.endpoint = "high", .condition = "a + b > 1 and header['x-tier'] != 'free'"},
                          {.endpoint = "low"}}}}};
  const auto bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  const auto header = [](std::string_view value) {
    return [value](std::string_view name) { return name == "x-tier" ? value : std::string_view(); };
  };
  const Tensor rows = rows_of({{0.1, 0.95}, {0.2, 0.3}, {0.9, 0.2}});
  EXPECT_THAT(ask(**bound, rows, {.header = header("gold")}).labels, ElementsAre("yes", "no", "no"));
  EXPECT_THAT(ask(**bound, rows, {.header = header("free")}).labels, ElementsAre("no", "no", "yes"));
  graph.nodes[0].steps.pop_back();
  const auto some = world.bind(graph);
  const auto none = (*some)->infer({&rows, 1}, {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, base::Code::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("row 1"));
}

TEST(Graph, AnEnsembleAveragesVotesAndMerges) {
  World world;
  world.add("one", {.score = kFirst});
  world.add("two", {.score = kSecond});
  world.add("three", {.score = [](const double*) { return 0.9; }});
  Graph graph{
      .nodes = {
          {"root", Router::kEnsemble, Combine::kAverage, {{.endpoint = "one"}, {.endpoint = "two", .weight = 3}}}}};
  auto bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  auto answer = ask(**bound, rows_of({{1, 0}, {0, 1}}));
  EXPECT_THAT(answer.labels, ElementsAre("no", "yes"));
  EXPECT_THAT(answer.scores, ElementsAre(0.75, 0.25, 0.25, 0.75));
  graph.nodes[0].combine = Combine::kVote;
  graph.nodes[0].steps = {{.endpoint = "one"}, {.endpoint = "two"}, {.endpoint = "three"}};
  bound = world.bind(graph);
  answer = ask(**bound, rows_of({{1, 0}, {0, 0}, {1, 1}}));
  EXPECT_THAT(answer.labels, ElementsAre("yes", "no", "yes"));
  EXPECT_NEAR(answer.scores[0], 2.0 / 3, 1e-12);
  graph.nodes[0].combine = Combine::kMerge;
  bound = world.bind(graph);
  EXPECT_EQ((*bound)->outputs().size(), 6U);
  EXPECT_EQ((*bound)->outputs()[2].name, "two.label");
  EXPECT_THAT(ask(**bound, rows_of({{1, 0}})).labels, IsEmpty());
  world.add("v1", {.score = kFirst, .value = true});
  world.add("v2", {.score = kSecond, .value = true});
  graph.nodes[0] = {"root", Router::kEnsemble, Combine::kAverage, {{.endpoint = "v1"}, {.endpoint = "v2"}}};
  bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  EXPECT_EQ((*bound)->outputs()[0].name, "value");
  EXPECT_THAT(ask(**bound, rows_of({{1, 2}, {3, 5}})).labels, ElementsAre("1.5", "4.0"));
  graph.nodes[0].combine = Combine::kVote;
  EXPECT_THAT(world.bind(graph).error().message, HasSubstr("average"));
  graph.nodes[0] = {"root", Router::kEnsemble, Combine::kAverage, {{.endpoint = "v1"}, {.endpoint = "one"}}};
  EXPECT_THAT(world.bind(graph).error().message, HasSubstr("same classes"));
}

TEST(Graph, ASoftStepThatFailsCountsAsNotThere) {
  World world;
  world.add("good", {.score = kFirst});
  world.add("bad", {.score = kSecond, .fails = true});
  Graph graph{
      .nodes = {
          {"root", Router::kEnsemble, Combine::kAverage, {{.endpoint = "good"}, {.endpoint = "bad", .soft = true}}}}};
  EXPECT_THAT(ask(**world.bind(graph), rows_of({{1, 0}})).labels, ElementsAre("yes"));
  graph.nodes[0].router = Router::kSequence;
  EXPECT_THAT(ask(**world.bind(graph), rows_of({{1, 0}})).labels, ElementsAre("yes"));
  graph.nodes[0].steps[1].soft = false;
  const auto bound = world.bind(graph);
  const Tensor rows = rows_of({{1, 0}});
  const auto failed = (*bound)->infer({&rows, 1}, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, base::Code::kUnavailable);
  EXPECT_THAT(failed.error().message, HasSubstr("step 'root/bad': the toy is broken"));
}

TEST(Graph, ASplitterKeepsAKeyAndItsWeights) {
  World world;
  world.add("a", {.score = [](const double*) { return 1; }});
  world.add("b", {.score = [](const double*) { return 0; }});
  const Graph graph{.nodes = {{"root",
                               Router::kSplitter,
                               Combine::kAverage,
                               {{.endpoint = "a", .weight = 80}, {.endpoint = "b", .weight = 20}}}}};
  const auto bound = world.bind(graph);
  const Tensor row = rows_of({{0, 0}});
  int of_a = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string key = "request-" + std::to_string(i);
    std::string text;
    const auto first = ask(**bound, row, {.key = key, .route = &text}).labels;
    of_a += first[0] == "yes";
    if (i % 50 != 0) continue;
    EXPECT_EQ(ask(**bound, row, {.key = key}).labels, first);
    const auto route = parse_route(text);  // and once more without the key
    EXPECT_EQ(ask(**bound, row, {.follow = &*route}).labels, first);
  }
  EXPECT_NEAR(of_a, 1600, 80);
}

TEST(Graph, ModelsAreGivenTheirColumnsByName) {
  World world;
  world.add("ab", {.columns = {"a", "b"}, .score = kFirst});
  world.add("ba", {.columns = {"b", "a"}, .score = kFirst});  // its first column is b
  world.add("c", {.columns = {"c"}, .score = kFirst});
  Graph graph{.nodes = {{"root",
                         Router::kSwitch,
                         Combine::kAverage,
                         {{.endpoint = "ab", .condition = "country == 'CH'"},
                          {.endpoint = "ba", .condition = "c > 0.5"},
                          {.endpoint = "c"}}}},
              .columns = {{"country", true}}};
  const auto bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  std::vector<std::string> names;
  for (const auto& feature : (*bound)->features()) names.push_back(feature.name);
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "country"));
  stats::Table table;
  table.columns = {{"a", stats::Numbers{1, 1, 1}},
                   {"b", stats::Numbers{0, 0, 0}},
                   {"c", stats::Numbers{0.9, 0.9, 0.2}},
                   {"country", stats::Texts{"CH", "DE", "DE"}}};
  const auto tensors = (*bound)->tensors_of(table);
  ASSERT_TRUE(tensors) << tensors.error().message;
  const auto outputs = (*bound)->infer(*tensors);
  ASSERT_TRUE(outputs) << outputs.error().message;
  EXPECT_THAT((*bound)->read(*outputs).labels, ElementsAre("yes", "no", "no"));
  graph.nodes[0].steps[0].condition = "contry == 'CH'";
  EXPECT_THAT(world.bind(graph).error().message, HasSubstr("no column 'contry'; its columns: a, b, c, country"));
  graph.nodes[0].steps[0].condition = "country > 3";
  EXPECT_THAT(world.bind(graph).error().message, HasSubstr("column 'country' is text"));
}

TEST(Graph, AnAnswerCanBeTheNextStepsRequest) {
  World world;
  world.add("first", {.columns = {"a", "b"}, .score = kFirst});
  world.add("second", {.columns = {"probabilities_0", "probabilities_1"}, .score = kFirst});
  const Graph graph{.nodes = {{"root",
                               Router::kSequence,
                               Combine::kAverage,
                               {{.endpoint = "first"}, {.endpoint = "second", .response = true}}}}};
  const auto bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  EXPECT_THAT(ask(**bound, rows_of({{0.9, 0}, {0.2, 0}})).labels, ElementsAre("no", "yes"));
  world.add("third", {.columns = {"probabilities_0", "elsewhere"}, .score = kFirst});
  const Graph wrong{.nodes = {{"root",
                               Router::kSequence,
                               Combine::kAverage,
                               {{.endpoint = "first"}, {.endpoint = "third", .response = true}}}}};
  EXPECT_THAT(world.bind(wrong).error().message, HasSubstr("takes a column 'elsewhere'"));
}

TEST(Graph, ADividedEndpointAnswersAsItsTrafficSays) {
  World world;
  const auto first = world.add("a", {.score = [](const double*) { return 1; }}, 1);
  const auto second = world.add("a", {.score = [](const double*) { return 0; }}, 2);
  auto divided = std::make_shared<LiveEndpoint>(*first);
  auto split = std::make_shared<LiveSplit>();
  split->parts = {{5000, nullptr}, {kWholeShare, second}};
  split->sticky = "x-user";
  divided->split = split;
  world.replace("a", divided);
  const Graph graph{.nodes = {{"root", Router::kSequence, Combine::kAverage, {{.endpoint = "a"}}}}};
  const auto bound = world.bind(graph);
  ASSERT_TRUE(bound) << bound.error().message;
  std::map<std::string, std::string> seen;
  for (int i = 0; i < 40; ++i) {
    const std::string user = "user" + std::to_string(i), request = "r" + std::to_string(i);
    std::string text;
    const auto labels =
        ask(**bound, rows_of({{0, 0}}),
            {.key = request, .header = [&](std::string_view) { return std::string_view(user); }, .route = &text})
            .labels;
    seen[labels[0]] = std::to_string(parse_route(text)->steps[0].revision);
    EXPECT_EQ(ask(**bound, rows_of({{0, 0}}),
                  {.key = "another", .header = [&](std::string_view) { return std::string_view(user); }})
                  .labels,
              labels);
  }
  EXPECT_EQ(seen, (std::map<std::string, std::string>{{"yes", "1"}, {"no", "2"}}));
}

TEST(Graph, WhatIsNotThereOrTooLateSaysSo) {
  World world;
  world.add("a", {.score = kFirst});
  const Graph graph{.nodes = {{"root", Router::kSequence, Combine::kAverage, {{.endpoint = "a"}, {.endpoint = "b"}}}}};
  const auto missing = world.bind(graph);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("step 'b': it serves nothing yet"));
  const Graph fine{.nodes = {{"root", Router::kSequence, Combine::kAverage, {{.endpoint = "a"}}}}};
  const auto bound = world.bind(fine);
  const Tensor rows = rows_of({{1, 0}}), other = rows_of({{1, 0, 3}}), none = rows_of({{1, 0}}, "y");
  EXPECT_EQ((*bound)->infer({&rows, 1}, {.deadline_mono_us = 1}).error().code, base::Code::kDeadline);
  EXPECT_EQ((*bound)->infer({&other, 1}, {}).error().code, base::Code::kInvalid);
  EXPECT_THAT((*bound)->infer({&none, 1}, {}).error().message, HasSubstr("'x' is missing"));
}

}  // namespace
}  // namespace serve
