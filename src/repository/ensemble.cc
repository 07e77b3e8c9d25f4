#include <algorithm>
#include <map>

#include "repository/configured.h"

namespace repository {
namespace {

using serve::Tensor;
using serve::TensorInfo;

struct Step {
  std::string model;
  int64_t version = -1;                                     // -1: the newest
  std::vector<std::pair<std::string, std::string>> inputs;  // the model's name, the ensemble's
  std::vector<std::pair<std::string, std::string>> outputs;
};

class EnsembleModel final : public serve::Model {
 public:
  EnsembleModel(const ModelConfig& config, FindModel find) : find_(std::move(find)) {
    for (const auto& step : config.ensemble_scheduling().step()) {
      Step& out = steps_.emplace_back(Step{step.model_name(), step.model_version() == 0 ? -1 : step.model_version()});
      out.inputs.assign(step.input_map().begin(), step.input_map().end());
      out.outputs.assign(step.output_map().begin(), step.output_map().end());
    }
  }

  base::Result<void> plan(const ModelConfig& config) {
    const auto fill = [&](const auto& tensors, std::vector<TensorInfo>& infos) -> base::Result<void> {
      for (const auto& tensor : tensors) {
        TensorInfo info{.name = tensor.name()};
        TRY_SET(info.type, data_type(tensor.data_type(), tensor.name()));
        if (config.max_batch_size() > 0) info.shape.push_back(-1);
        info.shape.insert(info.shape.end(), tensor.dims().begin(), tensor.dims().end());
        infos.push_back(std::move(info));
      }
      return {};
    };
    TRY(fill(config.input(), inputs_));
    TRY(fill(config.output(), outputs_));
    TRY(order(config));
    for (const Step& step : steps_) TRY(check(step));
    return {};
  }

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return "ensemble"; }
  bool waits() const override { return waits_; }

  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override { return run_for(inputs, {}); }
  base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const serve::Call& call) const override {
    std::map<std::string, Tensor, std::less<>> known;
    for (const Tensor& tensor : inputs) known[tensor.name] = tensor;
    for (const TensorInfo& info : inputs_) {
      if (!known.contains(info.name)) return base::invalid("input '" + info.name + "' is missing");
    }
    for (const Step& step : steps_) TRY(run_step(step, known, call));
    std::vector<Tensor> out;
    for (const TensorInfo& info : outputs_) out.push_back(known[info.name]);
    return out;
  }

 private:
  base::Result<void> run_step(const Step& step, std::map<std::string, Tensor, std::less<>>& known,
                              const serve::Call& call) const {
    const std::string where = "step '" + step.model + "'";
    TRY_SET(const serve::LivePtr endpoint, find_(step.model, step.version));
    std::vector<Tensor> given;
    for (const auto& [own, ours] : step.inputs) {
      given.push_back(known[ours]);
      given.back().name = own;
    }
    serve::Call own_call = call;  // what the request says of its model is not about a step's
    own_call.params.clear();
    own_call.shown = nullptr;
    auto outputs = endpoint->predictor->infer(given, own_call);
    endpoint->requests->add();
    if (!outputs) {
      endpoint->failures->add();
      return std::unexpected(std::move(outputs).error().within(where));
    }
    for (const auto& [own, ours] : step.outputs) {
      const auto found = std::ranges::find(*outputs, own, &Tensor::name);
      if (found == outputs->end()) return base::internal(where + " did not give '" + own + "'");
      Tensor& tensor = known[ours] = *found;
      tensor.name = ours;
    }
    return {};
  }

  // Steps may stand in any order in the file.
  base::Result<void> order(const ModelConfig& config) {
    std::map<std::string, bool, std::less<>> known;
    for (const auto& input : config.input()) known[input.name()] = true;
    std::vector<Step> ordered;
    while (!steps_.empty()) {
      const auto next = std::ranges::find_if(steps_, [&](const Step& step) {
        return std::ranges::all_of(step.inputs, [&](const auto& map) { return known.contains(map.second); });
      });
      if (next == steps_.end())
        return base::invalid("the step of model '" + steps_.front().model +
                             "' waits for a tensor that no step before it gives");
      for (const auto& map : next->outputs) known[map.second] = true;
      ordered.push_back(std::move(*next));
      steps_.erase(next);
    }
    steps_ = std::move(ordered);
    return {};
  }

  // Do the step's models have what is mapped?
  base::Result<void> check(const Step& step) {
    TRY_SET(const serve::LivePtr endpoint, find_(step.model, step.version));
    const auto has = [](const std::vector<TensorInfo>& infos, const std::string& name) {
      return std::ranges::find(infos, name, &TensorInfo::name) != infos.end();
    };
    for (const auto& [own, ours] : step.inputs) {
      if (!has(endpoint->predictor->inputs(), own))
        return base::invalid("model '" + step.model + "' has no input '" + own + "', to which the ensemble maps '" +
                             ours + "'");
    }
    for (const auto& [own, ours] : step.outputs) {
      if (!has(endpoint->predictor->outputs(), own))
        return base::invalid("model '" + step.model + "' has no output '" + own + "', which the ensemble maps to '" +
                             ours + "'");
    }
    for (const TensorInfo& info : endpoint->predictor->inputs()) {
      if (std::ranges::find(step.inputs, info.name, [](const auto& map) { return map.first; }) == step.inputs.end())
        return base::invalid("the step of model '" + step.model + "' does not map its input '" + info.name + "'");
    }
    waits_ |= endpoint->predictor->waits();
    return {};
  }

  FindModel find_;
  std::vector<Step> steps_;
  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<std::string> classes_;
  bool waits_ = false;
};

}  // namespace

base::Result<std::unique_ptr<serve::Model>> make_ensemble(const ModelConfig& config, FindModel find) {
  auto out = std::make_unique<EnsembleModel>(config, std::move(find));
  TRY(out->plan(config));
  return std::unique_ptr<serve::Model>(std::move(out));
}

}  // namespace repository
