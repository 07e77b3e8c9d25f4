// The one inference core: a loaded model and how rows go through it. Serving, evaluation and the trial child all use
// it, so what is measured is what serves. Model files are loaded from a plain folder.
//
// Thread: a Model and a Predictor are immutable after load; their const functions may be called from many threads at
// once. Errors: load fails with a message that names the cure (missing library → package, odd output → option).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/explain.h"
#include "serve/serving.h"
#include "serve/tensor.h"
#include "stats/table.h"
#include "stats/transform.h"

namespace serve {

struct GraphRoute;  // graph.h

// Which conversation a request belongs to, of a model that answers requests in sequences (Triton's words).
inline constexpr size_t kMaxSequenceId = 128;  // bytes
struct Sequence {
  std::string id;  // "": it belongs to none; numbers as text
  bool start = false, end = false;
};

// What a model that waits (for a worker process, for a batch) has to know about the request.
struct Call {
  int64_t deadline_mono_us = 0;  // 0: none
  int64_t begin_by_mono_us = 0;  // not to be run when its turn comes later (Triton's `timeout`); 0: whenever
  std::stop_token cancelled;     // the client went away
  uint32_t priority = 0;         // 0: the model's default; 1 is the highest (Triton's words)
  Sequence sequence;
  std::string params;  // a JSON object: MLflow's inference params; "": none
  std::string* shown =
      nullptr;  // out: the answer as JSON, where the outputs do not say all of it (records, nested lists)

  // What a graph (graph_model.h) goes by beside the rows.
  std::string_view key;                                        // of the request's place in a split
  std::function<std::string_view(std::string_view)> header;   // by its name in lower case; may be empty
  std::string* route = nullptr;                                // out: the way it took, as JSON of GraphRoute
  const GraphRoute* follow = nullptr;                          // a way to take once more
};

// What becomes of requests of one priority that queue (Triton's ModelQueuePolicy).
struct QueuePolicy {
  size_t queue = 0;           // requests; past it: kUnavailable. 0: as many as wait at all
  int64_t timeout_us = 0;     // of the waiting; 0: none
  bool delay = false;         // past it: behind those of its priority that are in time. Else: kUnavailable
  bool own_timeout = true;    // a request's own counts, where it is shorter
  bool operator==(const QueuePolicy&) const = default;
};
// How requests that came while a model was busy are run together (batching.h).
struct BatchOptions {
  size_t max_rows = 0;            // of a batch; 0 or 1: no batching
  std::vector<size_t> preferred;  // row counts that the model likes: the largest that is there is taken
  int64_t max_delay_us = 0;       // how long a batch that formed in the queue may wait to grow
  size_t queue = 256;             // requests; past it: kUnavailable
  uint32_t default_priority = 1;  // of requests that name none; 1 is the highest
  uint32_t priority_levels = 0;   // a higher number is the default; 0: each number is a level
  QueuePolicy policy;
  std::map<uint32_t, QueuePolicy> policies;  // of priorities that have their own
  bool operator==(const BatchOptions&) const = default;
};
struct CacheStatistics {
  uint64_t hits = 0, misses = 0;
  uint64_t hit_us = 0, miss_us = 0;  // of looking, and of keeping, together
};
struct BatchStatistics {
  uint64_t executions = 0;  // of the model
  uint64_t requests = 0;
  uint64_t queue_ns = 0;                           // of all requests together
  std::vector<std::pair<size_t, uint64_t>> sizes;  // rows in an execution, up to the power of two → executions
};

// What a model's own library answers to predict: what a client of MLflow's scoring protocol gets. The Open Inference
// Protocol's clients get every output.
enum class Answers : uint8_t {
  kLabels,     // labels, or values
  kScores,     // the scores of every class (a Booster of several classes)
  kLastScore,  // the second class' score (a Booster of two)
};

struct WorkerStatistics {
  size_t workers = 0;  // ready
  size_t busy = 0;     // conversations under way
  size_t waiting = 0;  // requests without a worker
  uint64_t started = 0;
  uint64_t crashed = 0;
  uint64_t waited = 0;   // requests that had to wait for a worker …
  uint64_t wait_us = 0;  // … and how long, together
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorInfo>& inputs() const = 0;  // of the model file itself
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual const std::vector<std::string>& classes() const = 0;  // columns of its scores, if the file names them
  virtual std::string_view platform() const = 0;                // "onnxruntime_onnx"
  // Inputs in any order, each exactly once; outputs in the order of outputs().
  virtual base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const = 0;
  // Names of the input's columns, if the model's file has them and MLmodel does not.
  virtual std::vector<std::string> column_names() const { return {}; }
  virtual Answers answers() const { return Answers::kLabels; }
  // Its output holds several values a row that are no classes' scores: there is no label among them.
  virtual bool many_values() const { return false; }
  // Exact SHAP values from the model's own structure, for models that have such.
  virtual bool explains() const { return false; }
  virtual base::Result<Contributions> contributions(std::span<const Tensor>) const {
    return base::fail(base::Code::kUnsupported, "the model has no explanation of its own");
  }
  // Does run() wait for somebody else? Then it is never called on an event loop, and gets the request's own limits.
  virtual bool waits() const { return false; }
  virtual bool wants_call() const { return waits(); }  // is it run by run_for()?
  virtual base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const Call&) const {
    return run(inputs);
  }
  virtual size_t parallel() const { return 1; }       // of a model that waits: calls that it runs at once
  virtual size_t max_batch() const { return 0; }      // rows of a request, at most; 0: as many as there are
  virtual std::string trouble() const { return {}; }  // of a model that waits: what went wrong last, or ""
  virtual std::optional<WorkerStatistics> workers() const { return std::nullopt; }  // null: it has none
  virtual BatchOptions batching() const { return {}; }                              // what the model itself asks for
  // Of a model with workers: how they are run from now on, where `over` says it differently than the model itself; may
  // be called while it serves. And what is in force; null: it has none.
  virtual void adjust(const ServingSettings& over) const { std::ignore = over; }
  virtual std::optional<RunLimits> limits() const { return std::nullopt; }
  // Of a BentoML service: what its clients read at /schema.json; "": it is none.
  virtual std::string_view service_schema() const { return {}; }
};

struct LoadOptions {
  // Stands before the model that was found, if it is given.
  std::function<base::Result<std::unique_ptr<Model>>(std::unique_ptr<Model>)> wrap;
  ServingSettings serving;  // of the endpoint, over the model's own
  base::Path interpreter;   // of a Python model; "": the server's
};

// What Triton says of a request whose time has passed in a queue.
inline constexpr const char* kTimeoutExpired = "Request timeout expired";

struct Prediction {
  std::vector<std::string> labels;   // one per row; numbers as shortest text ("7")
  std::vector<double> scores;        // row-major probabilities, empty if the model gives none
  std::vector<std::string> classes;  // columns of scores, if known; not filled in by Predictor::read
  bool text = false;                 // labels are text, not numbers (or true and false)
  Answers answers = Answers::kLabels;
};

// What outputs mean: the places of the one that holds labels, and of the one that holds scores or values; -1: none.
struct OutputRoles {
  int label = -1;
  int score = -1;
};
OutputRoles find_roles(const std::vector<TensorInfo>& outputs);

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
  // `folder` holds an MLflow model (MLmodel + files) or one bare model file of a known format. `transform` is applied
  // unless the model says that it contains its preparation (MLmodel metadata `lathe.transform: included`).
  static base::Result<std::unique_ptr<Predictor>> load(const base::Path& folder, stats::Transform transform,
                                                       const LoadOptions& options = {});
  static base::Result<std::unique_ptr<Predictor>> over(std::unique_ptr<Model> model);  // made of no file of its own
  virtual ~Predictor() = default;
  virtual const Model& model() const = 0;
  virtual const stats::Transform& transform() const = 0;
  virtual bool applies_transform() const = 0;
  // What a client sends: the raw features when a transform applies, else the model's own inputs.
  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual base::Result<std::vector<Tensor>> infer(std::span<const Tensor> inputs, const Call& call) const = 0;
  base::Result<std::vector<Tensor>> infer(std::span<const Tensor> inputs) const { return infer(inputs, {}); }
  bool waits() const { return model().waits(); }
  virtual std::optional<BatchStatistics> batch_statistics() const { return std::nullopt; }  // null: not batched
  virtual std::optional<CacheStatistics> cache_statistics() const { return std::nullopt; }  // null: not cached
  virtual base::Result<Prediction> predict(const stats::Table& raw) const = 0;  // by column name; extra columns ignored

  // Columns of one row over all inputs, in their order; empty if an input has no fixed number of columns.
  virtual const std::vector<Feature>& features() const = 0;
  // Are the features' names from the model or its data (or only numbered)? Then rows may be given by name.
  virtual bool features_named() const = 0;
  // Rows given by column name, as the tensors of inputs(). Errors name the column.
  virtual base::Result<std::vector<Tensor>> tensors_of(const stats::Table& raw) const = 0;
  // The features inside tensors that infer() accepts; what `rows` held before is replaced.
  virtual void rows_of(std::span<const Tensor> inputs, RawRows& rows) const = 0;
  // Labels and scores inside the outputs of infer(); empty labels if the outputs hold no row-wise answer.
  virtual Prediction read(std::span<const Tensor> outputs) const = 0;
};

// Where the ONNX Runtime library was found, or why not (doctor).
base::Result<std::string> onnxruntime_library();

}  // namespace serve
