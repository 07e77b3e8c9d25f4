#include "api/inference/grpc_tensors.h"

#include <algorithm>
#include <limits>

namespace api::inference {
namespace {

using ::inference::InferParameter;
using ::inference::InferTensorContents;
using serve::DataType;
using serve::Tensor;

constexpr int kMaxTensors = 1024;  // inputs, or outputs asked for, of one request
constexpr int64_t kMaxClasses = 10'000;

std::string limit_text(std::string_view what, int found, int most) {
  return std::string(what) + ": " + std::to_string(found) + "; allowed are " + std::to_string(most);
}

// Appends values that were widened on the wire.
template <class Narrow, class Values>
base::Result<void> narrow(Tensor& tensor, const Values& values) {
  tensor.bytes.reserve(static_cast<size_t>(values.size()) * sizeof(Narrow));
  for (const auto value : values) {
    if (value < std::numeric_limits<Narrow>::min() || value > std::numeric_limits<Narrow>::max()) {
      return base::invalid("input '" + tensor.name + "': " + std::to_string(value) + " is not a value of type " +
                           std::string(serve::name(tensor.type)));
    }
    const auto number = static_cast<Narrow>(value);
    tensor.bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  return {};
}

template <class Values>
base::Result<void> copy(Tensor& tensor, const Values& values) {
  tensor.bytes.assign(reinterpret_cast<const char*>(values.data()),
                      static_cast<size_t>(values.size()) * sizeof(*values.data()));
  return {};
}

base::Result<void> fill(Tensor& tensor, InferTensorContents& contents) {
  switch (tensor.type) {
    case DataType::kBool: return copy(tensor, contents.bool_contents());
    case DataType::kInt8: return narrow<int8_t>(tensor, contents.int_contents());
    case DataType::kInt16: return narrow<int16_t>(tensor, contents.int_contents());
    case DataType::kInt32: return copy(tensor, contents.int_contents());
    case DataType::kInt64: return copy(tensor, contents.int64_contents());
    case DataType::kUint8: return narrow<uint8_t>(tensor, contents.uint_contents());
    case DataType::kUint16: return narrow<uint16_t>(tensor, contents.uint_contents());
    case DataType::kUint32: return copy(tensor, contents.uint_contents());
    case DataType::kUint64: return copy(tensor, contents.uint64_contents());
    case DataType::kFp32: return copy(tensor, contents.fp32_contents());
    case DataType::kFp64: return copy(tensor, contents.fp64_contents());
    case DataType::kFp16:
    case DataType::kBf16:
      return base::invalid("input '" + tensor.name + "': " + std::string(serve::name(tensor.type)) +
                           " has no typed contents; send it in raw_input_contents");
    case DataType::kBytes:
      for (std::string& text : *contents.mutable_bytes_contents()) tensor.strings.push_back(std::move(text));
      return {};
  }
  return {};
}

// Contents of another type than the tensor's would silently be none.
base::Result<void> check_contents(const Tensor& tensor, const InferTensorContents& contents) {
  const int all = contents.bool_contents_size() + contents.int_contents_size() + contents.int64_contents_size() +
                  contents.uint_contents_size() + contents.uint64_contents_size() + contents.fp32_contents_size() +
                  contents.fp64_contents_size() + contents.bytes_contents_size();
  TRY_SET(const size_t wanted, serve::element_count(tensor.name, tensor.shape));
  const size_t found =
      tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / serve::byte_size(tensor.type);
  if (static_cast<size_t>(all) != found) {
    return base::invalid("input '" + tensor.name + "' of type " + std::string(serve::name(tensor.type)) +
                         " has contents of another type");
  }
  if (found == wanted) return {};
  return base::invalid("input '" + tensor.name + "' of shape " + serve::shape_text(tensor.shape) + " needs " +
                       std::to_string(wanted) + " elements, found " + std::to_string(found));
}

std::optional<uint64_t> number_of(const InferParameter& parameter) {
  if (parameter.parameter_choice_case() == InferParameter::kUint64Param) return parameter.uint64_param();
  if (parameter.parameter_choice_case() == InferParameter::kInt64Param && parameter.int64_param() >= 0)
    return static_cast<uint64_t>(parameter.int64_param());
  return std::nullopt;
}

template <class Parameters>
base::Result<std::optional<uint64_t>> number_in(const Parameters& parameters, const char* name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return std::nullopt;
  const auto number = number_of(found->second);
  if (!number) return base::invalid("'" + std::string(name) + "' must be a whole number");
  return number;
}

template <class Parameters>
base::Result<SharedPart> read_part(const Parameters& parameters) {
  std::optional<std::string> region;
  if (const auto found = parameters.find("shared_memory_region"); found != parameters.end())
    region = found->second.string_param();
  TRY_SET(const auto offset, number_in(parameters, "shared_memory_offset"));
  TRY_SET(const auto bytes, number_in(parameters, "shared_memory_byte_size"));
  return make_part(std::move(region), offset, bytes);
}

template <class Parameters>
base::Result<bool> flag_in(const Parameters& parameters, const char* name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return false;
  if (found->second.parameter_choice_case() != InferParameter::kBoolParam)
    return base::invalid("'" + std::string(name) + "' must be true or false");
  return found->second.bool_param();
}

template <class Parameters>
base::Result<serve::Sequence> read_sequence(const Parameters& parameters) {
  serve::Sequence out;
  TRY_SET(out.start, flag_in(parameters, "sequence_start"));
  TRY_SET(out.end, flag_in(parameters, "sequence_end"));
  const auto found = parameters.find("sequence_id");
  if (found == parameters.end()) return out;
  if (found->second.parameter_choice_case() == InferParameter::kStringParam) {
    out.id = found->second.string_param();
    if (out.id.size() > serve::kMaxSequenceId)
      return base::invalid("'sequence_id' has " + std::to_string(out.id.size()) + " bytes; at most " +
                           std::to_string(serve::kMaxSequenceId) + " are allowed");
    return out;
  }
  TRY_SET(const auto number, number_in(parameters, "sequence_id"));
  if (number.value_or(0) != 0) out.id = std::to_string(*number);
  return out;
}

base::Result<int64_t> read_classes(const InferParameter& parameter) {
  int64_t classes = -1;
  if (parameter.parameter_choice_case() == InferParameter::kInt64Param) classes = parameter.int64_param();
  if (parameter.parameter_choice_case() == InferParameter::kUint64Param)
    classes = static_cast<int64_t>(std::min<uint64_t>(parameter.uint64_param(), kMaxClasses + 1));
  if (classes < 0 || classes > kMaxClasses)
    return base::invalid("'classification' must be a whole number from 0 to " + std::to_string(kMaxClasses));
  return classes;
}

}  // namespace

uint64_t priority_in(const ::inference::ModelInferRequest& message) {
  const auto found = message.parameters().find("priority");
  return found == message.parameters().end() ? 0 : number_of(found->second).value_or(0);
}

base::Result<OipRequest> read_infer_request(::inference::ModelInferRequest& message) {
  OipRequest request;
  if (message.inputs_size() > kMaxTensors)
    return base::invalid(limit_text("inputs", message.inputs_size(), kMaxTensors));
  if (message.outputs_size() > kMaxTensors)
    return base::invalid(limit_text("outputs", message.outputs_size(), kMaxTensors));
  int shared = 0;  // inputs in shared memory have no entry among the raw ones
  for (const auto& input : message.inputs()) shared += input.parameters().contains("shared_memory_region");
  int next_raw = 0;
  const bool raw = message.raw_input_contents_size() > 0;
  if (raw && message.raw_input_contents_size() != message.inputs_size() - shared) {
    return base::invalid("raw_input_contents has " + std::to_string(message.raw_input_contents_size()) +
                         " entries for " + std::to_string(message.inputs_size() - shared) +
                         " inputs; one each, or none");
  }
  TRY_SET(const auto timeout, number_in(message.parameters(), "timeout"));
  TRY_SET(const auto priority, number_in(message.parameters(), "priority"));
  request.wish = {.priority = priority.value_or(0), .timeout_us = timeout.value_or(0)};
  TRY_SET(request.wish.sequence, read_sequence(message.parameters()));
  request.id = message.id();
  request.inputs.reserve(static_cast<size_t>(message.inputs_size()));
  for (int i = 0; i < message.inputs_size(); ++i) {
    auto& input = *message.mutable_inputs(i);
    Tensor tensor;
    tensor.name = input.name();
    if (tensor.name.empty()) return base::invalid("an input has no 'name'");
    const auto type = serve::parse_data_type(input.datatype());
    if (!type) {
      return base::invalid("datatype '" + input.datatype().substr(0, 40) +
                           "' is unknown; allowed: BOOL, UINT8, UINT16, UINT32, UINT64, INT8,"
                           " INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES");
    }
    tensor.type = *type;
    tensor.shape.assign(input.shape().begin(), input.shape().end());
    TRY_SET(SharedPart part, read_part(input.parameters()));
    const bool in_region = !part.region.empty();
    if (shared) request.shared_inputs.push_back(std::move(part));
    if (in_region) {
      if (input.has_contents())
        return base::invalid("input '" + tensor.name + "' has contents beside its shared memory region");
    } else if (raw) {
      if (input.has_contents())
        return base::invalid("input '" + tensor.name + "' has contents beside raw_input_contents; only one is allowed");
      TRY(adopt_raw(tensor, *message.mutable_raw_input_contents(next_raw++)));
    } else {
      TRY(fill(tensor, *input.mutable_contents()));
      TRY(check_contents(tensor, input.contents()));
    }
    request.inputs.push_back(std::move(tensor));
  }
  for (const auto& wanted : message.outputs()) {
    OipRequest::Output output;
    output.name = wanted.name();
    if (output.name.empty()) return base::invalid("an output has no 'name'");
    const auto same = [&](const OipRequest::Output& other) { return other.name == output.name; };
    if (std::ranges::any_of(request.outputs, same))
      return base::invalid("output '" + output.name + "' is asked for twice");
    TRY_SET(output.shared, read_part(wanted.parameters()));
    if (const auto found = wanted.parameters().find("classification"); found != wanted.parameters().end()) {
      TRY_SET(output.classes, read_classes(found->second));
      if (output.classes > 0 && !output.shared.region.empty())
        return base::invalid("shared memory does not support classification");
    }
    request.outputs.push_back(std::move(output));
  }
  request.has_outputs = !request.outputs.empty();
  return request;
}

void write_infer_response(const serve::LiveEndpoint& endpoint, std::string_view id, std::vector<Output> outputs,
                          ::inference::ModelInferResponse& message) {
  message.set_model_name(endpoint.name);
  message.set_model_version(endpoint.version);
  message.set_id(std::string(id));
  for (Output& output : outputs) {
    Tensor& tensor = output.tensor;
    auto& told = *message.add_outputs();
    told.set_name(std::move(tensor.name));
    told.set_datatype(std::string(serve::name(tensor.type)));
    for (int64_t dim : tensor.shape) told.add_shape(dim);
    std::string& bytes = *message.add_raw_output_contents();
    if (const SharedPart& part = output.shared; !part.region.empty()) {  // an empty entry keeps the others' places
      auto& parameters = *told.mutable_parameters();
      parameters["shared_memory_region"].set_string_param(part.region);
      if (part.offset != 0) parameters["shared_memory_offset"].set_int64_param(static_cast<int64_t>(part.offset));
      parameters["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(part.bytes));
    } else if (tensor.type == DataType::kBytes) {
      append_raw(bytes, tensor);
    } else {
      bytes = std::move(tensor.bytes);
    }
  }
}

}  // namespace api::inference
