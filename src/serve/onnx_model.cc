#include "serve/onnx_model.h"

#include <array>
#include <cstring>
#include <utility>

#include "serve/onnx_file.h"
#include "serve/onnx_library.h"

namespace serve {
namespace {

constexpr std::array<std::pair<DataType, ONNXTensorElementDataType>, 14> kElementTypes = {{
    {DataType::kBool, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
    {DataType::kUint8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {DataType::kUint16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
    {DataType::kUint32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32},
    {DataType::kUint64, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64},
    {DataType::kInt8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {DataType::kInt16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},
    {DataType::kInt32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {DataType::kInt64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {DataType::kFp16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {DataType::kBf16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16},
    {DataType::kFp32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {DataType::kFp64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {DataType::kBytes, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING},
}};

ONNXTensorElementDataType to_onnx(DataType type) { return kElementTypes[static_cast<size_t>(type)].second; }

base::Result<DataType> from_onnx(ONNXTensorElementDataType type, const std::string& tensor) {
  for (const auto& [ours, theirs] : kElementTypes) {
    if (theirs == type) return ours;
  }
  return base::invalid("'" + tensor + "' has ONNX element type " + std::to_string(type) +
                       ", which no inference protocol can carry; cast it inside the model");
}

// Objects of the C API, released by the function of the api table that belongs to them.
template <class T>
class Owned {
 public:
  using Release = void(ORT_API_CALL*)(T*);
  explicit Owned(Release release) : release_(release) {}
  Owned(Owned&& other) noexcept : release_(other.release_), object_(std::exchange(other.object_, nullptr)) {}
  Owned& operator=(Owned&&) = delete;
  ~Owned() {
    if (object_) release_(object_);
  }
  T* get() const { return object_; }
  T** out() { return &object_; }

 private:
  Release release_;
  T* object_ = nullptr;
};

enum class OutputKind : uint8_t { kTensor, kMaps };

class OnnxModel final : public Model {
 public:
  explicit OnnxModel(const OnnxLibrary& library) : lib_(library), api_(*library.api), session_(library.api->ReleaseSession) {}

  base::Result<void> load(const base::Path& file);

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return "onnxruntime_onnx"; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override;

 private:
  // ORT's own words for what went wrong, in one line.
  base::Result<void> ok(OrtStatus* status) const {
    if (!status) [[likely]] return {};
    std::string message = api_.GetErrorMessage(status);
    api_.ReleaseStatus(status);
    for (char& c : message) {
      if (c == '\n') c = ' ';
    }
    return base::invalid(std::move(message));
  }
  Owned<OrtValue> value() const { return Owned<OrtValue>(api_.ReleaseValue); }

  base::Result<void> describe(bool input, size_t index);
  base::Result<void> describe_tensor(const OrtTensorTypeAndShapeInfo* info, TensorInfo& out) const;
  base::Result<void> wrap(const Tensor& tensor, OrtValue** out) const;
  base::Result<Tensor> unwrap(OrtValue* value, const std::string& name) const;
  base::Result<Tensor> unwrap_maps(OrtValue* value, const std::string& name) const;

  const OnnxLibrary& lib_;
  const OrtApi& api_;
  Owned<OrtSession> session_;
  std::vector<TensorInfo> inputs_;
  std::vector<TensorInfo> outputs_;
  std::vector<OutputKind> output_kinds_;
  std::vector<const char*> output_names_;  // into outputs_
  std::vector<std::string> classes_;
};

base::Result<void> OnnxModel::load(const base::Path& file) {
  TRY_SET(OnnxFacts facts, inspect_onnx(file));
  classes_ = std::move(facts.classes);

  Owned<OrtSessionOptions> options(api_.ReleaseSessionOptions);
  TRY(ok(api_.CreateSessionOptions(options.out())));
  // The loop that read the request runs the model: pools of ORT's own would only fight with the other loops.
  TRY(ok(api_.SetIntraOpNumThreads(options.get(), 1)));
  TRY(ok(api_.SetInterOpNumThreads(options.get(), 1)));
  TRY(ok(api_.SetSessionExecutionMode(options.get(), ORT_SEQUENTIAL)));
  TRY(ok(api_.CreateSession(lib_.env, file.c_str(), options.get(), session_.out())));

  size_t input_count = 0, output_count = 0;
  TRY(ok(api_.SessionGetInputCount(session_.get(), &input_count)));
  TRY(ok(api_.SessionGetOutputCount(session_.get(), &output_count)));
  for (size_t i = 0; i < input_count; ++i) TRY(describe(true, i));
  for (size_t i = 0; i < output_count; ++i) TRY(describe(false, i));
  for (const TensorInfo& output : outputs_) output_names_.push_back(output.name.c_str());
  return {};
}

base::Result<void> OnnxModel::describe(bool input, size_t index) {
  char* raw_name = nullptr;
  TRY(ok(input ? api_.SessionGetInputName(session_.get(), index, lib_.allocator, &raw_name)
               : api_.SessionGetOutputName(session_.get(), index, lib_.allocator, &raw_name)));
  TensorInfo info;
  info.name = raw_name;
  TRY(ok(api_.AllocatorFree(lib_.allocator, raw_name)));

  Owned<OrtTypeInfo> type(api_.ReleaseTypeInfo);
  TRY(ok(input ? api_.SessionGetInputTypeInfo(session_.get(), index, type.out())
               : api_.SessionGetOutputTypeInfo(session_.get(), index, type.out())));
  ONNXType kind = ONNX_TYPE_UNKNOWN;
  TRY(ok(api_.GetOnnxTypeFromTypeInfo(type.get(), &kind)));
  if (kind == ONNX_TYPE_TENSOR) {
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;
    TRY(ok(api_.CastTypeInfoToTensorInfo(type.get(), &tensor)));
    TRY(describe_tensor(tensor, info));
    (input ? inputs_ : outputs_).push_back(std::move(info));
    if (!input) output_kinds_.push_back(OutputKind::kTensor);
    return {};
  }
  if (kind == ONNX_TYPE_SEQUENCE && !input) {  // ZipMap: one {class: probability} per row
    const int64_t columns = classes_.empty() ? -1 : static_cast<int64_t>(classes_.size());
    outputs_.push_back({info.name, DataType::kFp32, {-1, columns}});
    output_kinds_.push_back(OutputKind::kMaps);
    return {};
  }
  return base::invalid(std::string(input ? "input '" : "output '") + info.name +
                       "' is not a tensor; convert the model with tensors only (skl2onnx: options={'zipmap': False})");
}

base::Result<void> OnnxModel::describe_tensor(const OrtTensorTypeAndShapeInfo* info, TensorInfo& out) const {
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  TRY(ok(api_.GetTensorElementType(info, &element)));
  TRY_SET(out.type, from_onnx(element, out.name));
  size_t rank = 0;
  TRY(ok(api_.GetDimensionsCount(info, &rank)));
  out.shape.resize(rank);
  TRY(ok(api_.GetDimensions(info, out.shape.data(), rank)));
  for (int64_t& dim : out.shape) dim = dim < 0 ? -1 : dim;
  return {};
}

base::Result<void> OnnxModel::wrap(const Tensor& tensor, OrtValue** out) const {
  if (tensor.type != DataType::kBytes) {
    // ORT reads the bytes in place and does not write to inputs, whatever its signature says.
    return ok(api_.CreateTensorWithDataAsOrtValue(lib_.cpu, const_cast<char*>(tensor.bytes.data()), tensor.bytes.size(),
                                                  tensor.shape.data(), tensor.shape.size(), to_onnx(tensor.type), out));
  }
  TRY(ok(api_.CreateTensorAsOrtValue(lib_.allocator, tensor.shape.data(), tensor.shape.size(),
                                     ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, out)));
  for (size_t i = 0; i < tensor.strings.size(); ++i) {
    const std::string& text = tensor.strings[i];
    char* buffer = nullptr;  // sized, unlike FillStringTensor's C strings: an element may hold NUL bytes
    TRY(ok(api_.GetResizedStringTensorElementBuffer(*out, i, text.size(), &buffer)));
    if (!text.empty()) std::memcpy(buffer, text.data(), text.size());
  }
  return {};
}

base::Result<Tensor> OnnxModel::unwrap(OrtValue* value, const std::string& name) const {
  Owned<OrtTensorTypeAndShapeInfo> info(api_.ReleaseTensorTypeAndShapeInfo);
  TRY(ok(api_.GetTensorTypeAndShape(value, info.out())));
  TensorInfo described{.name = name};
  TRY(describe_tensor(info.get(), described));
  size_t count = 0;
  TRY(ok(api_.GetTensorShapeElementCount(info.get(), &count)));

  Tensor tensor{.name = name, .type = described.type, .shape = std::move(described.shape)};
  if (tensor.type != DataType::kBytes) {
    void* data = nullptr;
    TRY(ok(api_.GetTensorMutableData(value, &data)));
    if (count > 0) tensor.bytes.assign(static_cast<const char*>(data), count * byte_size(tensor.type));
    return tensor;
  }
  tensor.strings.resize(count);
  for (size_t i = 0; i < count; ++i) {
    size_t length = 0;
    TRY(ok(api_.GetStringTensorElementLength(value, i, &length)));
    tensor.strings[i].resize(length);
    if (length > 0) TRY(ok(api_.GetStringTensorElement(value, length, i, tensor.strings[i].data())));
  }
  return tensor;
}

// A sequence of {class: float} maps as one [rows, classes] tensor. ZipMap writes the same keys in the same order for
// every row; a row that does not is refused, because its columns would not line up.
base::Result<Tensor> OnnxModel::unwrap_maps(OrtValue* value, const std::string& name) const {
  size_t rows = 0;
  TRY(ok(api_.GetValueCount(value, &rows)));
  Tensor tensor{.name = name, .type = DataType::kFp32};
  std::vector<std::string> keys;
  for (size_t row = 0; row < rows; ++row) {
    auto map = this->value(), map_keys = this->value(), map_values = this->value();
    TRY(ok(api_.GetValue(value, static_cast<int>(row), lib_.allocator, map.out())));
    TRY(ok(api_.GetValue(map.get(), 0, lib_.allocator, map_keys.out())));
    TRY(ok(api_.GetValue(map.get(), 1, lib_.allocator, map_values.out())));
    TRY_SET(const Tensor key_tensor, unwrap(map_keys.get(), name));
    TRY_SET(const Tensor value_tensor, unwrap(map_values.get(), name));
    const size_t columns = value_tensor.shape.empty() ? 0 : static_cast<size_t>(value_tensor.shape[0]);
    if (value_tensor.type != DataType::kFp32) {
      return base::invalid("output '" + name + "' maps to " + std::string(serve::name(value_tensor.type)) +
                           "; convert the model with options={'zipmap': False}");
    }
    std::vector<std::string> row_keys;
    for (size_t i = 0; i < columns; ++i) row_keys.push_back(text_at(key_tensor, i));
    if (row == 0) {
      keys = row_keys;
    } else if (keys != row_keys) {
      return base::invalid("output '" + name + "' has other classes in row " + std::to_string(row) +
                           " than in row 0; convert the model with options={'zipmap': False}");
    }
    // The columns follow classes(), whatever order the maps have (ORT keeps them sorted).
    if (classes_.size() == columns && keys != classes_) {
      for (const std::string& wanted : classes_) {
        size_t at = 0;
        while (at < columns && keys[at] != wanted) ++at;
        if (at == columns) return base::internal("output '" + name + "' has no score for class " + wanted);
        tensor.bytes.append(value_tensor.bytes, at * sizeof(float), sizeof(float));
      }
    } else {
      tensor.bytes += value_tensor.bytes;
    }
  }
  const size_t columns = rows == 0 ? classes_.size() : keys.size();
  tensor.shape = {static_cast<int64_t>(rows), static_cast<int64_t>(columns)};
  return tensor;
}

base::Result<std::vector<Tensor>> OnnxModel::run(std::span<const Tensor> inputs) const {
  std::vector<Owned<OrtValue>> held;
  held.reserve(inputs_.size() + outputs_.size());
  // Plain pointers for the C call; kept between calls so that a run allocates nothing for them.
  thread_local std::vector<const char*> names;
  thread_local std::vector<OrtValue*> values, results;
  names.clear();
  values.clear();
  results.assign(outputs_.size(), nullptr);

  if (inputs.size() != inputs_.size()) {
    return base::invalid("the model takes " + std::to_string(inputs_.size()) + " input(s), found " + std::to_string(inputs.size()));
  }
  for (const TensorInfo& info : inputs_) {
    const Tensor* given = nullptr;
    for (const Tensor& tensor : inputs) {
      if (tensor.name == info.name) given = &tensor;
    }
    if (!given) return base::invalid("input '" + info.name + "' is missing");
    TRY(check_tensor(*given, info));
    held.push_back(value());
    TRY(wrap(*given, held.back().out()));
    names.push_back(info.name.c_str());
    values.push_back(held.back().get());
  }
  if (auto ran = ok(api_.Run(session_.get(), nullptr, names.data(), values.data(), values.size(), output_names_.data(),
                             output_names_.size(), results.data()));
      !ran) {
    for (OrtValue* result : results) {
      if (result) api_.ReleaseValue(result);
    }
    return std::unexpected(std::move(ran).error().within("the model could not run on this input"));
  }
  for (OrtValue* result : results) {
    held.push_back(value());
    *held.back().out() = result;
  }
  std::vector<Tensor> outputs;
  outputs.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    OrtValue* result = held[inputs_.size() + i].get();
    if (!result) return base::internal("output '" + outputs_[i].name + "' was not produced");
    TRY_SET(Tensor tensor, output_kinds_[i] == OutputKind::kMaps ? unwrap_maps(result, outputs_[i].name)
                                                                 : unwrap(result, outputs_[i].name));
    outputs.push_back(std::move(tensor));
  }
  return outputs;
}

}  // namespace

base::Result<std::unique_ptr<Model>> load_onnx_model(const base::Path& file) {
  TRY_SET(const OnnxLibrary* library, onnx_library());
  auto model = std::make_unique<OnnxModel>(*library);
  if (auto loaded = model->load(file); !loaded) return std::unexpected(std::move(loaded).error().within(file.filename().string()));
  return std::unique_ptr<Model>(std::move(model));
}

base::Result<std::string> onnxruntime_library() {
  TRY_SET(const OnnxLibrary* library, onnx_library());
  return library->path + " (" + library->version + ")";
}

}  // namespace serve
