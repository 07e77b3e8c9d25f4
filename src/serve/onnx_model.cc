#include "serve/onnx_model.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
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

// The values of one run, released with it: first the inputs, then the outputs.
class Call {
 public:
  Call(const OrtApi& api, size_t inputs, size_t outputs) : api_(api), inputs_(inputs), values_(inputs + outputs) {}
  Call(const Call&) = delete;
  ~Call() { drop(0); }
  OrtValue** inputs() { return values_.data(); }
  OrtValue** outputs() { return values_.data() + inputs_; }
  void drop_outputs() { drop(inputs_); }

 private:
  void drop(size_t from) {
    for (size_t i = from; i < values_.size(); ++i) {
      if (values_[i]) api_.ReleaseValue(std::exchange(values_[i], nullptr));
    }
  }
  const OrtApi& api_;
  size_t inputs_;
  std::vector<OrtValue*> values_;
};

// The values of a call of one row, bound to a model's names, which a thread keeps for its next: most requests are one
// row, and making and releasing the values took as long as a small model runs. They wrap memory of the call's own.
class RowCall {
 public:
  RowCall() = default;
  RowCall(const RowCall&) = delete;
  ~RowCall() { clear(); }

  bool is_of(uint64_t model) const { return model_ == model; }
  OrtStatus* begin(uint64_t model, const OrtApi& api, OrtSession* session, size_t values) {
    clear();
    model_ = model;
    api_ = &api;
    values_.resize(values);
    memory_.resize(values);
    return api.CreateIoBinding(session, &binding_);
  }
  void clear() {
    for (OrtValue* value : values_) {
      if (value) api_->ReleaseValue(value);
    }
    values_.clear();
    memory_.clear();
    if (binding_) api_->ReleaseIoBinding(std::exchange(binding_, nullptr));
    model_ = 0;
  }
  OrtValue** value(size_t i) { return &values_[i]; }
  OrtIoBinding* binding() { return binding_; }
  std::vector<char>& memory(size_t i) { return memory_[i]; }

 private:
  uint64_t model_ = 0;
  const OrtApi* api_ = nullptr;
  OrtIoBinding* binding_ = nullptr;
  std::vector<OrtValue*> values_;  // first the inputs, then the outputs
  std::vector<std::vector<char>> memory_;
};

constexpr size_t kRowBytes = 64 * base::limits::kKiB;  // of a value that is kept; longer rows are wrapped each time
constexpr size_t kRowCalls = 4;                        // models of which a thread keeps one
// A model of up to so many bytes needs little memory between its inputs and its outputs: planning that memory and
// keeping an arena for it cost a tenth of the instructions of its run, and save nothing.
constexpr size_t kPlainMemoryBytes = 1 * base::limits::kMiB;

enum class OutputKind : uint8_t { kTensor, kMaps };

bool is_batch(const TensorInfo& info) {  // any number of rows, each of a fixed size
  return !info.shape.empty() && info.shape[0] < 0 &&
         std::all_of(info.shape.begin() + 1, info.shape.end(), [](int64_t dim) { return dim >= 0; });
}

size_t row_bytes(const TensorInfo& info) {  // of a batch
  size_t bytes = byte_size(info.type);
  for (size_t i = 1; i < info.shape.size(); ++i) {
    const auto dim = static_cast<size_t>(info.shape[i]);
    if (dim != 0 && bytes > kRowBytes / dim) return kRowBytes + 1;
    bytes *= dim;
  }
  return bytes;
}

class OnnxModel final : public Model {
 public:
  explicit OnnxModel(const OnnxLibrary& library)
      : lib_(library), api_(*library.api), session_(library.api->ReleaseSession) {}

  base::Result<void> load(const base::Path& file);

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return "onnxruntime_onnx"; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override;

 private:
  // ORT's own words for what went wrong, in one line.
  base::Result<void> ok(OrtStatus* status) const {
    if (!status) [[likely]]
      return {};
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
  base::Result<const Tensor*> find_input(std::span<const Tensor> inputs, size_t index) const;
  base::Result<void> take_inputs(std::span<const Tensor> inputs, Call& call) const;
  base::Result<std::vector<Tensor>> run_row(std::span<const Tensor> inputs) const;
  base::Result<RowCall*> row_call() const;
  base::Result<void> wrap_row(const TensorInfo& info, RowCall& call, size_t index) const;
  base::Result<void> run_session(Call& call) const;
  base::Result<std::vector<Tensor>> offer_outputs(size_t rows, Call& call) const;
  base::Result<std::vector<Tensor>> take_outputs(Call& call) const;
  size_t rows_in(std::span<const Tensor> inputs) const { return static_cast<size_t>(inputs[0].shape[0]); }
  base::Result<void> wrap(const Tensor& tensor, OrtValue** out) const;
  base::Result<Tensor> unwrap(OrtValue* value, const std::string& name, DataType type) const;
  base::Result<Tensor> unwrap_part(OrtValue* map, int index, const std::string& name) const;
  base::Result<Tensor> unwrap_maps(OrtValue* value, const std::string& name) const;

  const OnnxLibrary& lib_;
  const OrtApi& api_;
  Owned<OrtSession> session_;
  std::vector<TensorInfo> inputs_;
  std::vector<TensorInfo> outputs_;
  std::vector<OutputKind> output_kinds_;
  std::vector<const char*> input_names_, output_names_;  // into inputs_, outputs_
  // Each row in gives a row out, of a size known beforehand: so the outputs' memory is made before the run, and neither
  // allocated by it nor copied after it. Unset by the first run whose outputs have other shapes.
  mutable std::atomic<bool> row_wise_{false};
  bool row_kept_ = false;  // and small enough to keep a call of one row
  static inline std::atomic<uint64_t> next_serial_{1};
  const uint64_t serial_ = next_serial_++;  // never reused: a thread's RowCall of a model that has gone is not taken
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
  std::error_code unknown;  // then CreateSession says what is wrong with the file
  if (std::filesystem::file_size(file, unknown) <= kPlainMemoryBytes) {
    TRY(ok(api_.DisableMemPattern(options.get())));
    TRY(ok(api_.DisableCpuMemArena(options.get())));
  }
  TRY(ok(api_.CreateSession(lib_.env, file.c_str(), options.get(), session_.out())));

  size_t input_count = 0, output_count = 0;
  TRY(ok(api_.SessionGetInputCount(session_.get(), &input_count)));
  TRY(ok(api_.SessionGetOutputCount(session_.get(), &output_count)));
  for (size_t i = 0; i < input_count; ++i) TRY(describe(true, i));
  for (size_t i = 0; i < output_count; ++i) TRY(describe(false, i));
  for (const TensorInfo& input : inputs_) input_names_.push_back(input.name.c_str());
  for (const TensorInfo& output : outputs_) output_names_.push_back(output.name.c_str());
  const auto plain = [](const TensorInfo& info) { return is_batch(info) && info.type != DataType::kBytes; };
  row_wise_ = !inputs_.empty() && std::ranges::all_of(inputs_, is_batch) && std::ranges::all_of(outputs_, plain) &&
              std::ranges::all_of(output_kinds_, [](OutputKind kind) { return kind == OutputKind::kTensor; });
  const auto small = [&](const TensorInfo& info) { return plain(info) && row_bytes(info) <= kRowBytes; };
  row_kept_ = row_wise_ && std::ranges::all_of(inputs_, small) && std::ranges::all_of(outputs_, small);
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
    // ORT reads an input's bytes in place and does not write to them, whatever its signature says; an output's it
    // writes.
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

base::Result<Tensor> OnnxModel::unwrap(OrtValue* value, const std::string& name, DataType type) const {
  Owned<OrtTensorTypeAndShapeInfo> info(api_.ReleaseTensorTypeAndShapeInfo);
  TRY(ok(api_.GetTensorTypeAndShape(value, info.out())));
  size_t rank = 0, count = 0;
  TRY(ok(api_.GetDimensionsCount(info.get(), &rank)));
  TRY(ok(api_.GetTensorShapeElementCount(info.get(), &count)));
  Tensor tensor{.name = name, .type = type};
  tensor.shape.resize(rank);
  TRY(ok(api_.GetDimensions(info.get(), tensor.shape.data(), rank)));
  if (type != DataType::kBytes) {
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

// The keys (index 0) or the values (1) of a map.
base::Result<Tensor> OnnxModel::unwrap_part(OrtValue* map, int index, const std::string& name) const {
  auto part = value();
  TRY(ok(api_.GetValue(map, index, lib_.allocator, part.out())));
  Owned<OrtTensorTypeAndShapeInfo> info(api_.ReleaseTensorTypeAndShapeInfo);
  TRY(ok(api_.GetTensorTypeAndShape(part.get(), info.out())));
  TensorInfo described{.name = name};
  TRY(describe_tensor(info.get(), described));
  return unwrap(part.get(), name, described.type);
}

// A sequence of {class: float} maps as one [rows, classes] tensor. ZipMap writes the same keys in the same order for
// every row; a row that does not is refused, because its columns would not line up.
base::Result<Tensor> OnnxModel::unwrap_maps(OrtValue* value, const std::string& name) const {
  size_t rows = 0;
  TRY(ok(api_.GetValueCount(value, &rows)));
  Tensor tensor{.name = name, .type = DataType::kFp32};
  std::vector<std::string> keys;
  for (size_t row = 0; row < rows; ++row) {
    auto map = this->value();
    TRY(ok(api_.GetValue(value, static_cast<int>(row), lib_.allocator, map.out())));
    TRY_SET(const Tensor key_tensor, unwrap_part(map.get(), 0, name));
    TRY_SET(const Tensor value_tensor, unwrap_part(map.get(), 1, name));
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

base::Result<const Tensor*> OnnxModel::find_input(std::span<const Tensor> inputs, size_t index) const {
  const TensorInfo& info = inputs_[index];
  const Tensor* given = nullptr;
  for (const Tensor& tensor : inputs) {
    if (tensor.name == info.name) given = &tensor;
  }
  if (!given) return base::invalid("input '" + info.name + "' is missing");
  TRY(check_tensor(*given, info));
  return given;
}

base::Result<void> OnnxModel::take_inputs(std::span<const Tensor> inputs, Call& call) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    TRY_SET(const Tensor* given, find_input(inputs, i));
    TRY(wrap(*given, &call.inputs()[i]));
  }
  return {};
}

base::Result<void> OnnxModel::wrap_row(const TensorInfo& info, RowCall& call, size_t index) const {
  std::vector<char>& memory = call.memory(index);
  memory.resize(row_bytes(info));
  std::vector<int64_t> shape = info.shape;
  shape[0] = 1;
  return ok(api_.CreateTensorWithDataAsOrtValue(lib_.cpu, memory.data(), memory.size(), shape.data(), shape.size(),
                                                to_onnx(info.type), call.value(index)));
}

base::Result<RowCall*> OnnxModel::row_call() const {
  thread_local RowCall calls[kRowCalls];
  RowCall& call = calls[serial_ % kRowCalls];
  if (call.is_of(serial_)) return &call;
  auto bound = ok(call.begin(serial_, api_, session_.get(), inputs_.size() + outputs_.size()));
  for (size_t i = 0; bound && i < inputs_.size(); ++i) {
    bound = wrap_row(inputs_[i], call, i);
    if (bound) bound = ok(api_.BindInput(call.binding(), input_names_[i], *call.value(i)));
  }
  for (size_t i = 0; bound && i < outputs_.size(); ++i) {
    const size_t at = inputs_.size() + i;
    bound = wrap_row(outputs_[i], call, at);
    if (bound) bound = ok(api_.BindOutput(call.binding(), output_names_[i], *call.value(at)));
  }
  if (bound) return &call;
  call.clear();
  return std::unexpected(bound.error());
}

base::Result<std::vector<Tensor>> OnnxModel::run_row(std::span<const Tensor> inputs) const {
  TRY_SET(RowCall * call, row_call());
  for (size_t i = 0; i < inputs_.size(); ++i) {
    TRY_SET(const Tensor* given, find_input(inputs, i));
    std::vector<char>& memory = call->memory(i);
    ASSERT_ALWAYS(given->bytes.size() == memory.size());  // by check_tensor: this type, this shape
    std::memcpy(memory.data(), given->bytes.data(), memory.size());
  }
  if (auto ran = ok(api_.RunWithBinding(session_.get(), nullptr, call->binding())); !ran) {
    call->clear();  // what a failed run leaves bound is not known
    return std::unexpected(std::move(ran).error());
  }
  std::vector<Tensor> outputs;
  outputs.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const TensorInfo& info = outputs_[i];
    const std::vector<char>& memory = call->memory(inputs_.size() + i);
    Tensor& tensor = outputs.emplace_back(info.name, info.type, info.shape);
    tensor.shape[0] = 1;
    tensor.bytes.assign(memory.data(), memory.size());
  }
  return outputs;
}

base::Result<void> OnnxModel::run_session(Call& call) const {
  return ok(api_.Run(session_.get(), nullptr, input_names_.data(), call.inputs(), input_names_.size(),
                     output_names_.data(), output_names_.size(), call.outputs()));
}

// Tensors for the outputs of `rows` rows, which the model writes straight into.
base::Result<std::vector<Tensor>> OnnxModel::offer_outputs(size_t rows, Call& call) const {
  std::vector<Tensor> outputs;
  outputs.reserve(outputs_.size());  // from here on they stay where they are: the call points into them
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Tensor& tensor = outputs.emplace_back(outputs_[i].name, outputs_[i].type, outputs_[i].shape);
    tensor.shape[0] = static_cast<int64_t>(rows);
    size_t bytes = byte_size(tensor.type);
    for (int64_t dim : tensor.shape) bytes *= static_cast<size_t>(dim);
    tensor.bytes.resize(bytes);
    TRY(wrap(tensor, &call.outputs()[i]));
  }
  return outputs;
}

base::Result<std::vector<Tensor>> OnnxModel::take_outputs(Call& call) const {
  std::vector<Tensor> outputs;
  outputs.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const auto& [name, type, shape] = outputs_[i];
    OrtValue* result = call.outputs()[i];
    if (!result) return base::internal("output '" + name + "' was not produced");
    auto tensor = output_kinds_[i] == OutputKind::kMaps ? unwrap_maps(result, name) : unwrap(result, name, type);
    if (!tensor) return std::unexpected(std::move(tensor).error());
    outputs.push_back(std::move(*tensor));
  }
  return outputs;
}

base::Result<std::vector<Tensor>> OnnxModel::run(std::span<const Tensor> inputs) const {
  if (inputs.size() != inputs_.size()) {
    return base::invalid("the model takes " + std::to_string(inputs_.size()) + " input(s), found " +
                         std::to_string(inputs.size()));
  }
  const auto one_row = [](const Tensor& tensor) { return !tensor.shape.empty() && tensor.shape[0] == 1; };
  if (row_kept_ && row_wise_.load(std::memory_order_relaxed) && std::ranges::all_of(inputs, one_row)) {
    if (auto outputs = run_row(inputs)) return outputs;  // else below, where the reason is told
  }
  Call call(api_, inputs_.size(), outputs_.size());
  TRY(take_inputs(inputs, call));
  const size_t rows = row_wise_.load(std::memory_order_relaxed) ? rows_in(inputs) : 0;
  if (rows > 0) {
    TRY_SET(std::vector<Tensor> outputs, offer_outputs(rows, call));
    if (run_session(call)) return outputs;
    call.drop_outputs();
  }
  if (auto ran = run_session(call); !ran) {
    return std::unexpected(std::move(ran).error().within("the model could not run on this input"));
  }
  if (rows > 0) row_wise_.store(false, std::memory_order_relaxed);  // its outputs have other shapes than they promise
  return take_outputs(call);
}

}  // namespace

base::Result<std::unique_ptr<Model>> load_onnx_model(const base::Path& file) {
  TRY_SET(const OnnxLibrary* library, onnx_library());
  auto model = std::make_unique<OnnxModel>(*library);
  if (auto loaded = model->load(file); !loaded)
    return std::unexpected(std::move(loaded).error().within(file.filename().string()));
  return std::unique_ptr<Model>(std::move(model));
}

base::Result<std::string> onnxruntime_library() {
  TRY_SET(const OnnxLibrary* library, onnx_library());
  return library->path + " (" + library->version + ")";
}

}  // namespace serve
