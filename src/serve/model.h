// The one inference core: a loaded model and how rows go through it. Serving, evaluation and the trial child all use it,
// so what is measured is what serves. Model files are loaded from a plain folder.
//
// Thread: a Model and a Predictor are immutable after load; their const functions may be called from many threads at once.
// Errors: load fails with a message that names the cure (missing library → package, odd output → option).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/tensor.h"
#include "stats/table.h"
#include "stats/transform.h"

namespace serve {

class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorInfo>& inputs() const = 0;   // of the model file itself
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual const std::vector<std::string>& classes() const = 0; // columns of its scores, if the file names them
  virtual std::string_view platform() const = 0;               // "onnxruntime_onnx"
  // Inputs in any order, each exactly once; outputs in the order of outputs().
  virtual base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const = 0;
};

struct Prediction {
  std::vector<std::string> labels;          // one per row; numbers as shortest text ("7")
  std::vector<double> scores;               // row-major probabilities, empty if the model gives none
  std::vector<std::string> classes;         // columns of scores, if known
  bool text = false;                        // labels are text, not numbers (or true and false)
};

// One column of a raw row, as clients, capture and monitoring name it.
struct Feature {
  std::string name;
  bool text = false;
};

// The rows inside a set of input tensors: row-major numeric features, and row-major text features beside them.
struct RawRows {
  size_t count = 0;
  std::vector<double> numbers;
  std::vector<std::string> texts;
};

// A model with its transform: raw rows in, labels and scores out.
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

  // Columns of one row over all inputs, in their order; empty if an input has no fixed number of columns.
  virtual const std::vector<Feature>& features() const = 0;
  // Are the features' names from the model or its data (or only numbered)? Then rows may be given by name.
  virtual bool features_named() const = 0;
  // Rows given by column name, as the tensors of inputs(). Errors name the column.
  virtual base::Result<std::vector<Tensor>> tensors_of(const stats::Table& raw) const = 0;
  // The features inside tensors that infer() accepts.
  virtual RawRows rows_of(std::span<const Tensor> inputs) const = 0;
  // Labels and scores inside the outputs of infer(); empty labels if the outputs hold no row-wise answer.
  virtual Prediction read(std::span<const Tensor> outputs) const = 0;
};

// Where the ONNX Runtime library was found, or why not (doctor).
base::Result<std::string> onnxruntime_library();

}  // namespace serve
