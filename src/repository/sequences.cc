#include "repository/sequences.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "base/clock.h"

namespace repository {
namespace {

using serve::DataType;
using serve::Tensor;
using serve::TensorInfo;
using Control = ::inference::ModelSequenceBatching::Control;
using Kind = ::inference::ModelSequenceBatching::Control::Kind;

constexpr uint64_t kDefaultIdleUs = 1'000'000;  // Triton's
constexpr int64_t kLookUs = 100'000;            // how often a waiting request looks whether its client has gone

int64_t now_us() { return base::system_clock().mono_us(); }

struct ControlInput {
  TensorInfo info;
  Kind kind = Control::CONTROL_SEQUENCE_START;
  std::string no, yes;  // bytes of one element
};

struct StateTensor {
  std::string output;
  Tensor initial;  // under the input's name
};

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// The one of the three lists that is there, as bytes, and the type that it is of.
base::Result<ControlInput> read_flags(const Control& control, const std::string& where) {
  ControlInput out{.kind = control.kind()};
  const int lists = (control.int32_false_true_size() > 0) + (control.fp32_false_true_size() > 0) +
                    (control.bool_false_true_size() > 0);
  const int values = control.int32_false_true_size() + control.fp32_false_true_size() + control.bool_false_true_size();
  if (lists != 1 || values != 2)
    return base::invalid(where + " needs one of int32_false_true, fp32_false_true, bool_false_true, with two values");
  if (control.int32_false_true_size() > 0) {
    out.info.type = DataType::kInt32;
    out.no = bytes_of(control.int32_false_true(0)), out.yes = bytes_of(control.int32_false_true(1));
  } else if (control.fp32_false_true_size() > 0) {
    out.info.type = DataType::kFp32;
    out.no = bytes_of(control.fp32_false_true(0)), out.yes = bytes_of(control.fp32_false_true(1));
  } else {
    out.info.type = DataType::kBool;
    out.no = bytes_of(control.bool_false_true(0)), out.yes = bytes_of(control.bool_false_true(1));
  }
  return out;
}

base::Result<ControlInput> read_control(const ::inference::ModelSequenceBatching::ControlInput& told) {
  const std::string where = "sequence_batching: control_input '" + told.name() + "'";
  if (told.name().empty() || told.control_size() != 1) return base::invalid(where + " needs a name and one control");
  const Control& control = told.control(0);
  ControlInput out{.kind = control.kind()};
  if (control.kind() == Control::CONTROL_SEQUENCE_CORRID) {
    TRY_SET(out.info.type, data_type(control.data_type(), told.name()));
    constexpr DataType kAllowed[] = {DataType::kUint64, DataType::kInt64, DataType::kUint32, DataType::kInt32,
                                     DataType::kBytes};
    if (std::ranges::find(kAllowed, out.info.type) == std::end(kAllowed))
      return base::invalid(where +
                           ": data_type of a CORRID is TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 or "
                           "TYPE_STRING");
  } else {
    TRY_SET(out, read_flags(control, where));
  }
  out.info.name = told.name();
  return out;
}

class Sequenced final : public serve::Model {
 public:
  Sequenced(std::unique_ptr<serve::Model> model, const ModelConfig& config)
      : model_(std::move(model)), name_(config.name()), batches_(config.max_batch_size() > 0) {}

  base::Result<void> plan(const ModelConfig& config, const base::Path& folder);

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return model_->classes(); }
  std::string_view platform() const override { return model_->platform(); }
  bool waits() const override { return true; }
  size_t parallel() const override { return places_; }
  std::string trouble() const override { return model_->trouble(); }
  std::optional<serve::WorkerStatistics> workers() const override { return model_->workers(); }
  std::optional<serve::RunLimits> limits() const override { return model_->limits(); }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override { return run_for(inputs, {}); }
  base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const serve::Call& call) const override;

 private:
  struct Live {
    std::vector<Tensor> state;  // inputs of the next request
    int64_t used_us = 0;
    uint64_t next_ticket = 0, turn = 0;  // requests are run in the order of their tickets
    std::set<uint64_t> gone;             // tickets whose requests did not wait
  };
  using LivePtr = std::shared_ptr<Live>;

  base::Result<void> plan_state(const ::inference::ModelSequenceBatching::State& told, const base::Path& folder);
  base::Result<LivePtr> enter(std::unique_lock<std::mutex>& lock, const serve::Call& call, uint64_t& ticket) const;
  base::Result<void> wait_turn(std::unique_lock<std::mutex>& lock, const LivePtr& live, uint64_t ticket,
                               const serve::Call& call) const;
  base::Result<void> wait(std::unique_lock<std::mutex>& lock, const serve::Call& call) const;
  void drop_idle() const;
  static void pass_turn(Live& live);
  base::Result<std::vector<Tensor>> with_controls(std::span<const Tensor> inputs,
                                                  const serve::Sequence& sequence) const;

  std::unique_ptr<serve::Model> model_;
  const std::string name_;
  const bool batches_;
  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<ControlInput> controls_;
  std::vector<StateTensor> states_;
  size_t places_ = 1;
  int64_t idle_us_ = 0;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::map<std::string, LivePtr, std::less<>> live_;
  mutable size_t waiting_ = 0;  // for a place
};

base::Result<void> Sequenced::plan(const ModelConfig& config, const base::Path& folder) {
  const auto& told = config.sequence_batching();
  std::set<std::string_view> hidden;
  for (const auto& input : told.control_input()) {
    TRY_SET(ControlInput control, read_control(input));
    const auto own = std::ranges::find(model_->inputs(), input.name(), &TensorInfo::name);
    if (own == model_->inputs().end() || own->type != control.info.type)
      return base::invalid("sequence_batching: the model has no input '" + input.name() + "' of type " +
                           std::string(serve::name(control.info.type)) + " for this control");
    control.info.shape.assign(own->shape.size(), 1);
    controls_.push_back(std::move(control));
    hidden.insert(input.name());
  }
  for (const auto& state : told.state()) {
    TRY(plan_state(state, folder));
    hidden.insert(state.input_name());
  }
  for (const TensorInfo& info : model_->inputs()) {
    if (!hidden.contains(info.name)) inputs_.push_back(info);
  }
  for (const TensorInfo& info : model_->outputs()) {
    if (std::ranges::find(states_, info.name, &StateTensor::output) == states_.end()) outputs_.push_back(info);
  }
  if (inputs_.empty() || outputs_.empty())
    return base::invalid("sequence_batching: the model has no inputs or no outputs beside controls and state");
  places_ = told.has_oldest() && told.oldest().max_candidate_sequences() > 0
                ? static_cast<size_t>(told.oldest().max_candidate_sequences())
                : static_cast<size_t>(std::max(config.max_batch_size(), 1));
  constexpr uint64_t kLongestUs = 86'400'000'000;
  const uint64_t idle_us = told.max_sequence_idle_microseconds();
  idle_us_ = static_cast<int64_t>(std::min(idle_us ? idle_us : kDefaultIdleUs, kLongestUs));
  model_->adjust({.min_workers = 1, .max_workers = 1});  // a model that keeps its own state has one place for it
  return {};
}

base::Result<void> Sequenced::plan_state(const ::inference::ModelSequenceBatching::State& told,
                                         const base::Path& folder) {
  const std::string where = "sequence_batching: state '" + told.input_name() + "'";
  const auto input = std::ranges::find(model_->inputs(), told.input_name(), &TensorInfo::name);
  const auto output = std::ranges::find(model_->outputs(), told.output_name(), &TensorInfo::name);
  TRY_SET(const DataType type, data_type(told.data_type(), told.input_name()));
  if (input == model_->inputs().end() || output == model_->outputs().end() || input->type != type ||
      output->type != type)
    return base::invalid(where + ": the model has no input '" + told.input_name() + "' and output '" +
                         told.output_name() + "' of type " + std::string(serve::name(type)));
  const auto* initial = told.initial_state_size() > 0 ? &told.initial_state(0) : nullptr;
  StateTensor state{.output = told.output_name(), .initial = {.name = told.input_name(), .type = type}};
  Tensor& tensor = state.initial;
  if (batches_) tensor.shape.push_back(1);
  for (const int64_t dim : initial && initial->dims_size() > 0 ? initial->dims() : told.dims())
    tensor.shape.push_back(dim < 0 ? 1 : dim);
  TRY_SET(const size_t count, serve::element_count(told.input_name(), tensor.shape));
  const size_t bytes = count * serve::byte_size(type);
  if (bytes > kMaxStateBytes) return base::invalid(where + " has more than 64 MiB");
  if (type == DataType::kBytes) {
    tensor.strings.resize(count);
  } else if (initial && !initial->data_file().empty()) {
    TRY_SET(tensor.bytes, base::read_file(folder / "initial_state" / initial->data_file(), kMaxStateBytes));
    if (tensor.bytes.size() != bytes)
      return base::invalid(where + ": " + initial->data_file() + " has " + std::to_string(tensor.bytes.size()) +
                           " bytes, its shape needs " + std::to_string(bytes));
  } else {
    tensor.bytes.assign(bytes, 0);
  }
  states_.push_back(std::move(state));
  return {};
}

// --- sequences -------------------------------------------------------------------------------------------------------

// The caller holds mutex_.
void Sequenced::drop_idle() const {
  const int64_t now = now_us();
  std::erase_if(live_, [&](const auto& entry) {
    const Live& live = *entry.second;
    return live.turn == live.next_ticket && now - live.used_us > idle_us_;
  });
}

base::Result<void> Sequenced::wait(std::unique_lock<std::mutex>& lock, const serve::Call& call) const {
  const int64_t left_us = call.deadline_mono_us ? call.deadline_mono_us - now_us() : kLookUs;
  if (left_us <= 0) return base::fail(base::Code::kDeadline, "the request's time was over before its turn came");
  if (call.cancelled.stop_requested()) return base::fail(base::Code::kCancelled, "the client went away");
  changed_.wait_for(lock, std::chrono::microseconds(std::min(left_us, kLookUs)));
  return {};
}

// The sequence that the request belongs to, and its place in the order of its requests.
base::Result<Sequenced::LivePtr> Sequenced::enter(std::unique_lock<std::mutex>& lock, const serve::Call& call,
                                                  uint64_t& ticket) const {
  const serve::Sequence& sequence = call.sequence;
  drop_idle();
  auto found = live_.find(sequence.id);
  if (found == live_.end() && !sequence.start)
    return base::invalid("inference request for sequence " + sequence.id + " to model '" + name_ +
                         "' must specify the START flag on the first request of the sequence");
  if (found == live_.end() && live_.size() >= places_) {
    if (waiting_ >= kMaxWaitingSequences)
      return base::fail(base::Code::kUnavailable, "model '" + name_ + "' has no place for another sequence");
    ++waiting_;
    base::Result<void> waited;
    while (waited && live_.size() >= places_ && !live_.contains(sequence.id)) {
      waited = wait(lock, call);
      drop_idle();
    }
    --waiting_;
    if (!waited) return std::unexpected(std::move(waited).error());
    found = live_.find(sequence.id);
  }
  if (found == live_.end()) found = live_.emplace(sequence.id, std::make_shared<Live>()).first;
  const LivePtr live = found->second;
  ticket = live->next_ticket++;
  return live;
}

// The caller holds mutex_.
void Sequenced::pass_turn(Live& live) {
  do ++live.turn;
  while (live.gone.erase(live.turn) > 0);
}

base::Result<void> Sequenced::wait_turn(std::unique_lock<std::mutex>& lock, const LivePtr& live, uint64_t ticket,
                                        const serve::Call& call) const {
  while (live->turn != ticket) {
    if (auto waited = wait(lock, call); !waited) {
      if (live->turn == ticket) {
        pass_turn(*live);
        changed_.notify_all();
      } else {
        live->gone.insert(ticket);
      }
      return waited;
    }
  }
  return {};
}

base::Result<std::vector<Tensor>> Sequenced::with_controls(std::span<const Tensor> inputs,
                                                           const serve::Sequence& sequence) const {
  std::vector<Tensor> out(inputs.begin(), inputs.end());
  for (const ControlInput& control : controls_) {
    Tensor tensor{.name = control.info.name, .type = control.info.type, .shape = control.info.shape};
    switch (control.kind) {
      case Control::CONTROL_SEQUENCE_START: tensor.bytes = sequence.start ? control.yes : control.no; break;
      case Control::CONTROL_SEQUENCE_END: tensor.bytes = sequence.end ? control.yes : control.no; break;
      case Control::CONTROL_SEQUENCE_READY: tensor.bytes = control.yes; break;
      default: {
        if (tensor.type == DataType::kBytes) {
          tensor.strings = {sequence.id};
          break;
        }
        uint64_t number = 0;
        const char* end = sequence.id.data() + sequence.id.size();
        const auto [stop, error] = std::from_chars(sequence.id.data(), end, number);
        const bool wide = serve::byte_size(tensor.type) == 8;
        if (error != std::errc() || stop != end || (!wide && number > UINT32_MAX))
          return base::invalid("model '" + name_ + "' takes numbers as sequence_id, found '" + sequence.id + "'");
        tensor.bytes = wide ? bytes_of(number) : bytes_of(static_cast<uint32_t>(number));
      }
    }
    out.push_back(std::move(tensor));
  }
  return out;
}

base::Result<std::vector<Tensor>> Sequenced::run_for(std::span<const Tensor> inputs, const serve::Call& call) const {
  if (call.sequence.id.empty())
    return base::invalid("inference request to model '" + name_ +
                         "' must specify a non-zero or non-empty correlation ID (sequence_id)");
  if (batches_ && !inputs.empty() && !inputs[0].shape.empty() && inputs[0].shape[0] != 1)
    return base::invalid("inference request to model '" + name_ +
                         "' must specify batch-size 1 due to requirements of sequence batcher");
  TRY_SET(std::vector<Tensor> ready, with_controls(inputs, call.sequence));
  std::unique_lock lock(mutex_);
  uint64_t ticket = 0;
  TRY_SET(const LivePtr live, enter(lock, call, ticket));
  TRY(wait_turn(lock, live, ticket, call));
  if (call.sequence.start || live->state.empty()) {
    live->state.clear();
    for (const StateTensor& state : states_) live->state.push_back(state.initial);
  }
  ready.insert(ready.end(), live->state.begin(), live->state.end());
  lock.unlock();
  auto outputs = model_->run_for(ready, call);
  std::vector<Tensor> shown;
  lock.lock();
  if (outputs) {  // else its state is what it was
    for (Tensor& tensor : *outputs) {
      const auto state = std::ranges::find(states_, tensor.name, &StateTensor::output);
      if (state == states_.end()) {
        shown.push_back(std::move(tensor));
        continue;
      }
      Tensor& next = live->state[static_cast<size_t>(state - states_.begin())];
      tensor.name = next.name;
      next = std::move(tensor);
    }
  }
  live->used_us = now_us();
  pass_turn(*live);
  if (call.sequence.end) {
    const auto found = live_.find(call.sequence.id);
    if (found != live_.end() && found->second == live && live->turn == live->next_ticket) live_.erase(found);
  }
  changed_.notify_all();
  if (!outputs) return std::unexpected(std::move(outputs).error());
  return shown;
}

}  // namespace

base::Result<void> check_sequences(const ModelConfig& config) {
  const auto& told = config.sequence_batching();
  if (told.has_oldest() && (told.oldest().max_candidate_sequences() < 0 ||
                            static_cast<size_t>(told.oldest().max_candidate_sequences()) > kMaxSequences))
    return base::invalid("sequence_batching.oldest.max_candidate_sequences is " +
                         std::to_string(told.oldest().max_candidate_sequences()) + "; allowed: 0 to " +
                         std::to_string(kMaxSequences));
  std::set<std::string_view> names;
  std::set<Kind> kinds;
  for (const auto& input : told.control_input()) {
    TRY_SET(const ControlInput control, read_control(input));
    if (!names.insert(input.name()).second || !kinds.insert(control.kind).second)
      return base::invalid("sequence_batching: control_input '" + input.name() + "' or its kind is there twice");
  }
  for (const auto& state : told.state()) {
    if (state.input_name().empty() || state.output_name().empty() || !names.insert(state.input_name()).second)
      return base::invalid("sequence_batching: a state needs an input_name and an output_name of its own");
    for (const auto& initial : state.initial_state()) {
      const std::string& file = initial.data_file();
      if (!file.empty() && (!base::is_safe_relative_path(file) || file.find('/') != std::string::npos))
        return base::invalid("initial_state: data_file '" + file.substr(0, 80) + "' is not the plain name of a file");
    }
  }
  return {};
}

base::Result<std::unique_ptr<serve::Model>> make_sequenced(std::unique_ptr<serve::Model> model,
                                                           const ModelConfig& config, const base::Path& folder) {
  auto out = std::make_unique<Sequenced>(std::move(model), config);
  TRY(out->plan(config, folder));
  return std::unique_ptr<serve::Model>(std::move(out));
}

}  // namespace repository
