#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "serve/mlmodel.h"
#include "serve/model.h"

namespace serve {
namespace {

constexpr size_t kMostClasses = 1 << 16;  // a wider answer is an image, a signal: nobody's scores
constexpr size_t kPredictRows = 1024;     // rows in one run of predict(): bounds the memory of outputs

// number_at() of the first `count` values, after what `out` holds.
void append_numbers(const Tensor& tensor, size_t count, std::vector<double>& out) {
  const size_t begin = out.size();
  out.resize(begin + count);
  const auto convert = [&]<class T>(T value) {
    const char* at = tensor.bytes.data();
    for (size_t i = 0; i < count; ++i, at += sizeof value) {
      std::memcpy(&value, at, sizeof value);
      out[begin + i] = static_cast<double>(value);
    }
  };
  switch (tensor.type) {
    case DataType::kFp32: return convert(float{});
    case DataType::kFp64: return convert(double{});
    case DataType::kInt64: return convert(int64_t{});
    default:
      for (size_t i = 0; i < count; ++i) out[begin + i] = number_at(tensor, i);
  }
}

// Columns of an input per row: 1 for a vector, the product of the other dimensions else; nullopt if that is open.
std::optional<size_t> columns_of(const TensorInfo& info) {
  size_t columns = 1;
  for (size_t i = 1; i < info.shape.size(); ++i) {
    if (info.shape[i] < 0) return std::nullopt;
    columns *= static_cast<size_t>(info.shape[i]);
  }
  return columns;
}

// A dense numeric batch as a tensor of `info`; fails on a value that its type cannot hold.
base::Result<void> fill_numbers(Tensor& tensor, const TensorInfo& info, const std::string& column, double value,
                                size_t row) {
  if (append_number(tensor, value)) return {};
  std::string shown;
  Tensor as_double{.type = DataType::kFp64};
  append_number(as_double, value);
  shown = text_at(as_double, 0);
  return base::invalid("column '" + column + "', row " + std::to_string(row) + ": " + shown + " does not fit " +
                       std::string(name(info.type)));
}

class ModelPredictor final : public Predictor {
 public:
  ModelPredictor(std::unique_ptr<Model> model, stats::Transform transform)
      : model_(std::move(model)),
        transform_(std::move(transform)),
        roles_(find_roles(model_->outputs())),
        answers_(model_->answers()),
        many_values_(model_->many_values()),
        wants_call_(model_->wants_call()),
        ruled_(!transform_.answer().empty()) {}

  base::Result<void> plan(const ModelFolder& folder);

  const Model& model() const override { return *model_; }
  const stats::Transform& transform() const override { return transform_; }
  bool applies_transform() const override { return applies_; }
  const std::vector<TensorInfo>& inputs() const override { return applies_ ? raw_inputs_ : model_->inputs(); }
  const std::vector<TensorInfo>& outputs() const override { return model_->outputs(); }
  const std::vector<Feature>& features() const override { return features_; }
  bool features_named() const override { return named_; }

  base::Result<std::vector<Tensor>> infer(std::span<const Tensor> inputs, const Call& call) const override;
  base::Result<Prediction> predict(const stats::Table& raw) const override;
  base::Result<std::vector<Tensor>> tensors_of(const stats::Table& raw) const override;
  void rows_of(std::span<const Tensor> inputs, RawRows& rows) const override;
  Prediction read(std::span<const Tensor> outputs) const override;

 private:
  base::Result<void> plan_raw_inputs();
  void name_features(const std::vector<std::string>& names);
  base::Result<std::vector<Tensor>> run_transformed(std::span<const Tensor> inputs, const Call& call) const;
  base::Result<std::vector<Tensor>> run_model(std::span<const Tensor> inputs, const Call& call) const {
    auto outputs = wants_call_ ? model_->run_for(inputs, call) : model_->run(inputs);
    if (ruled_ && outputs) [[unlikely]]
      return by_rule(std::move(*outputs), call);
    return outputs;
  }
  base::Result<std::vector<Tensor>> by_rule(std::vector<Tensor> outputs, const Call& call) const;
  base::Result<void> check_raw(std::span<const Tensor> inputs, size_t& rows) const;
  base::Result<std::vector<Tensor>> model_tensors(const stats::Table& table) const;
  const Tensor* find(std::span<const Tensor> tensors, std::string_view name) const;

  std::unique_ptr<Model> model_;
  stats::Transform transform_;
  OutputRoles roles_;
  Answers answers_ = Answers::kLabels;
  bool many_values_ = false;
  bool wants_call_ = false;
  bool ruled_ = false;  // the version has a rule for its model's answers (stats/answer_rule.h)
  bool applies_ = false;
  bool dense_ = false;  // the transform takes one numeric matrix and the model one matrix
  bool named_ = false;
  std::vector<TensorInfo> raw_inputs_;
  std::vector<Feature> features_;
};

base::Result<void> ModelPredictor::plan(const ModelFolder& folder) {
  applies_ = !transform_.identity() && !folder.transform_included;
  if (ruled_ && (roles_.score < 0 || many_values_))
    return base::invalid(
        "the version's calibration and thresholds are for a model that gives scores; this one has none");
  if (applies_) {
    TRY(plan_raw_inputs());
    return {};
  }
  const std::vector<std::string> own = model_->column_names();
  name_features(!transform_.input_columns().empty() ? transform_.input_columns()
                : !folder.columns.empty()           ? folder.columns
                                                    : own);
  return {};
}

// The transform's columns in front of the model's: one matrix where both are numeric, else one input per raw column.
base::Result<void> ModelPredictor::plan_raw_inputs() {
  const auto& columns = transform_.input_columns();
  const auto& model_inputs = model_->inputs();
  const int64_t outputs = static_cast<int64_t>(transform_.output_columns().size());
  if (model_inputs.size() == 1) {
    const TensorInfo& only = model_inputs[0];
    const auto takes = columns_of(only);
    if (only.type == DataType::kBytes || only.shape.size() != 2 || (takes && static_cast<int64_t>(*takes) != outputs)) {
      return base::invalid(
          "the data's transform gives " + std::to_string(outputs) + " columns, the model's input '" + only.name +
          "' takes " + std::string(name(only.type)) + " " + shape_text(only.shape) +
          "; if the model contains its preparation, log it with metadata {'lathe.transform': 'included'}");
    }
  } else {
    for (const TensorInfo& info : model_inputs) {
      if (std::ranges::find(transform_.output_columns(), info.name) == transform_.output_columns().end()) {
        return base::invalid("the model's input '" + info.name + "' is not a column that the data's transform gives");
      }
    }
  }
  dense_ = transform_.all_inputs_numeric() && model_inputs.size() == 1 && model_inputs[0].type == DataType::kFp32;
  named_ = true;
  for (size_t i = 0; i < columns.size(); ++i) features_.push_back({columns[i], !transform_.input_numeric(i)});
  if (transform_.all_inputs_numeric() && model_inputs.size() == 1) {
    raw_inputs_.push_back({model_inputs[0].name, DataType::kFp64, {-1, static_cast<int64_t>(columns.size())}});
  } else {
    for (const Feature& feature : features_) {
      raw_inputs_.push_back({feature.name, feature.text ? DataType::kBytes : DataType::kFp64, {-1, 1}});
    }
  }
  return {};
}

void ModelPredictor::name_features(const std::vector<std::string>& names) {
  size_t total = 0;
  for (const TensorInfo& info : model_->inputs()) {
    const auto columns = columns_of(info);
    if (!columns) return;  // open width: no row-wise view
    total += *columns;
  }
  bool own_names = model_->inputs().size() > 1;
  for (const TensorInfo& info : model_->inputs()) {
    const size_t columns = *columns_of(info);
    for (size_t i = 0; i < columns; ++i) {
      Feature feature{columns == 1 ? info.name : info.name + "_" + std::to_string(i), info.type == DataType::kBytes};
      if (columns != 1) own_names = false;
      features_.push_back(std::move(feature));
    }
  }
  // A single input called "X" says nothing about its columns; several inputs of one column each are the columns.
  named_ = own_names;
  if (names.size() == total && total > 0 && !own_names) {
    for (size_t i = 0; i < total; ++i) features_[i].name = names[i];
    named_ = true;
  }
}

// Calibrated scores, and the label that they and the thresholds choose.
base::Result<std::vector<Tensor>> ModelPredictor::by_rule(std::vector<Tensor> outputs, const Call& call) const {
  const stats::AnswerRule& rule = transform_.answer();
  const auto place = static_cast<size_t>(roles_.score);
  if (place >= outputs.size()) return base::invalid("the model gave no scores to calibrate");
  Tensor& given = outputs[place];
  const size_t width = rule.classes.size();
  const size_t rows = given.shape.empty() ? 0 : static_cast<size_t>(given.shape[0]);
  if (given.type == DataType::kBytes || given.bytes.size() != rows * width * byte_size(given.type))
    return base::invalid("the model gave scores of shape " + shape_text(given.shape) + "; its calibration is of " +
                         std::to_string(width) + " classes");
  Tensor scores{.name = given.name, .type = given.type, .shape = given.shape};
  std::vector<double> row(width);
  std::vector<size_t> chosen;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t k = 0; k < width; ++k) row[k] = number_at(given, r * width + k);
    rule.calibration.apply(row);
    for (const double score : row) append_number(scores, score);
    chosen.push_back(rule.choose(row));
  }
  given = std::move(scores);
  if (call.shown) call.shown->clear();  // the model's own words no longer hold
  if (roles_.label < 0 || static_cast<size_t>(roles_.label) >= outputs.size()) return outputs;
  Tensor& label = outputs[static_cast<size_t>(roles_.label)];
  label.bytes.clear();
  label.strings.clear();
  for (const size_t k : chosen) {
    const std::string& name = rule.classes[k];
    double number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (label.type == DataType::kBytes)
      label.strings.push_back(name);
    else if (error != std::errc() || end != name.data() + name.size() || !append_number(label, number))
      return base::internal("class '" + name + "' does not fit the model's labels");
  }
  return outputs;
}

const Tensor* ModelPredictor::find(std::span<const Tensor> tensors, std::string_view name) const {
  for (const Tensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

base::Result<std::vector<Tensor>> ModelPredictor::infer(std::span<const Tensor> inputs, const Call& call) const {
  if (!applies_) return run_model(inputs, call);
  return run_transformed(inputs, call);
}

// Raw inputs are looser than a model's: any numeric type is a number, and all inputs have the same number of rows.
base::Result<void> ModelPredictor::check_raw(std::span<const Tensor> inputs, size_t& rows) const {
  if (inputs.size() != raw_inputs_.size()) {
    return base::invalid("the model takes " + std::to_string(raw_inputs_.size()) + " input(s), found " +
                         std::to_string(inputs.size()));
  }
  for (size_t i = 0; i < raw_inputs_.size(); ++i) {
    const TensorInfo& info = raw_inputs_[i];
    const Tensor* given = find(inputs, info.name);
    if (!given) return base::invalid("input '" + info.name + "' is missing");
    TensorInfo wanted = info;
    if (info.type != DataType::kBytes && given->type != DataType::kBytes) wanted.type = given->type;
    TRY(check_tensor(*given, wanted));
    const auto count = static_cast<size_t>(given->shape[0]);
    if (i > 0 && count != rows) {
      return base::invalid("input '" + info.name + "' has " + std::to_string(count) + " rows, '" + raw_inputs_[0].name +
                           "' has " + std::to_string(rows));
    }
    rows = count;
  }
  return {};
}

base::Result<std::vector<Tensor>> ModelPredictor::run_transformed(std::span<const Tensor> inputs,
                                                                  const Call& call) const {
  size_t rows = 0;
  TRY(check_raw(inputs, rows));
  if (dense_) {
    const Tensor& given = inputs[0];
    const size_t cells = rows * features_.size();
    thread_local std::vector<double> numbers;
    numbers.clear();
    const double* data = nullptr;
    if (given.type == DataType::kFp64 && reinterpret_cast<uintptr_t>(given.bytes.data()) % alignof(double) == 0) {
      data = reinterpret_cast<const double*>(given.bytes.data());
    } else {
      append_numbers(given, cells, numbers);
      data = numbers.data();
    }
    const size_t width = transform_.output_columns().size();
    Tensor tensor{.name = model_->inputs()[0].name, .type = DataType::kFp32};
    tensor.shape = {static_cast<int64_t>(rows), static_cast<int64_t>(width)};
    thread_local std::vector<float> ready;
    ready.resize(rows * width);
    transform_.apply_dense(data, rows, ready);
    tensor.bytes.assign(reinterpret_cast<const char*>(ready.data()), ready.size() * sizeof(float));
    return run_model({&tensor, 1}, call);
  }
  RawRows raw;
  rows_of(inputs, raw);
  const auto text_columns = static_cast<size_t>(std::ranges::count_if(features_, &Feature::text));
  const size_t number_columns = features_.size() - text_columns;
  stats::Table table;
  size_t number_column = 0, text_column = 0;
  for (const Feature& feature : features_) {
    stats::Column column{feature.name, {}};
    if (feature.text) {
      stats::Texts texts(rows);
      for (size_t row = 0; row < rows; ++row) {
        const std::string& text = raw.texts[row * text_columns + text_column];
        if (!text.empty()) texts[row] = text;
      }
      column.values = std::move(texts);
      ++text_column;
    } else {
      stats::Numbers numbers(rows);
      for (size_t row = 0; row < rows; ++row) numbers[row] = raw.numbers[row * number_columns + number_column];
      column.values = std::move(numbers);
      ++number_column;
    }
    table.columns.push_back(std::move(column));
  }
  TRY_SET(const stats::Table ready, transform_.apply(table));
  TRY_SET(const std::vector<Tensor> tensors, model_tensors(ready));
  return run_model(tensors, call);
}

// A transformed table as the model's own inputs.
base::Result<std::vector<Tensor>> ModelPredictor::model_tensors(const stats::Table& table) const {
  std::vector<Tensor> out;
  const auto rows = static_cast<int64_t>(table.rows());
  const auto& infos = model_->inputs();
  if (infos.size() == 1) {
    Tensor tensor{
        .name = infos[0].name, .type = infos[0].type, .shape = {rows, static_cast<int64_t>(table.columns.size())}};
    for (size_t row = 0; row < table.rows(); ++row) {
      for (const stats::Column& column : table.columns) {
        if (!column.numeric()) return base::invalid("column '" + column.name + "' is text; the model takes numbers");
        TRY(fill_numbers(tensor, infos[0], column.name, column.numbers()[row], row));
      }
    }
    out.push_back(std::move(tensor));
    return out;
  }
  for (const TensorInfo& info : infos) {
    const stats::Column* column = table.find(info.name);
    if (!column) return base::invalid("column '" + info.name + "' is missing");
    if (column->numeric() == (info.type == DataType::kBytes)) {
      return base::invalid("column '" + info.name + "' must be " +
                           (info.type == DataType::kBytes ? "text" : "numeric"));
    }
    Tensor tensor{.name = info.name, .type = info.type, .shape = {rows, 1}};
    if (info.shape.size() == 1) tensor.shape.pop_back();
    for (size_t row = 0; row < table.rows(); ++row) {
      if (column->numeric()) {
        TRY(fill_numbers(tensor, info, info.name, column->numbers()[row], row));
      } else {
        tensor.strings.push_back(column->texts()[row].value_or(""));
      }
    }
    out.push_back(std::move(tensor));
  }
  return out;
}

base::Result<std::vector<Tensor>> ModelPredictor::tensors_of(const stats::Table& raw) const {
  if (features_.empty()) {
    return base::invalid("the model's inputs have no fixed number of columns; send tensors instead of rows");
  }
  std::vector<const stats::Column*> columns;
  for (size_t i = 0; i < features_.size(); ++i) {
    const Feature& feature = features_[i];
    const stats::Column* column = raw.find(feature.name);
    if (!column && !named_ && raw.columns.size() == features_.size()) column = &raw.columns[i];
    if (!column) {
      return base::invalid("column '" + feature.name + "' is missing" +
                           (named_ ? ""
                                   : "; the model takes " + std::to_string(features_.size()) + " columns, found " +
                                         std::to_string(raw.columns.size())));
    }
    // A numeric column may stand for text ("7" was read as 7 from CSV), never the other way round; a text column with
    // nothing in it is a missing number.
    if (!feature.text && !column->numeric()) {
      for (size_t row = 0; row < column->texts().size(); ++row) {
        if (column->texts()[row]) {
          return base::invalid("column '" + feature.name + "', row " + std::to_string(row) +
                               ": must be a number, found text '" + column->texts()[row]->substr(0, 80) + "'");
        }
      }
    }
    columns.push_back(column);
  }
  std::vector<Tensor> out;
  size_t first = 0;
  for (const TensorInfo& info : inputs()) {
    const size_t width = *columns_of(info);
    Tensor tensor{.name = info.name, .type = info.type, .shape = info.shape};
    if (tensor.shape.empty())
      return base::invalid("input '" + info.name + "' is a scalar; send tensors instead of rows");
    tensor.shape[0] = static_cast<int64_t>(raw.rows());
    for (size_t row = 0; row < raw.rows(); ++row) {
      for (size_t c = first; c < first + width; ++c) {
        const stats::Column& column = *columns[c];
        if (info.type == DataType::kBytes) {
          std::string text;
          if (!column.numeric()) {
            text = column.texts()[row].value_or("");
          } else if (!std::isnan(column.numbers()[row])) {
            Tensor number{.type = DataType::kFp64};
            append_number(number, column.numbers()[row]);
            text = text_at(number, 0);
          }
          tensor.strings.push_back(std::move(text));
        } else {
          const double value = column.numeric() ? column.numbers()[row] : std::numeric_limits<double>::quiet_NaN();
          TRY(fill_numbers(tensor, info, features_[c].name, value, row));
        }
      }
    }
    first += width;
    out.push_back(std::move(tensor));
  }
  return out;
}

void ModelPredictor::rows_of(std::span<const Tensor> given, RawRows& rows) const {
  rows.count = 0;
  rows.numbers.clear();
  rows.texts.clear();
  const auto& infos = inputs();
  if (features_.empty() || infos.empty()) return;
  const Tensor* first = find(given, infos[0].name);
  if (!first || first->shape.empty()) return;
  rows.count = static_cast<size_t>(first->shape[0]);
  if (infos.size() == 1) {  // the usual case: the tensor is the matrix
    if (first->type == DataType::kBytes) {
      rows.texts = first->strings;
    } else {
      append_numbers(*first, rows.count * features_.size(), rows.numbers);
    }
    return;
  }
  for (size_t row = 0; row < rows.count; ++row) {
    for (const TensorInfo& info : infos) {
      const Tensor* tensor = find(given, info.name);
      const size_t width = *columns_of(info);
      for (size_t c = 0; c < width; ++c) {
        const size_t at = row * width + c;
        if (info.type == DataType::kBytes) {
          rows.texts.push_back(tensor && at < tensor->strings.size() ? tensor->strings[at] : "");
        } else {
          const bool there =
              tensor && tensor->type != DataType::kBytes && (at + 1) * byte_size(tensor->type) <= tensor->bytes.size();
          rows.numbers.push_back(there ? number_at(*tensor, at) : std::numeric_limits<double>::quiet_NaN());
        }
      }
    }
  }
}

Prediction ModelPredictor::read(std::span<const Tensor> outputs) const {
  Prediction prediction;
  if (many_values_) return prediction;
  prediction.answers = answers_;
  const Tensor* label = roles_.label >= 0 ? &outputs[static_cast<size_t>(roles_.label)] : nullptr;
  const Tensor* score = roles_.score >= 0 ? &outputs[static_cast<size_t>(roles_.score)] : nullptr;
  const auto elements = [](const Tensor& tensor) {
    return tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / byte_size(tensor.type);
  };
  const auto rows_in = [&](const Tensor& tensor) {
    return tensor.shape.empty() ? size_t{1} : static_cast<size_t>(tensor.shape[0]);
  };
  const size_t rows = label ? rows_in(*label) : score ? rows_in(*score) : 0;
  if (rows == 0) return prediction;
  const size_t width = score ? elements(*score) / rows : 0;
  if (score && (width * rows != elements(*score) || width > kMostClasses)) score = nullptr;

  if (score && (label || width > 1)) append_numbers(*score, rows * width, prediction.scores);
  prediction.labels.reserve(rows);
  if (label && elements(*label) == rows) {
    for (size_t row = 0; row < rows; ++row) prediction.labels.push_back(text_at(*label, row));
    prediction.text = label->type == DataType::kBytes;
  } else if (score && width == 1) {  // a regressor: the value is the answer
    for (size_t row = 0; row < rows; ++row) prediction.labels.push_back(text_at(*score, row));
    prediction.scores.clear();
  } else if (score && width > 1) {  // scores only: the highest names the class
    const bool named = model_->classes().size() == width;
    prediction.text = named;
    for (size_t row = 0; row < rows; ++row) {
      const auto begin = prediction.scores.begin() + static_cast<std::ptrdiff_t>(row * width);
      const auto best =
          ruled_ && transform_.answer().classes.size() == width
              ? transform_.answer().choose(std::span(prediction.scores).subspan(row * width, width))
              : static_cast<size_t>(std::max_element(begin, begin + static_cast<std::ptrdiff_t>(width)) - begin);
      prediction.labels.push_back(named ? model_->classes()[best] : std::to_string(best));
    }
  }
  return prediction;
}

base::Result<Prediction> ModelPredictor::predict(const stats::Table& raw) const {
  Prediction all;
  const size_t rows = raw.rows();
  for (size_t from = 0; from < rows; from += kPredictRows) {
    const size_t count = std::min(kPredictRows, rows - from);
    stats::Table part;
    for (const stats::Column& column : raw.columns) {
      const auto cut = [&](const auto& values) {
        const auto begin = values.begin() + static_cast<std::ptrdiff_t>(from);
        return std::remove_cvref_t<decltype(values)>(begin, begin + static_cast<std::ptrdiff_t>(count));
      };
      if (column.numeric()) {
        part.columns.push_back({column.name, cut(column.numbers())});
      } else {
        part.columns.push_back({column.name, cut(column.texts())});
      }
    }
    TRY_SET(const std::vector<Tensor> tensors, tensors_of(part));
    TRY_SET(const std::vector<Tensor> outputs, infer(tensors, {}));
    Prediction some = read(outputs);
    if (some.labels.size() != count) {
      return base::invalid("the model's outputs hold no answer per row: found " + std::to_string(some.labels.size()) +
                           " for " + std::to_string(count) + " rows");
    }
    std::ranges::move(some.labels, std::back_inserter(all.labels));
    all.scores.insert(all.scores.end(), some.scores.begin(), some.scores.end());
    all.text = some.text;
  }
  if (!all.scores.empty() && model_->classes().size() * all.labels.size() == all.scores.size()) {
    all.classes = model_->classes();
  }
  return all;
}

}  // namespace

// Models say it by names and types only, so this follows skl2onnx, whose names are label or
// output_label, probabilities or output_probability, and variable; other exporters are read by type.
OutputRoles find_roles(const std::vector<TensorInfo>& outputs) {
  OutputRoles roles;
  const auto discrete = [](const TensorInfo& info) { return !is_floating(info.type); };
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    const TensorInfo& info = outputs[static_cast<size_t>(i)];
    const bool named_label = info.name.find("label") != std::string::npos;
    if (roles.label < 0 && (named_label || discrete(info)) && info.shape.size() <= 2) roles.label = i;
  }
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    const TensorInfo& info = outputs[static_cast<size_t>(i)];
    if (roles.score < 0 && i != roles.label && is_floating(info.type) && info.shape.size() <= 2) roles.score = i;
  }
  return roles;
}

base::Result<std::unique_ptr<Predictor>> Predictor::load(const base::Path& folder, stats::Transform transform,
                                                         const LoadOptions& options) {
  TRY_SET(const ModelFolder found, read_model_folder(folder));
  TRY_SET(std::unique_ptr<Model> model, found.format->load(found, options));
  if (options.wrap) {
    TRY_SET(model, options.wrap(std::move(model)));
  }
  auto predictor = std::make_unique<ModelPredictor>(std::move(model), std::move(transform));
  TRY(predictor->plan(found));
  return std::unique_ptr<Predictor>(std::move(predictor));
}

base::Result<std::unique_ptr<Predictor>> Predictor::over(std::unique_ptr<Model> model) {
  auto predictor = std::make_unique<ModelPredictor>(std::move(model), stats::Transform());
  TRY(predictor->plan({}));
  return std::unique_ptr<Predictor>(std::move(predictor));
}

}  // namespace serve
