#include "repository/configured.h"

#include <algorithm>
#include <optional>

namespace repository {
namespace {

using serve::Tensor;
using serve::TensorInfo;

constexpr size_t kMaxLabelBytes = size_t{1} << 20;
constexpr size_t kMaxLabels = 100'000;

using Shape = std::vector<int64_t>;

struct View {  // one tensor, as clients see it and as the model does
  TensorInfo shown;
  TensorInfo own;
  size_t place = 0;  // among the model's
  bool reshaped = false;
};

Shape with_batch(bool batches, const auto& dims) {
  Shape out;
  if (batches) out.push_back(-1);
  out.insert(out.end(), dims.begin(), dims.end());
  return out;
}

bool fits(const Shape& wanted, const Shape& own) {
  return wanted.size() == own.size() &&
         std::ranges::equal(wanted, own, [](int64_t a, int64_t b) { return a == b || a < 0 || b < 0; });
}

std::string names_of(const std::vector<TensorInfo>& infos) {
  std::string out;
  for (const TensorInfo& info : infos) out += (out.empty() ? "" : ", ") + info.name;
  return out;
}

template <class Told>
base::Result<View> view_of(const Told& told, const std::vector<TensorInfo>& own, bool batches, const char* kind) {
  const auto found = std::ranges::find(own, told.name(), &TensorInfo::name);
  const std::string where = std::string(kind) + " '" + told.name() + "'";
  if (found == own.end()) return base::invalid(where + " is none of the model's: " + names_of(own));
  View view{.own = *found, .place = static_cast<size_t>(found - own.begin())};
  TRY_SET(const serve::DataType type, data_type(told.data_type(), told.name()));
  if (type != found->type)
    return base::invalid(where + " is " + std::string(serve::name(type)) + " in the configuration and " +
                         std::string(serve::name(found->type)) + " in the model");
  view.shown = {told.name(), type, with_batch(batches, told.dims())};
  view.reshaped = told.has_reshape();
  const Shape wanted = view.reshaped ? with_batch(batches, told.reshape().shape()) : view.shown.shape;
  if (!fits(wanted, found->shape))
    return base::invalid(where + " has the shape " + serve::shape_text(wanted) + " in the configuration" +
                         (batches ? " (its first dimension is the batch, as max_batch_size is above 0)" : "") +
                         " and " + serve::shape_text(found->shape) + " in the model");
  if (batches && found->shape.front() >= 0)
    return base::invalid(where + " of the model has a fixed first dimension (" + serve::shape_text(found->shape) +
                         "); max_batch_size must be 0");
  return view;
}

base::Result<std::vector<std::string>> read_labels(const base::Path& file) {
  TRY_SET(const std::string text, base::read_file(file, kMaxLabelBytes));
  std::vector<std::string> out;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    out.emplace_back(line);
    if (out.size() > kMaxLabels) return base::invalid(file.filename().string() + " has too many lines");
  }
  return out;
}

constexpr uint64_t kMaxLevels = 1000;  // of priority
constexpr uint32_t kMaxQueue = 4096;   // requests

serve::QueuePolicy policy_of(const ::inference::ModelQueuePolicy& told) {
  constexpr uint64_t kLongestUs = 3'600'000'000;
  return {.queue = std::min(told.max_queue_size(), kMaxQueue),
          .timeout_us = static_cast<int64_t>(std::min<uint64_t>(told.default_timeout_microseconds(), kLongestUs)),
          .delay = told.timeout_action() == ::inference::ModelQueuePolicy::DELAY,
          .own_timeout = told.allow_timeout_override()};
}

// Of a model that waits: others run at once, on the thread that read the request.
serve::BatchOptions batching_of(const ModelConfig& config) {
  const auto& told = config.dynamic_batching();
  serve::BatchOptions out;
  out.max_rows = static_cast<size_t>(std::max(config.max_batch_size(), 0));
  for (const int32_t rows : told.preferred_batch_size()) {
    if (rows > 0) out.preferred.push_back(static_cast<size_t>(rows));
  }
  constexpr uint64_t kLongestUs = 1'000'000;
  out.max_delay_us = static_cast<int64_t>(std::min<uint64_t>(told.max_queue_delay_microseconds(), kLongestUs));
  if (told.has_default_queue_policy()) out.policy = policy_of(told.default_queue_policy());
  for (const auto& [level, policy] : told.priority_queue_policy())
    out.policies[static_cast<uint32_t>(std::min<uint64_t>(level, kMaxLevels))] = policy_of(policy);
  // Where the configuration bounds its queues itself, the sum of them needs a bound no more than their number does.
  if (out.policy.queue != 0 || !out.policies.empty()) out.queue = kMaxQueue;
  out.priority_levels = static_cast<uint32_t>(std::min<uint64_t>(told.priority_levels(), kMaxLevels));
  if (told.default_priority_level() > 0)
    out.default_priority = static_cast<uint32_t>(std::min<uint64_t>(told.default_priority_level(), kMaxLevels));
  return out;
}

class ConfiguredModel final : public serve::Model {
 public:
  ConfiguredModel(std::unique_ptr<serve::Model> model, const ModelConfig& config)
      : model_(std::move(model)), name_(config.name()), max_batch_(config.max_batch_size()) {}

  base::Result<void> plan(const ModelConfig& config, const base::Path& folder) {
    const bool batches = max_batch_ > 0;
    if (!config.input().empty() && static_cast<size_t>(config.input_size()) != model_->inputs().size())
      return base::invalid("the configuration has " + std::to_string(config.input_size()) + " inputs, the model " +
                           std::to_string(model_->inputs().size()) + ": " + names_of(model_->inputs()));
    for (const auto& told : config.input()) {
      TRY_SET(View view, view_of(told, model_->inputs(), batches, "input"));
      reshapes_ |= view.reshaped;
      inputs_.push_back(std::move(view));
    }
    for (const auto& told : config.output()) {
      TRY_SET(View view, view_of(told, model_->outputs(), batches, "output"));
      outputs_.push_back(std::move(view));
      if (!told.label_filename().empty() && classes_.empty()) {
        auto labels = read_labels(folder / told.label_filename());
        if (!labels) return std::unexpected(std::move(labels).error().within("label_filename"));
        classes_ = std::move(*labels);
      }
    }
    if (config.has_dynamic_batching()) batching_ = batching_of(config);
    for (const View& view : inputs_) shown_inputs_.push_back(view.shown);
    for (const View& view : outputs_) shown_outputs_.push_back(view.shown);
    if (inputs_.empty()) shown_inputs_ = model_->inputs();
    if (outputs_.empty()) shown_outputs_ = model_->outputs();
    return {};
  }

  const std::vector<TensorInfo>& inputs() const override { return shown_inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return shown_outputs_; }
  const std::vector<std::string>& classes() const override { return classes_.empty() ? model_->classes() : classes_; }
  std::string_view platform() const override { return model_->platform(); }
  bool waits() const override { return model_->waits(); }
  std::vector<std::string> column_names() const override { return model_->column_names(); }
  serve::Answers answers() const override { return model_->answers(); }
  bool many_values() const override { return model_->many_values(); }
  bool explains() const override { return !reshapes_ && model_->explains(); }
  base::Result<serve::Contributions> contributions(std::span<const Tensor> inputs) const override {
    return model_->contributions(inputs);
  }
  size_t parallel() const override { return model_->parallel(); }
  size_t max_batch() const override { return max_batch_ > 0 ? static_cast<size_t>(max_batch_) : model_->max_batch(); }
  std::string trouble() const override { return model_->trouble(); }
  std::string_view service_schema() const override { return model_->service_schema(); }
  std::optional<serve::WorkerStatistics> workers() const override { return model_->workers(); }
  void adjust(const serve::ServingSettings& over) const override { model_->adjust(over); }
  std::optional<serve::RunLimits> limits() const override { return model_->limits(); }
  serve::BatchOptions batching() const override { return batching_ ? *batching_ : model_->batching(); }

  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override {
    return around(inputs, [this](std::span<const Tensor> ready) { return model_->run(ready); });
  }
  base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const serve::Call& call) const override {
    return around(inputs, [&](std::span<const Tensor> ready) { return model_->run_for(ready, call); });
  }

 private:
  template <class Run>
  base::Result<std::vector<Tensor>> around(std::span<const Tensor> inputs, Run run) const {
    for (const Tensor& tensor : inputs) {
      const auto view =
          std::ranges::find(inputs_, tensor.name, [](const View& v) { return std::string_view(v.shown.name); });
      if (view == inputs_.end()) continue;  // the model says what it takes
      TRY(serve::check_tensor(tensor, view->shown));
      if (max_batch_ > 0 && tensor.shape[0] > max_batch_)
        return base::invalid("inference request batch-size must be <= " + std::to_string(max_batch_) + " for '" +
                             name_ + "', found " + std::to_string(tensor.shape[0]));
    }
    if (!reshapes_) {
      TRY_SET(std::vector<Tensor> outputs, run(inputs));
      return shown(std::move(outputs));
    }
    std::vector<Tensor> ready(inputs.begin(), inputs.end());
    for (Tensor& tensor : ready) {
      const auto view =
          std::ranges::find(inputs_, tensor.name, [](const View& v) { return std::string_view(v.shown.name); });
      if (view != inputs_.end() && view->reshaped) reshape(tensor, view->own.shape);
    }
    TRY_SET(std::vector<Tensor> outputs, run(ready));
    return shown(std::move(outputs));
  }

  // To the dimensions of `to`, whose only open one may be the batch.
  void reshape(Tensor& tensor, const Shape& to) const {
    Shape shape = to;
    if (max_batch_ > 0 && !shape.empty() && !tensor.shape.empty()) shape[0] = tensor.shape[0];
    if (std::ranges::all_of(shape, [](int64_t dim) { return dim >= 0; })) tensor.shape = std::move(shape);
  }

  base::Result<std::vector<Tensor>> shown(std::vector<Tensor> outputs) const {
    if (outputs_.empty()) return outputs;
    bool same = outputs_.size() == outputs.size();
    for (size_t i = 0; same && i < outputs_.size(); ++i) same = outputs_[i].place == i && !outputs_[i].reshaped;
    if (same) return outputs;
    std::vector<Tensor> out;
    for (const View& view : outputs_) {
      if (view.place >= outputs.size()) return base::internal("output '" + view.shown.name + "' was not produced");
      out.push_back(std::move(outputs[view.place]));
      if (view.reshaped) reshape(out.back(), view.shown.shape);
    }
    return out;
  }

  std::unique_ptr<serve::Model> model_;
  const std::string name_;
  const int64_t max_batch_;
  bool reshapes_ = false;  // some input
  std::optional<serve::BatchOptions> batching_;
  std::vector<View> inputs_, outputs_;
  std::vector<TensorInfo> shown_inputs_, shown_outputs_;
  std::vector<std::string> classes_;
};

}  // namespace

base::Result<std::unique_ptr<serve::Model>> configure(std::unique_ptr<serve::Model> model, const ModelConfig& config,
                                                      const base::Path& folder) {
  auto out = std::make_unique<ConfiguredModel>(std::move(model), config);
  TRY(out->plan(config, folder));
  return std::unique_ptr<serve::Model>(std::move(out));
}

}  // namespace repository
