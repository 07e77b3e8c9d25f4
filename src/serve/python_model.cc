#include "serve/python_model.h"

#include <algorithm>

#include "base/json.h"

namespace serve {
namespace {

namespace json = base::json;
using python::Frame;
using python::Kind;

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
  BatchOptions batching() const override { return batch_options(own_, {}); }
  void adjust(const ServingSettings& over) const override { workers_->resize(run_limits(merged(over, own_))); }
  std::optional<RunLimits> limits() const override { return workers_->limits(); }
  std::string_view service_schema() const override { return service_; }
  std::string trouble() const override { return workers_->trouble().reason; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override { return run_for(inputs, {}); }
  base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const Call& call) const override;

 private:
  base::Result<void> check(std::span<const Tensor> inputs) const;
  base::Result<std::vector<Tensor>> arrange(std::vector<Tensor> got) const;

  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<std::string> classes_;
  std::string platform_, service_;
  ServingSettings own_;  // MLmodel's metadata `lathe.serving`, or the class attribute `serving`
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
  const json::value* platform = hello->if_contains("platform");
  platform_ = platform && platform->is_string() ? platform->as_string().c_str() : "python";
  TRY_SET(const auto service, base::optional_string(*hello, "service"));
  service_ = service.value_or("");
  if (const json::value* settings = hello->if_contains("settings"); settings && !settings->is_null()) {
    TRY_SET(own_, read_serving(base::to_text(*settings)));
  }
  if (platform_ == "python" && !own_.python.empty())
    return base::invalid(
        "serving: 'python' cannot be said in model.py, which runs in it already; say it in lathe.yaml "
        "(endpoint.python)");
  adjust(options.serving);
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
