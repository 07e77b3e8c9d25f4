#include "serve/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "serve/onnx_file.h"
#include "serve/test_models.h"

namespace serve {
namespace {

using testing::HasSubstr;

std::unique_ptr<Predictor> load(const std::string& name, stats::Transform transform = {}) {
  auto loaded = Predictor::load(test_models() / name, std::move(transform));
  EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
  return loaded ? std::move(*loaded) : nullptr;
}

std::string load_error(const std::string& name, stats::Transform transform = {}) {
  auto loaded = Predictor::load(test_models() / name, std::move(transform));
  return loaded ? "" : loaded.error().message;
}

base::json::object expected(const char* key) {
  const std::string text = base::read_file(test_models() / "expected.json").value();
  return base::parse_json(text)->as_object().at(key).as_object();
}

std::vector<double> flat(const base::json::value& value) {
  std::vector<double> out;
  if (!value.is_array()) return {value.to_number<double>()};
  for (const auto& item : value.as_array()) {
    for (double number : flat(item)) out.push_back(number);
  }
  return out;
}

std::vector<std::string> texts(const base::json::value& value) {
  std::vector<std::string> out;
  for (const auto& item : value.as_array()) {
    out.push_back(item.is_string() ? std::string(item.as_string()) : std::to_string(item.to_number<int64_t>()));
  }
  return out;
}

Tensor floats(std::string name, std::vector<int64_t> shape, const std::vector<double>& values) {
  Tensor tensor{.name = std::move(name), .type = DataType::kFp32, .shape = std::move(shape)};
  for (double value : values) append_number(tensor, value);
  return tensor;
}

stats::Table iris_table(const std::vector<double>& rows, const std::vector<std::string>& names) {
  stats::Table table;
  for (size_t c = 0; c < names.size(); ++c) {
    stats::Numbers column;
    for (size_t i = c; i < rows.size(); i += names.size()) column.push_back(rows[i]);
    table.columns.push_back({names[c], std::move(column)});
  }
  return table;
}

TEST(Model, AgreesWithScikitLearn) {
  const auto want = expected("iris");
  const auto rows = flat(want.at("rows"));
  auto predictor = load("iris");
  ASSERT_TRUE(predictor);
  EXPECT_EQ(predictor->inputs().size(), 1u);
  EXPECT_FALSE(predictor->applies_transform());
  EXPECT_TRUE(predictor->features_named());
  const Tensor input = floats(predictor->inputs()[0].name, {static_cast<int64_t>(rows.size() / 4), 4}, rows);
  auto outputs = predictor->infer({&input, 1});
  ASSERT_TRUE(outputs) << outputs.error().message;
  const Prediction read = predictor->read(*outputs);
  EXPECT_EQ(read.labels, texts(want.at("labels")));
  EXPECT_EQ(predictor->model().classes(), (std::vector<std::string>{"0", "1", "2"}));
  const auto scores = flat(want.at("scores"));
  ASSERT_EQ(read.scores.size(), scores.size());
  for (size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(read.scores[i], scores[i], 1e-5);
  // The same through named columns, in another order and with one too many.
  stats::Table table = iris_table(rows, texts(want.at("names")));
  std::ranges::reverse(table.columns);
  table.columns.push_back({"extra", stats::Numbers(rows.size() / 4, 1.0)});
  const auto predicted = predictor->predict(table);
  EXPECT_EQ(predicted->labels, read.labels);
  EXPECT_EQ(predicted->classes, predictor->model().classes());
}

TEST(Model, ZipMapAnswersAsTensor) {
  const auto want = expected("iris_zipmap");
  const auto rows = flat(expected("iris").at("rows"));
  auto predictor = load("iris_zipmap");
  ASSERT_TRUE(predictor);
  const Tensor input = floats(predictor->inputs()[0].name, {static_cast<int64_t>(rows.size() / 4), 4}, rows);
  auto outputs = predictor->infer({&input, 1});
  ASSERT_TRUE(outputs) << outputs.error().message;
  EXPECT_EQ((*outputs)[1].shape, (std::vector<int64_t>{15, 3}));
  const Prediction read = predictor->read(*outputs);
  EXPECT_EQ(read.labels, texts(want.at("labels")));
  EXPECT_EQ(predictor->model().classes(), (std::vector<std::string>{"setosa", "versicolor", "virginica"}));
  const auto scores = flat(want.at("scores"));
  for (size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(read.scores[i], scores[i], 1e-5);
}

TEST(Model, RegressorAnswersItsValue) {
  const auto want = expected("diabetes");
  const auto rows = flat(want.at("rows"));
  auto predictor = load("diabetes");
  const Tensor input = floats(predictor->inputs()[0].name, {5, 10}, rows);
  const Prediction read = predictor->read(*predictor->infer({&input, 1}));
  const auto values = flat(want.at("values"));
  ASSERT_EQ(read.labels.size(), values.size());
  EXPECT_TRUE(read.scores.empty());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(std::stod(read.labels[i]), values[i], 1e-2);
}

TEST(Model, ScoresAloneNameTheHighest) {
  auto predictor = load("scores_only");
  const Tensor input = floats("x", {2, 3}, {0, 5, 1, 9, 0, 0});
  const Prediction read = predictor->read(*predictor->infer({&input, 1}));
  EXPECT_EQ(read.labels, (std::vector<std::string>{"1", "0"}));
}

TEST(Model, AnImageIsNobodysScores) {
  auto predictor = load("echo_fp32");
  const std::string in = predictor->inputs()[0].name;
  for (const size_t width : {size_t{1000}, size_t{100'000}}) {
    std::vector<double> values(width, 0.25);
    values[700] = 0.5;
    const Tensor input = floats(in, {1, static_cast<int64_t>(width)}, values);
    const auto outputs = predictor->infer({&input, 1});
    ASSERT_TRUE(outputs);
    EXPECT_EQ((*outputs)[0].bytes, input.bytes);
    const Prediction read = predictor->read(*outputs);
    EXPECT_EQ(read.scores.size(), width == 1000 ? width : 0);
    if (width == 1000) EXPECT_EQ(read.labels, std::vector<std::string>{"700"});
  }
}

TEST(Model, OneInputPerColumnWithText) {
  const auto want = expected("mixed");
  stats::Table table;
  table.columns.push_back({"weight", flat(want.at("weight"))});
  stats::Texts colours;
  for (const auto& text : texts(want.at("colour"))) colours.emplace_back(text);
  table.columns.push_back({"colour", colours});
  table.columns.push_back({"size", flat(want.at("size"))});
  auto predictor = load("mixed");
  ASSERT_EQ(predictor->features().size(), 3u);
  EXPECT_TRUE(predictor->features_named());
  auto prediction = predictor->predict(table);
  ASSERT_TRUE(prediction) << prediction.error().message;
  EXPECT_EQ(prediction->labels, texts(want.at("labels")));
  const auto tensors = predictor->tensors_of(table);
  RawRows rows;
  predictor->rows_of(*tensors, rows);
  EXPECT_EQ(rows.count, 15u);
  EXPECT_EQ(rows.numbers.size(), 30u);
  EXPECT_EQ(rows.texts, texts(want.at("colour")));
}

TEST(Model, EveryDataTypeEchoes) {
  for (int t = 0; t <= static_cast<int>(DataType::kBytes); ++t) {
    const auto type = static_cast<DataType>(t);
    std::string word(name(type));
    for (char& c : word) c = static_cast<char>(std::tolower(c));
    auto predictor = load("echo_" + word);
    ASSERT_TRUE(predictor) << word;
    Tensor input{.name = "in", .type = type, .shape = {1, 2}};
    if (type == DataType::kBytes) {
      input.strings = {"caf\xc3\xa9", std::string("a\0b", 3)};
    } else {
      ASSERT_TRUE(append_number(input, 1));
      ASSERT_TRUE(append_number(input, 0));
    }
    auto outputs = predictor->infer({&input, 1});
    ASSERT_TRUE(outputs) << word << ": " << outputs.error().message;
    EXPECT_EQ((*outputs)[0].type, type);
    EXPECT_EQ((*outputs)[0].bytes, input.bytes) << word;
    EXPECT_EQ((*outputs)[0].strings, input.strings);
  }
}

TEST(Model, WrongInputsAreToldApart) {
  auto predictor = load("iris");
  const auto error = [&](const std::vector<Tensor>& inputs) {
    auto outputs = predictor->infer(inputs);
    EXPECT_FALSE(outputs);
    if (outputs) return std::string();
    EXPECT_EQ(outputs.error().code, base::Code::kInvalid);
    return outputs.error().message;
  };
  const std::string in = predictor->inputs()[0].name;
  EXPECT_THAT(error({}), HasSubstr("takes 1 input"));
  EXPECT_THAT(error({floats("nope", {1, 4}, {1, 2, 3, 4})}), HasSubstr("'" + in + "' is missing"));
  EXPECT_THAT(error({floats(in, {1, 5}, {1, 2, 3, 4, 5})}), HasSubstr("must have shape [-1,4], found [1,5]"));
  EXPECT_THAT(error({floats(in, {4}, {1, 2, 3, 4})}), HasSubstr("must have shape"));
  EXPECT_THAT(error({floats(in, {2, 4}, {1, 2, 3, 4})}), HasSubstr("needs 8 elements, found 4"));
  EXPECT_THAT(error({floats(in, {int64_t{1} << 62, 4}, {1})}), HasSubstr("more than"));
  EXPECT_THAT(error({floats(in, {-1, 4}, {1})}), HasSubstr("negative dimension"));
  Tensor doubles{.name = in, .type = DataType::kFp64, .shape = {1, 4}, .bytes = std::string(32, 0)};
  EXPECT_THAT(error({doubles}), HasSubstr("must be FP32, found FP64"));
}

TEST(Model, ExternalTensorsStayInside) {
  auto inside = load("external");
  const Tensor input = floats("x", {1, 4}, {1, 1, 1, 1});
  EXPECT_EQ(number_at((*inside->infer({&input, 1}))[0], 3), 4.0);
  EXPECT_THAT(load_error("external_escape"), HasSubstr("not a plain relative path"));
  EXPECT_THAT(load_error("external_absolute"), HasSubstr("not a plain relative path"));
  EXPECT_THAT(load_error("external_link"), HasSubstr("through a link"));
  EXPECT_THAT(load_error("external_missing"), HasSubstr("does not exist"));
}

TEST(Model, BadFoldersNameTheCure) {
  EXPECT_THAT(load_error("broken"), HasSubstr("not an ONNX file, or it is cut off"));
  EXPECT_THAT(load_error("sklearn_flavor"), HasSubstr("mlflow.onnx.log_model"));
  EXPECT_THAT(load_error("no_such"), HasSubstr("no_such"));
}

TEST(Model, ScannerSurvivesEveryCut) {
  const std::string bytes = base::read_file(test_models() / "endless/model.onnx").value();
  for (size_t i = 0; i < bytes.size(); ++i) (void)scan_onnx(std::string_view(bytes).substr(0, i));
  std::string flipped = bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    flipped[i] = static_cast<char>(~flipped[i]);
    (void)scan_onnx(flipped);
    flipped[i] = bytes[i];
  }
}

stats::Transform scaling(const stats::Table& train, const std::vector<std::string>& features) {
  stats::TransformSpec spec;
  for (const auto& feature : features) {
    spec.fill.push_back({feature, stats::FillKind::kMean, ""});
    spec.scale.push_back({feature, stats::ScaleKind::kStandard});
  }
  auto fitted = stats::Transform::fit(spec, train, features);
  EXPECT_TRUE(fitted);
  return std::move(*fitted);
}

TEST(Predictor, AppliesTheTransformOnce) {
  const auto want = expected("iris");
  const auto rows = flat(want.at("rows"));
  const auto names = texts(want.at("names"));
  const stats::Table raw = iris_table(rows, names);
  const stats::Transform transform = scaling(raw, names);

  auto plain = load("iris");
  auto with = load("iris", transform);
  ASSERT_TRUE(with->applies_transform());
  EXPECT_EQ(with->inputs()[0].type, DataType::kFp64);
  EXPECT_EQ(with->inputs()[0].shape, (std::vector<int64_t>{-1, 4}));
  // Raw rows through the predictor = transformed rows through the model.
  auto by_hand = plain->predict(transform.apply(raw).value());
  auto through = with->predict(raw);
  ASSERT_TRUE(through) << through.error().message;
  EXPECT_EQ(through->labels, by_hand->labels);
  EXPECT_EQ(through->scores, by_hand->scores);
  // Tensors of any numeric type give the same, and capture sees the raw values.
  Tensor input = floats(with->inputs()[0].name, {1, 4}, {rows.begin(), rows.begin() + 4});
  auto outputs = with->infer({&input, 1});
  ASSERT_TRUE(outputs) << outputs.error().message;
  EXPECT_EQ(with->read(*outputs).labels[0], through->labels[0]);
  RawRows seen;
  with->rows_of({&input, 1}, seen);
  EXPECT_EQ(seen.numbers, (std::vector<double>{rows.begin(), rows.begin() + 4}));
  // A missing value is filled.
  Tensor missing{.name = input.name, .type = DataType::kFp64, .shape = {1, 4}};
  for (double value : {std::nan(""), 3.0, 1.4, 0.2}) append_number(missing, value);
  EXPECT_TRUE(with->infer({&missing, 1}));
}

TEST(Predictor, AModelThatContainsItsPreparationGetsRawRows) {
  const auto want = expected("iris");
  const stats::Table raw = iris_table(flat(want.at("rows")), texts(want.at("names")));
  auto included = load("iris_included", scaling(raw, texts(want.at("names"))));
  EXPECT_FALSE(included->applies_transform());
  EXPECT_EQ(included->predict(raw)->labels, texts(want.at("labels")));
}

TEST(Predictor, OneHotTextReachesTheModelAsColumns) {
  stats::Table train;
  train.columns.push_back({"size", stats::Numbers{1, 2, 3}});
  train.columns.push_back({"colour", stats::Texts{"red", "green", "blue"}});
  stats::TransformSpec spec;
  spec.one_hot = {"colour"};
  auto transform = stats::Transform::fit(spec, train, {"size", "colour"});
  ASSERT_TRUE(transform);
  auto predictor = load("iris_bare", *transform);  // four columns: size and three colours
  ASSERT_EQ(predictor->inputs().size(), 2u);
  EXPECT_EQ(predictor->inputs()[1].type, DataType::kBytes);
  EXPECT_EQ(predictor->predict(train)->labels.size(), 3u);
}

TEST(Predictor, WidthThatDoesNotFitIsRefusedAtLoad) {
  stats::Table train;
  train.columns.push_back({"a", stats::Numbers{1, 2, 3}});
  EXPECT_THAT(load_error("iris", scaling(train, {"a"})), HasSubstr("gives 1 columns"));
}

TEST(Predictor, RowErrorsNameTheColumn) {
  auto predictor = load("iris");
  stats::Table table;
  table.columns.push_back({"sepal_length", stats::Numbers{1}});
  EXPECT_THAT(predictor->predict(table).error().message, HasSubstr("column 'sepal_width' is missing"));
  for (const char* name : {"sepal_width", "petal_length"}) table.columns.push_back({name, stats::Numbers{1}});
  table.columns.push_back({"petal_width", stats::Texts{"wide"}});
  EXPECT_THAT(predictor->predict(table).error().message,
              HasSubstr("column 'petal_width', row 0: must be a number, found text 'wide'"));
  table.columns.back().values = stats::Numbers{1e300};
  EXPECT_THAT(predictor->predict(table).error().message, HasSubstr("does not fit FP32"));
}

TEST(Tensor, HalvesMatchTheirDefinition) {
  EXPECT_EQ(to_half(1.0f), 0x3c00);
  EXPECT_EQ(to_half(65504.0f), 0x7bff);
  EXPECT_EQ(to_half(65520.0f), 0x7c00);
  EXPECT_EQ(to_half(5.9604645e-8f), 1);
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = from_half(half);
    if (!std::isnan(value)) EXPECT_EQ(to_half(value), half);
    const float wide = from_bfloat(half);
    if (!std::isnan(wide)) EXPECT_EQ(to_bfloat(wide), half);
  }
}

TEST(Tensor, IntegersRefuseWhatDoesNotFit) {
  Tensor tensor{.type = DataType::kInt8};
  EXPECT_TRUE(append_number(tensor, -128));
  EXPECT_FALSE(append_number(tensor, 128));
  EXPECT_FALSE(append_number(tensor, 0.5));
  EXPECT_FALSE(append_number(tensor, std::nan("")));
  Tensor wide{.type = DataType::kInt64};
  EXPECT_FALSE(append_number(wide, 9223372036854775808.0));
  EXPECT_TRUE(append_number(wide, -9223372036854775808.0));
}

}  // namespace
}  // namespace serve
