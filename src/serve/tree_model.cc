#include "serve/tree_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/fs.h"
#include "serve/forest.h"
#include "serve/tree_file.h"
#include "serve/tree_shap.h"

namespace serve {
namespace {

// --- what is done to the sums, in the library's own precision and order ---------------------------------------------

void apply_softmax(float* values, size_t count) {
  const float most = *std::max_element(values, values + count);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    values[i] = std::exp(values[i] - most);
    sum += static_cast<double>(values[i]);
  }
  for (size_t i = 0; i < count; ++i) values[i] /= static_cast<float>(sum);
}
void apply_softmax(double* values, size_t count) {
  const double most = *std::max_element(values, values + count);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    values[i] = std::exp(values[i] - most);
    sum += values[i];
  }
  for (size_t i = 0; i < count; ++i) values[i] /= sum;
}

float sigmoid(float x, double) {
  constexpr float kTiny = 1e-16F, kMost = 88.7F;  // XGBoost's
  return 1.0F / (std::exp(std::min(-x, kMost)) + 1.0F + kTiny);
}
double sigmoid(double x, double scale) { return 1.0 / (1.0 + std::exp(-scale * x)); }

template <class Real>
void apply_link(Link link, double scale, Real* values, size_t count) {
  switch (link) {
    case Link::kIdentity: return;
    case Link::kSoftmax: return apply_softmax(values, count);
    case Link::kSigmoid:
    case Link::kEachSigmoid:
      for (size_t i = 0; i < count; ++i) values[i] = sigmoid(values[i], scale);
      return;
    case Link::kExp:
      for (size_t i = 0; i < count; ++i) values[i] = std::exp(values[i]);
      return;
    case Link::kWideExp:
      for (size_t i = 0; i < count; ++i) values[i] = static_cast<Real>(std::exp(static_cast<double>(values[i])));
      return;
    case Link::kLog1pExp:
      for (size_t i = 0; i < count; ++i) values[i] = std::log1p(std::exp(values[i]));
      return;
    case Link::kSignedSquare:
      for (size_t i = 0; i < count; ++i)
        values[i] = static_cast<Real>((values[i] > 0) - (values[i] < 0)) * values[i] * values[i];
      return;
    case Link::kHinge:
      for (size_t i = 0; i < count; ++i) values[i] = values[i] > 0 ? Real{1} : Real{0};
      return;
  }
}

// The rows of a dense tensor; copied only if they do not lie as numbers do.
template <class Real>
const Real* rows_of(const Tensor& tensor) {
  if (reinterpret_cast<uintptr_t>(tensor.bytes.data()) % alignof(Real) == 0)
    return reinterpret_cast<const Real*>(tensor.bytes.data());
  thread_local std::vector<Real> copy;
  copy.resize(tensor.bytes.size() / sizeof(Real));
  std::memcpy(copy.data(), tensor.bytes.data(), copy.size() * sizeof(Real));
  return copy.data();
}

template <class Real, bool kLessOrEqual>
class TreeModel final : public Model {
  static constexpr DataType kType = sizeof(Real) == 4 ? DataType::kFp32 : DataType::kFp64;
  static constexpr std::string_view kInput = "input";

 public:
  TreeModel(Ensemble ensemble, const ModelFolder& folder)
      : ensemble_(std::move(ensemble)),
        forest_(ensemble_),
        threshold_(static_cast<Real>(folder.threshold)),
        booster_(folder.model_class.empty() ? !ensemble_.classifier
                                            : folder.model_class.find("Classifier") == std::string::npos) {
    inputs_.push_back({std::string(kInput), kType, {-1, static_cast<int64_t>(ensemble_.features)}});
    if (ensemble_.task == Task::kValue) {
      outputs_.push_back({"prediction", kType, {-1}});
      if (ensemble_.groups > 1) outputs_[0].shape.push_back(static_cast<int64_t>(ensemble_.groups));
      return;
    }
    width_ = ensemble_.task == Task::kBinary ? 2 : ensemble_.groups;
    named_ = !folder.classes.empty();
    classes_ = folder.classes;
    for (size_t i = 0; !named_ && i < width_; ++i) classes_.push_back(std::to_string(i));
    outputs_.push_back({"label", named_ ? DataType::kBytes : DataType::kInt64, {-1}});
    outputs_.push_back({"probabilities", kType, {-1, static_cast<int64_t>(width_)}});
  }

  base::Result<void> check_classes() const {
    if (classes_.empty() || classes_.size() == width_) return {};
    return base::invalid("MLmodel: metadata lathe.classes names " + std::to_string(classes_.size()) +
                         " classes, the model has " + std::to_string(width_));
  }

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return kLessOrEqual ? "lightgbm" : "xgboost"; }
  std::vector<std::string> column_names() const override { return ensemble_.feature_names; }
  bool many_values() const override { return ensemble_.task == Task::kValue && ensemble_.groups > 1; }
  Answers answers() const override {
    if (!booster_ || ensemble_.task == Task::kValue) return Answers::kLabels;
    return ensemble_.task == Task::kBinary ? Answers::kLastScore : Answers::kScores;
  }

  base::Result<std::vector<Tensor>> run(std::span<const Tensor> given) const override {
    TRY_SET(const size_t rows, rows_in(given));
    const Real* const data = rows_of<Real>(given[0]);
    std::vector<Tensor> out;
    out.reserve(2);
    if (ensemble_.task == Task::kValue) {
      Tensor& values = out.emplace_back(outputs_[0].name, kType, outputs_[0].shape);
      values.shape[0] = static_cast<int64_t>(rows);
      values.bytes.resize(rows * ensemble_.groups * sizeof(Real));
      for (size_t row = 0; row < rows; ++row) {
        const Real* const sums = answer(data + row * ensemble_.features);
        std::memcpy(values.bytes.data() + row * ensemble_.groups * sizeof(Real), sums, ensemble_.groups * sizeof(Real));
      }
      return out;
    }
    Tensor& labels = out.emplace_back(outputs_[0].name, outputs_[0].type, outputs_[0].shape);
    Tensor& scores = out.emplace_back(outputs_[1].name, kType, outputs_[1].shape);
    labels.shape[0] = scores.shape[0] = static_cast<int64_t>(rows);
    scores.bytes.resize(rows * width_ * sizeof(Real));
    if (named_)
      labels.strings.reserve(rows);
    else
      labels.bytes.resize(rows * sizeof(int64_t));
    for (size_t row = 0; row < rows; ++row) {
      size_t highest = 0;
      const Real* sums = answer(data + row * ensemble_.features, &highest);
      size_t label = 0;
      Real both[2];
      if (ensemble_.task == Task::kBinary) {
        both[0] = Real{1} - sums[0];
        both[1] = sums[0];
        label = sums[0] > threshold_;
        sums = both;
      } else {
        label = ensemble_.label_of_sums ? highest : static_cast<size_t>(std::max_element(sums, sums + width_) - sums);
      }
      std::memcpy(scores.bytes.data() + row * width_ * sizeof(Real), sums, width_ * sizeof(Real));
      if (named_) {
        labels.strings.push_back(classes_[label]);
      } else {
        const auto number = static_cast<int64_t>(label);
        std::memcpy(labels.bytes.data() + row * sizeof number, &number, sizeof number);
      }
    }
    return out;
  }

  bool explains() const override { return explains_; }
  base::Result<Contributions> contributions(std::span<const Tensor> given) const override {
    TRY_SET(const size_t rows, rows_in(given));
    return tree_shap(ensemble_, rows_of<Real>(given[0]), rows);
  }

 private:
  base::Result<size_t> rows_in(std::span<const Tensor> given) const {
    if (given.size() != 1) return base::invalid("the model takes 1 input, found " + std::to_string(given.size()));
    if (given[0].name != kInput) return base::invalid("input '" + std::string(kInput) + "' is missing");
    TRY(check_tensor(given[0], inputs_[0]));
    return static_cast<size_t>(given[0].shape[0]);
  }

  // One row's answer; valid until the thread's next. `highest`: of the sums.
  const Real* answer(const Real* row, size_t* highest = nullptr) const {
    thread_local std::vector<Real> sums;
    sums.resize(ensemble_.groups);
    if (ensemble_.linear.empty()) {
      forest_.walk(row, sums.data());
    } else {
      add_linear(row, sums.data());
    }
    if (ensemble_.divide)
      for (Real& sum : sums) sum /= static_cast<Real>(ensemble_.divide);
    if (highest && ensemble_.label_of_sums)
      *highest = static_cast<size_t>(std::max_element(sums.begin(), sums.end()) - sums.begin());
    apply_link(ensemble_.link, ensemble_.scale, sums.data(), sums.size());
    return sums.data();
  }

  // XGBoost's gblinear: bias and base first, then the features that are there.
  void add_linear(const Real* row, Real* sums) const {
    const size_t groups = ensemble_.groups;
    for (size_t g = 0; g < groups; ++g) {
      Real sum =
          static_cast<Real>(ensemble_.linear[ensemble_.features * groups + g]) + static_cast<Real>(ensemble_.base[g]);
      for (size_t i = 0; i < ensemble_.features; ++i) {
        if (!std::isnan(row[i])) sum += row[i] * static_cast<Real>(ensemble_.linear[i * groups + g]);
      }
      sums[g] = sum;
    }
  }

  const Ensemble ensemble_;
  const Forest<Real, kLessOrEqual> forest_;
  const Real threshold_;
  const bool booster_;  // the library's own predict answers numbers, not labels
  const bool explains_ = explainable(ensemble_);
  size_t width_ = 0;  // classes; 0: the answer is a value
  bool named_ = false;
  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<std::string> classes_;
};

template <class Real, bool kLessOrEqual>
base::Result<std::unique_ptr<Model>> made(base::Result<Ensemble> ensemble, const ModelFolder& folder) {
  if (!ensemble) return std::unexpected(std::move(ensemble).error().within(folder.model_file.filename().string()));
  auto model = std::make_unique<TreeModel<Real, kLessOrEqual>>(std::move(*ensemble), folder);
  TRY(model->check_classes());
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace

base::Result<std::unique_ptr<Model>> load_xgboost_model(const ModelFolder& folder) {
  TRY_SET(const std::string bytes, base::read_file(folder.model_file, kMaxTreeFile));
  // A scikit-learn wrapper predicts with the rounds up to the best one, a Booster with all.
  const bool wrapper = folder.model_class.starts_with("xgboost.sklearn.");
  return made<float, false>(read_xgboost(bytes, !wrapper), folder);
}

base::Result<std::unique_ptr<Model>> load_lightgbm_model(const ModelFolder& folder) {
  TRY_SET(const std::string bytes, base::read_file(folder.model_file, kMaxTreeFile));
  return made<double, true>(read_lightgbm(bytes), folder);
}

}  // namespace serve
