#include "api/inference/tensor_proto.h"

#include <limits>
#include <optional>

#include "api/inference/outputs.h"
#include "api/inference/tfserving.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::Tensor;
using tensorflow::TensorProto;

std::optional<DataType> type_of(tensorflow::DataType type) {
  for (int i = 0; i <= static_cast<int>(DataType::kBytes); ++i) {
    if (tensorflow_type(static_cast<DataType>(i)) == type) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

std::unexpected<base::Error> wrong_count(const Tensor& tensor, size_t wanted, size_t found) {
  return base::invalid("input '" + tensor.name + "' of shape " + serve::shape_text(tensor.shape) + " needs " +
                       std::to_string(wanted) + " values of " + std::string(tensorflow_type_name(tensor.type)) +
                       ", found " + std::to_string(found));
}

// Appends `values` as elements of type T, and repeats the last one up to `count`. TensorFlow leaves out what repeats.
template <class T, class Values>
base::Result<void> fill(Tensor& tensor, size_t count, const Values& values) {
  const auto given = static_cast<size_t>(values.size());
  if (given > count || (given == 0 && count > 0)) return wrong_count(tensor, count, given);
  tensor.bytes.reserve(count * sizeof(T));
  for (size_t i = 0; i < count; ++i) {
    const auto value = values[static_cast<int>(std::min(i, given - 1))];
    const auto narrow = static_cast<T>(value);
    if (static_cast<decltype(value)>(narrow) != value && value == value)
      return base::invalid("input '" + tensor.name + "': " + std::to_string(value) + " is not a value of " +
                           std::string(tensorflow_type_name(tensor.type)));
    tensor.bytes.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
  }
  return {};
}

base::Result<void> fill_strings(Tensor& tensor, size_t count, TensorProto& message) {
  const auto given = static_cast<size_t>(message.string_val_size());
  if (given > count || (given == 0 && count > 0)) return wrong_count(tensor, count, given);
  // Texts that repeat may be long: they are not made more here.
  if (given != count) return wrong_count(tensor, count, given);
  for (std::string& text : *message.mutable_string_val()) tensor.strings.push_back(std::move(text));
  return {};
}

base::Result<void> fill_values(Tensor& tensor, size_t count, TensorProto& message) {
  switch (tensor.type) {
    case DataType::kBool: return fill<uint8_t>(tensor, count, message.bool_val());
    case DataType::kUint8: return fill<uint8_t>(tensor, count, message.int_val());
    case DataType::kUint16: return fill<uint16_t>(tensor, count, message.int_val());
    case DataType::kUint32: return fill<uint32_t>(tensor, count, message.uint32_val());
    case DataType::kUint64: return fill<uint64_t>(tensor, count, message.uint64_val());
    case DataType::kInt8: return fill<int8_t>(tensor, count, message.int_val());
    case DataType::kInt16: return fill<int16_t>(tensor, count, message.int_val());
    case DataType::kInt32: return fill<int32_t>(tensor, count, message.int_val());
    case DataType::kInt64: return fill<int64_t>(tensor, count, message.int64_val());
    case DataType::kFp16:
    case DataType::kBf16: return fill<uint16_t>(tensor, count, message.half_val());  // their bits
    case DataType::kFp32: return fill<float>(tensor, count, message.float_val());
    case DataType::kFp64: return fill<double>(tensor, count, message.double_val());
    case DataType::kBytes: return fill_strings(tensor, count, message);
  }
  return {};
}

}  // namespace

base::Result<Tensor> read_tensor_proto(const std::string& name, TensorProto& message) {
  constexpr size_t kMaxBytes = base::limits::kInferBody;  // one value for all must not become more than a body
  const auto type = type_of(message.dtype());
  if (!type)
    return base::invalid("input '" + name + "': type " + std::to_string(message.dtype()) +
                         " is not read here; allowed: DT_FLOAT, DT_DOUBLE, DT_HALF, DT_BFLOAT16, DT_INT8 to DT_INT64,"
                         " DT_UINT8 to DT_UINT64, DT_BOOL, DT_STRING");
  Tensor tensor{.name = name, .type = *type};
  if (message.tensor_shape().unknown_rank()) return base::invalid("input '" + name + "' has no known shape");
  for (const auto& dim : message.tensor_shape().dim()) tensor.shape.push_back(dim.size());
  TRY_SET(const size_t count, serve::element_count(name, tensor.shape));
  if (count > kMaxBytes / std::max<size_t>(serve::byte_size(*type), 1))
    return base::fail(base::Code::kTooLarge, "input '" + name + "' of shape " + serve::shape_text(tensor.shape) +
                                                 " has more than " + std::to_string(kMaxBytes) + " bytes");
  if (!message.tensor_content().empty()) {
    if (*type == DataType::kBytes) return base::invalid("input '" + name + "': text goes in string_val");
    TRY(adopt_raw(tensor, *message.mutable_tensor_content()));
    return tensor;
  }
  TRY(fill_values(tensor, count, message));
  return tensor;
}

void write_tensor_proto(Tensor tensor, TensorProto& message) {
  message.set_dtype(static_cast<tensorflow::DataType>(tensorflow_type(tensor.type)));
  auto& shape = *message.mutable_tensor_shape();
  for (const int64_t dim : tensor.shape) shape.add_dim()->set_size(dim);
  if (tensor.type == DataType::kBytes) {
    for (std::string& text : tensor.strings) message.add_string_val(std::move(text));
  } else {
    message.set_tensor_content(std::move(tensor.bytes));
  }
}

void write_tensor_info(const serve::TensorInfo& info, tensorflow::TensorInfo& message) {
  message.set_name(info.name);
  message.set_dtype(static_cast<tensorflow::DataType>(tensorflow_type(info.type)));
  for (const int64_t dim : info.shape) message.mutable_tensor_shape()->add_dim()->set_size(dim);
}

}  // namespace api::inference
