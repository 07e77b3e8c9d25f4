#include "serve/python_model.h"

#include <algorithm>

#include "base/json.h"

namespace serve {
namespace {

namespace json = base::json;
using python::Frame;
using python::Kind;

constexpr int64_t kDefaultWorkers = 2;  // at most, of a model that says nothing; the second only under load

base::Result<std::vector<TensorInfo>> read_infos(const json::object& hello, const char* key) {
  std::vector<TensorInfo> out;
  TRY_SET(const json::array* entries, base::required_array(hello, key));
  for (const json::value& entry : *entries) {
    const json::object* info = entry.if_object();
    const json::value* name = info ? info->if_contains("name") : nullptr;
    const json::value* type = info ? info->if_contains("datatype") : nullptr;
    const json::value* shape = info ? info->if_contains("shape") : nullptr;
    if (!name || !name->is_string() || !type || !type->is_string() || !shape || !shape->is_array())
      return base::invalid(std::string("the Python model's ") + key + " are not name, datatype and shape");
    const auto known = parse_data_type(type->as_string().c_str());
    if (!known)
      return base::invalid("the Python model's type '" + std::string(type->as_string().c_str()) + "' is unknown");
    TensorInfo made{.name = name->as_string().c_str(), .type = *known};
    for (const json::value& dim : shape->as_array()) made.shape.push_back(dim.is_int64() ? dim.as_int64() : -1);
    if (made.shape.size() > kMaxRank)
      return base::invalid("the Python model's '" + made.name + "' has too many dimensions");
    out.push_back(std::move(made));
  }
  if (out.empty()) return base::invalid(std::string("the Python model has no ") + key);
  return out;
}

class PythonModel final : public Model {
 public:
  base::Result<void> load(const python::Options& options);

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return platform_; }
  bool waits() const override { return true; }
  size_t parallel() const override { return workers_->seats(); }
  std::optional<WorkerStatistics> workers() const override { return workers_->statistics(); }
  BatchOptions batching() const override { return batching_; }
  std::string trouble() const override { return workers_->trouble().reason; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override { return run_for(inputs, {}); }
  base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const Call& call) const override;

 private:
  base::Result<void> read_settings(const json::object& hello);
  base::Result<void> check(std::span<const Tensor> inputs) const;
  base::Result<std::vector<Tensor>> arrange(std::vector<Tensor> got) const;

  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<std::string> classes_;
  std::string platform_;
  BatchOptions batching_;
  std::unique_ptr<python::Workers> workers_;
};

base::Result<void> PythonModel::load(const python::Options& options) {
  std::string said;
  TRY_SET(workers_, python::Workers::start(options, said));
  TRY_SET(const json::value value, base::parse_json(said));
  TRY_SET(const json::object* hello, base::as_object(value, "the Python model's description"));
  TRY_SET(inputs_, read_infos(*hello, "inputs"));
  TRY_SET(outputs_, read_infos(*hello, "outputs"));
  TRY_SET(const json::array* classes, base::required_array(*hello, "classes"));
  for (const json::value& entry : *classes) classes_.emplace_back(entry.is_string() ? entry.as_string().c_str() : "");
  TRY(read_settings(*hello));
  const json::value* platform = hello->if_contains("platform");
  platform_ = platform && platform->is_string() ? platform->as_string().c_str() : "python";
  return {};
}

// The model's own word on how it is served: MLmodel's metadata `lathe.serving`, or the class attribute `serving`.
base::Result<void> PythonModel::read_settings(const json::object& hello) {
  const json::value* value = hello.if_contains("settings");
  const json::object* settings = value ? value->if_object() : nullptr;
  if (!settings) return {};
  const auto number = [](const json::object& from, std::string_view key, int64_t otherwise, int64_t least,
                         int64_t most) -> base::Result<int64_t> {
    const json::value* found = from.if_contains(key);
    if (!found) return otherwise;
    if (!found->is_int64() || found->as_int64() < least || found->as_int64() > most)
      return base::invalid("serving: '" + std::string(key) + "' must be a whole number from " + std::to_string(least) +
                           " to " + std::to_string(most) + ", found " + base::to_text(*found).substr(0, 80));
    return found->as_int64();
  };
  for (const auto& entry : *settings) {
    constexpr std::string_view kKnown[] = {"min_workers", "max_workers", "concurrency",
                                           "memory_mb",   "timeout_ms",  "batch"};
    if (std::ranges::find(kKnown, std::string_view(entry.key())) == std::end(kKnown))
      return base::invalid(
          "serving: '" + std::string(entry.key()) +
          "' is unknown; allowed: min_workers, max_workers, concurrency, memory_mb, timeout_ms, batch");
  }
  TRY_SET(const int64_t min_workers, number(*settings, "min_workers", 1, 0, 64));
  TRY_SET(const int64_t max_workers,
          number(*settings, "max_workers", std::max<int64_t>(min_workers, kDefaultWorkers), 1, 64));
  TRY_SET(const int64_t memory_mb, number(*settings, "memory_mb", 0, 16, 1 << 20));
  TRY_SET(const int64_t timeout_ms, number(*settings, "timeout_ms", 60'000, 10, 3'600'000));
  TRY(number(*settings, "concurrency", 1, 1, 64));
  workers_->resize(static_cast<size_t>(min_workers), static_cast<size_t>(max_workers), timeout_ms * 1000,
                   static_cast<size_t>(memory_mb) << 20);
  const json::value* batch = settings->if_contains("batch");
  if (!batch) return {};
  TRY_SET(const json::object* wanted, base::as_object(*batch, "serving: 'batch'"));
  TRY_SET(const int64_t max_rows, number(*wanted, "max_rows", 0, 1, 100'000));
  TRY_SET(const int64_t delay_us, number(*wanted, "max_delay_us", 0, 0, 1'000'000));
  TRY_SET(const int64_t queue, number(*wanted, "queue", 256, 1, 10'000));
  batching_ = {
      .max_rows = static_cast<size_t>(max_rows), .max_delay_us = delay_us, .queue = static_cast<size_t>(queue)};
  if (const json::value* preferred = wanted->if_contains("preferred")) {
    if (!preferred->is_array()) return base::invalid("serving: 'preferred' must be a list of row counts");
    for (const json::value& size : preferred->as_array()) {
      if (!size.is_int64() || size.as_int64() < 1 || size.as_int64() > max_rows)
        return base::invalid("serving: 'preferred' holds row counts from 1 to 'max_rows'");
      batching_.preferred.push_back(static_cast<size_t>(size.as_int64()));
    }
  }
  return {};
}

base::Result<void> PythonModel::check(std::span<const Tensor> inputs) const {
  for (const TensorInfo& info : inputs_) {
    const auto given = std::ranges::find(inputs, info.name, &Tensor::name);
    if (given == inputs.end()) return base::invalid("input '" + info.name + "' is missing");
    // A column may come as a vector or as a matrix of one column.
    if (info.shape.size() == 1 && given->shape.size() == 2 && given->shape[1] == 1) {
      TensorInfo column = info;
      column.shape.push_back(1);
      TRY(check_tensor(*given, column));
    } else {
      TRY(check_tensor(*given, info));
    }
  }
  if (inputs.size() != inputs_.size()) {
    for (const Tensor& tensor : inputs) {
      if (std::ranges::find(inputs_, tensor.name, &TensorInfo::name) == inputs_.end())
        return base::invalid("the model has no input '" + tensor.name + "'");
    }
    return base::invalid("an input is given twice");
  }
  if (inputs_.size() > 1 && inputs_[0].shape.size() == 1) {  // columns of one table
    for (const Tensor& tensor : inputs) {
      if (tensor.shape[0] != inputs[0].shape[0])
        return base::invalid("input '" + tensor.name + "' has " + std::to_string(tensor.shape[0]) + " rows, '" +
                             inputs[0].name + "' has " + std::to_string(inputs[0].shape[0]));
    }
  }
  return {};
}

// What came, in the order of outputs(). A model may answer under other names than its signature's, not another number.
base::Result<std::vector<Tensor>> PythonModel::arrange(std::vector<Tensor> got) const {
  if (got.size() != outputs_.size()) {
    return base::fail(base::Code::kInternal, "the model's predict() answered " + std::to_string(got.size()) +
                                                 " outputs; its signature has " + std::to_string(outputs_.size()));
  }
  std::vector<Tensor> out;
  for (const TensorInfo& info : outputs_) {
    const auto named = std::ranges::find(got, info.name, &Tensor::name);
    if (named == got.end()) break;
    out.push_back(std::move(*named));
  }
  if (out.size() == got.size()) return out;
  if (!out.empty()) return base::fail(base::Code::kInternal, "the model's predict() answered outputs of other names");
  for (size_t i = 0; i < got.size(); ++i) got[i].name = outputs_[i].name;
  return got;
}

base::Result<std::vector<Tensor>> PythonModel::run_for(std::span<const Tensor> inputs, const Call& call) const {
  TRY(check(inputs));
  const std::string frame = python::encode(Kind::kPredict, call.params, inputs);
  if (frame.size() > python::kMaxFrame)
    return base::fail(base::Code::kTooLarge, "the rows take " + std::to_string(frame.size()) + " bytes; allowed are " +
                                                 std::to_string(python::kMaxFrame));
  TRY_SET(Frame answer, workers_->call(frame, call));
  if (call.shown) *call.shown = std::move(answer.text);
  return arrange(std::move(answer.tensors));
}

}  // namespace

base::Result<std::unique_ptr<Model>> load_python_model(const python::Options& options) {
  auto model = std::make_unique<PythonModel>();
  TRY(model->load(options));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace serve
