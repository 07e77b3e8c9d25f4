// Rows within a graph: a request's rows as they are parted among steps, and answers as they are put together again.
// Used by graph_model.cc only. Thread: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "serve/graph.h"
#include "serve/model.h"

namespace serve {

// What answers look like, before there is one.
struct AnswerShape {
  std::vector<TensorInfo> outputs;
  bool labelled = false;              // every row has a label or a value
  DataType label = DataType::kInt64;  // kBytes; kInt64; kFp64: it is a value, there are no classes
  size_t width = 0;                   // scores of a row; 0: none
  std::vector<std::string> classes;   // of the scores, where they have names
  Answers answers = Answers::kLabels;
  bool operator==(const AnswerShape& other) const;  // of the outputs
};
AnswerShape shape_of(const Predictor& predictor);
// What holds the answers of all: their own outputs where they are alike, else label and probabilities. `whose` names
// them, for the error.
base::Result<AnswerShape> common_shape(std::span<const AnswerShape> shapes, std::span<const std::string> whose);
// Of an ensemble. kInvalid where the answers cannot be combined.
base::Result<AnswerShape> combined_shape(Combine combine, std::span<const AnswerShape> shapes,
                                         std::span<const std::string> whose);

struct GraphAnswer {
  std::vector<Tensor> outputs;
  std::vector<std::string> labels;  // one a row, or none
  std::vector<double> values;       // the same as numbers, where they are values
  std::vector<double> scores;       // row-major, or none
  size_t rows = 0;
  size_t width() const { return rows == 0 ? 0 : scores.size() / rows; }
};
GraphAnswer read_answer(const Predictor& predictor, std::vector<Tensor> outputs, size_t rows);

using Places = std::vector<uint32_t>;  // of rows, ascending

// These rows of tensors that have `rows` of them.
base::Result<std::vector<Tensor>> pick(std::span<const Tensor> tensors, size_t rows, const Places& places);
base::Result<GraphAnswer> pick(const GraphAnswer& answer, const Places& places);

struct AnswerPart {
  Places places;
  GraphAnswer answer;
};
// One answer of all parts, each row in its place. Every part has the form of `shape` (fitted).
base::Result<GraphAnswer> put_together(std::vector<AnswerPart> parts, size_t rows);
// The same answer in the form of `shape`.
base::Result<GraphAnswer> fitted(GraphAnswer answer, const AnswerShape& from, const AnswerShape& shape);

struct Vote {
  GraphAnswer answer;
  double weight = 1;
  std::string step;
};
base::Result<GraphAnswer> combine(Combine how, std::vector<Vote> votes, const AnswerShape& shape);

// A tensor's rows as columns: NAME, or NAME_0, NAME_1, … as models' features are named. Empty if its width is open.
std::vector<Feature> columns_of(const TensorInfo& info);
// Row-major features inside tensors, in the order of `infos`.
void flatten(std::span<const TensorInfo> infos, std::span<const Tensor> tensors, RawRows& out);

}  // namespace serve
