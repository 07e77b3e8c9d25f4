// The one inference core: a loaded model and how rows go through it. Serving, evaluation and the trial child all use it,
// so what is measured is what serves. Model files are loaded from a plain folder.
//
// Thread: a Model is immutable after load; run() is const and may be called from many threads at once.
// Errors: load fails with a message that names the cure (missing library → package, ZipMap output → option).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "stats/table.h"
#include "stats/transform.h"

namespace serve {

enum class DataType : uint8_t { kBool, kUint8, kUint16, kUint32, kUint64, kInt8, kInt16, kInt32, kInt64,
                                kFp16, kBf16, kFp32, kFp64, kBytes };
std::string_view name(DataType type);  // "FP32": the Open Inference Protocol's words
size_t byte_size(DataType type);       // 0 for kBytes

struct TensorInfo {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;  // -1: any
};

struct Tensor {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;
  std::string bytes;                 // dense, little-endian, row-major; empty for kBytes
  std::vector<std::string> strings;  // kBytes
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorInfo>& inputs() const = 0;   // of the model file itself
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual std::string_view platform() const = 0;               // "onnxruntime_onnx"
  virtual base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const = 0;
};

// A model with its transform: raw rows in, label and scores out.
struct Prediction {
  std::vector<std::string> labels;          // one per row; numbers as shortest text ("7")
  std::vector<double> scores;               // row-major probabilities, empty if the model gives none
  std::vector<std::string> classes;         // columns of scores, if known
};

class Predictor {
 public:
  // `folder` holds an MLflow model (MLmodel + files) or a bare model.onnx. `transform` is applied unless the model says
  // that it contains its preparation (MLmodel metadata `lathe.transform: included`).
  static base::Result<std::unique_ptr<Predictor>> load(const base::Path& folder, stats::Transform transform);
  virtual ~Predictor() = default;
  virtual const Model& model() const = 0;
  virtual const stats::Transform& transform() const = 0;
  virtual bool applies_transform() const = 0;
  // What a client sends: the raw features when a transform applies, else the model's own inputs.
  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual base::Result<std::vector<Tensor>> infer(std::span<const Tensor> inputs) const = 0;
  virtual base::Result<Prediction> predict(const stats::Table& raw) const = 0;  // by column name; extra columns ignored
};

// Where the ONNX Runtime library was found, or why not (doctor).
base::Result<std::string> onnxruntime_library();

}  // namespace serve
