#include "serve/graph_rows.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

namespace serve {
namespace {

constexpr std::string_view kLabel = "label", kValue = "value", kProbabilities = "probabilities",
                           kAgreement = "agreement";

bool same_kind(const TensorInfo& a, const TensorInfo& b) {
  return a.name == b.name && a.type == b.type && a.shape.size() == b.shape.size();
}

std::string shown(const std::vector<TensorInfo>& infos) {
  std::string out;
  for (const TensorInfo& info : infos)
    out += (out.empty() ? "" : ", ") + info.name + " " + std::string(name(info.type)) + " " + shape_text(info.shape);
  return out;
}

size_t elements(const Tensor& tensor) {
  return tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / byte_size(tensor.type);
}

double number_of(const std::string& text) {
  double number = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

TensorInfo label_info(DataType type) { return {std::string(type == DataType::kFp64 ? kValue : kLabel), type, {-1}}; }
TensorInfo probabilities_info(size_t width) {
  return {std::string(kProbabilities), DataType::kFp64, {-1, static_cast<int64_t>(width)}};
}

Tensor label_tensor(const GraphAnswer& answer, DataType type) {
  Tensor out{.name = label_info(type).name, .type = type, .shape = {static_cast<int64_t>(answer.rows)}};
  if (type == DataType::kBytes) {
    out.strings = answer.labels;
  } else if (type == DataType::kFp64) {
    for (size_t row = 0; row < answer.rows; ++row)
      append_number(out, answer.values.empty() ? number_of(answer.labels[row]) : answer.values[row]);
  } else {
    for (const std::string& label : answer.labels) {
      int64_t number = 0;
      std::from_chars(label.data(), label.data() + label.size(), number);
      out.bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
  }
  return out;
}

Tensor scores_tensor(std::string_view name, const std::vector<double>& scores, size_t rows, size_t width) {
  Tensor out{.name = std::string(name), .type = DataType::kFp64, .shape = {static_cast<int64_t>(rows)}};
  if (width > 1) out.shape.push_back(static_cast<int64_t>(width));
  out.bytes.assign(reinterpret_cast<const char*>(scores.data()), scores.size() * sizeof(double));
  return out;
}

// Of a label's type, what holds all: text beside anything is text, a value beside a number a value.
DataType wider(DataType a, DataType b) {
  for (const DataType type : {DataType::kBytes, DataType::kFp64})
    if (a == type || b == type) return type;
  return DataType::kInt64;
}

base::Result<void> need_labels(std::span<const AnswerShape> shapes, std::span<const std::string> whose) {
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (!shapes[i].labelled)
      return base::invalid("step '" + whose[i] + "' gives neither a label nor one value a row (" +
                           shown(shapes[i].outputs) + "), so its answers cannot stand beside others");
  }
  return {};
}

// Labels and, where every shape has the same classes, probabilities.
AnswerShape canonical_shape(std::span<const AnswerShape> shapes) {
  AnswerShape out{.labelled = true, .label = shapes[0].label, .width = shapes[0].width, .classes = shapes[0].classes};
  for (const AnswerShape& shape : shapes) {
    out.label = wider(out.label, shape.label);
    if (shape.width != out.width || shape.classes != out.classes) out.width = 0;
  }
  if (out.width < 2) out.width = 0, out.classes.clear();
  out.outputs.push_back(label_info(out.label));
  if (out.width > 0) out.outputs.push_back(probabilities_info(out.width));
  return out;
}

std::string class_name(const AnswerShape& shape, size_t place) {
  return shape.classes.size() == shape.width ? shape.classes[place] : std::to_string(place);
}

double weighted(const Vote& vote, double total) { return vote.weight / total; }

base::Result<GraphAnswer> average(const std::vector<Vote>& votes, const AnswerShape& shape, double total) {
  GraphAnswer out{.rows = votes[0].answer.rows};
  if (shape.label == DataType::kFp64 && shape.width == 0) {
    out.values.assign(out.rows, 0);
    for (const Vote& vote : votes)
      for (size_t row = 0; row < out.rows; ++row)
        out.values[row] += weighted(vote, total) *
                           (vote.answer.values.empty() ? number_of(vote.answer.labels[row]) : vote.answer.values[row]);
    out.outputs.push_back(scores_tensor(kValue, out.values, out.rows, 1));
    for (size_t row = 0; row < out.rows; ++row) out.labels.push_back(text_at(out.outputs[0], row));
    return out;
  }
  out.scores.assign(out.rows * shape.width, 0);
  for (const Vote& vote : votes) {
    if (vote.answer.scores.size() != out.scores.size())
      return base::invalid("step '" + vote.step + "' gave " + std::to_string(vote.answer.width()) +
                           " scores a row, expected " + std::to_string(shape.width));
    for (size_t i = 0; i < out.scores.size(); ++i) out.scores[i] += weighted(vote, total) * vote.answer.scores[i];
  }
  for (size_t row = 0; row < out.rows; ++row) {
    const auto begin = out.scores.begin() + static_cast<std::ptrdiff_t>(row * shape.width);
    const auto best = std::max_element(begin, begin + static_cast<std::ptrdiff_t>(shape.width)) - begin;
    out.labels.push_back(class_name(shape, static_cast<size_t>(best)));
  }
  out.outputs.push_back(label_tensor(out, shape.label));
  out.outputs.push_back(scores_tensor(kProbabilities, out.scores, out.rows, shape.width));
  return out;
}

// The label with the most weight; of equals, the one of the step that stands first.
GraphAnswer vote(const std::vector<Vote>& votes, const AnswerShape& shape, double total) {
  GraphAnswer out{.rows = votes[0].answer.rows};
  for (size_t row = 0; row < out.rows; ++row) {
    std::map<std::string_view, double> sums;
    for (const Vote& one : votes) sums[one.answer.labels[row]] += one.weight;
    std::string_view winner = votes[0].answer.labels[row];
    for (const Vote& one : votes)
      if (sums[one.answer.labels[row]] > sums[winner]) winner = one.answer.labels[row];
    out.labels.emplace_back(winner);
    out.scores.push_back(sums[winner] / total);
  }
  out.outputs.push_back(label_tensor(out, shape.label));
  out.outputs.push_back(scores_tensor(kAgreement, out.scores, out.rows, 1));
  return out;
}

void append_row(Tensor& to, const Tensor& from, size_t row, size_t rows) {
  if (from.type == DataType::kBytes) {
    const size_t each = from.strings.size() / rows;
    const auto begin = from.strings.begin() + static_cast<std::ptrdiff_t>(row * each);
    to.strings.insert(to.strings.end(), begin, begin + static_cast<std::ptrdiff_t>(each));
  } else {
    const size_t each = from.bytes.size() / rows;
    to.bytes.append(from.bytes, row * each, each);
  }
}

base::Result<void> check_rows(const Tensor& tensor, size_t rows) {
  if (!tensor.shape.empty() && static_cast<size_t>(tensor.shape[0]) == rows) return {};
  return base::invalid("'" + tensor.name + "' has shape " + shape_text(tensor.shape) + ", not one answer for each of " +
                       std::to_string(rows) + " rows: a condition, which is asked for each row, cannot part it");
}

template <class T>
std::vector<T> pick_rows(const std::vector<T>& all, size_t rows, const Places& places) {
  std::vector<T> out;
  const size_t each = rows == 0 ? 0 : all.size() / rows;
  for (const uint32_t place : places)
    for (size_t i = 0; i < each; ++i) out.push_back(all[place * each + i]);
  return out;
}

// Rows of the parts in their own places; dropped where the parts do not agree on how many a row has.
template <class T>
std::vector<T> place_rows(const std::vector<AnswerPart>& parts, size_t rows, std::vector<T> GraphAnswer::* member) {
  size_t each = SIZE_MAX;
  for (const AnswerPart& part : parts) {
    const size_t here = part.places.empty() ? 0 : (part.answer.*member).size() / part.places.size();
    if (each != SIZE_MAX && each != here) return {};
    each = here;
  }
  std::vector<T> out(rows * each);
  for (const AnswerPart& part : parts)
    for (size_t i = 0; i < part.places.size(); ++i)
      for (size_t k = 0; k < each; ++k) out[part.places[i] * each + k] = (part.answer.*member)[i * each + k];
  return out;
}

}  // namespace

bool AnswerShape::operator==(const AnswerShape& other) const {
  return labelled == other.labelled && label == other.label && classes == other.classes && answers == other.answers &&
         std::ranges::equal(outputs, other.outputs, same_kind);
}

AnswerShape shape_of(const Predictor& predictor) {
  const Model& model = predictor.model();
  AnswerShape out{.outputs = predictor.outputs(), .answers = model.answers()};
  if (model.many_values()) return out;
  const OutputRoles roles = find_roles(out.outputs);
  const auto width_of = [](const TensorInfo& info) {
    size_t width = 1;
    for (size_t i = 1; i < info.shape.size(); ++i)
      width = info.shape[i] < 0 ? 0 : width * static_cast<size_t>(info.shape[i]);
    return width;
  };
  if (roles.score >= 0) {
    out.width = width_of(out.outputs[static_cast<size_t>(roles.score)]);
    if (out.width == 0) out.width = model.classes().size();
  }
  if (roles.label >= 0) {
    out.labelled = true;
    const DataType type = out.outputs[static_cast<size_t>(roles.label)].type;
    out.label = type == DataType::kBytes ? DataType::kBytes : is_floating(type) ? DataType::kFp64 : DataType::kInt64;
  } else if (roles.score >= 0) {
    out.labelled = true;
    const bool value = out.width <= 1;
    out.label = value ? DataType::kFp64 : model.classes().empty() ? DataType::kInt64 : DataType::kBytes;
    if (value) out.width = 0;
  }
  if (model.classes().size() == out.width) out.classes = model.classes();
  return out;
}

base::Result<AnswerShape> common_shape(std::span<const AnswerShape> shapes, std::span<const std::string> whose) {
  AnswerShape out = shapes[0];
  if (std::ranges::all_of(shapes, [&](const AnswerShape& shape) { return shape == out; })) {
    for (const AnswerShape& shape : shapes) {
      for (size_t i = 0; i < out.outputs.size(); ++i)
        for (size_t d = 0; d < out.outputs[i].shape.size(); ++d)
          if (out.outputs[i].shape[d] != shape.outputs[i].shape[d]) out.outputs[i].shape[d] = -1;
      if (shape.width != out.width) out.width = 0;
    }
    return out;
  }
  TRY(need_labels(shapes, whose));
  return canonical_shape(shapes);
}

base::Result<AnswerShape> combined_shape(Combine combine, std::span<const AnswerShape> shapes,
                                         std::span<const std::string> whose) {
  if (combine == Combine::kMerge) {
    AnswerShape out;
    for (size_t i = 0; i < shapes.size(); ++i) {
      for (TensorInfo info : shapes[i].outputs) {
        info.name = whose[i] + "." + info.name;
        out.outputs.push_back(std::move(info));
      }
    }
    return out;
  }
  TRY(need_labels(shapes, whose));
  AnswerShape out = canonical_shape(shapes);
  if (combine == Combine::kVote) {
    if (out.label == DataType::kFp64) return base::invalid("values are not voted on; combine them by average");
    out.width = 0;
    out.classes.clear();
    out.outputs = {label_info(out.label), {std::string(kAgreement), DataType::kFp64, {-1}}};
    return out;
  }
  const bool values = std::ranges::all_of(
      shapes, [](const AnswerShape& shape) { return shape.label == DataType::kFp64 && shape.width == 0; });
  if (!values && out.width == 0) {
    std::string found;
    for (size_t i = 0; i < shapes.size(); ++i)
      found += (i == 0 ? "" : "; ") + whose[i] + ": " + shown(shapes[i].outputs);
    return base::invalid("an average needs the same classes' scores of every step, or one value of each, found " +
                         found + "; labels can be combined by vote");
  }
  if (!values) {  // the class with the highest average; unnamed classes are numbers
    out.label = out.classes.size() == out.width ? DataType::kBytes : DataType::kInt64;
    const bool whole = std::ranges::all_of(out.classes, [](const std::string& name) {
      int64_t number = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
      return error == std::errc() && end == name.data() + name.size();
    });
    const bool numbers = std::ranges::all_of(shapes, [](const auto& s) { return s.label == DataType::kInt64; });
    if (whole && numbers) out.label = DataType::kInt64;
    out.outputs[0] = label_info(out.label);
  }
  return out;
}

GraphAnswer read_answer(const Predictor& predictor, std::vector<Tensor> outputs, size_t rows) {
  GraphAnswer out{.outputs = std::move(outputs), .rows = rows};
  Prediction prediction = predictor.read(out.outputs);
  if (prediction.labels.size() != rows) return out;
  out.labels = std::move(prediction.labels);
  out.scores = std::move(prediction.scores);
  const OutputRoles roles = find_roles(predictor.outputs());
  const int value = roles.label >= 0 ? roles.label : roles.score;
  if (out.scores.empty() && value >= 0 && static_cast<size_t>(value) < out.outputs.size() &&
      is_floating(out.outputs[static_cast<size_t>(value)].type))
    for (size_t row = 0; row < rows; ++row)
      out.values.push_back(number_at(out.outputs[static_cast<size_t>(value)], row));
  return out;
}

base::Result<std::vector<Tensor>> pick(std::span<const Tensor> tensors, size_t rows, const Places& places) {
  std::vector<Tensor> out;
  for (const Tensor& tensor : tensors) {
    TRY(check_rows(tensor, rows));
    Tensor part{.name = tensor.name, .type = tensor.type, .shape = tensor.shape};
    part.shape[0] = static_cast<int64_t>(places.size());
    for (const uint32_t place : places) append_row(part, tensor, place, rows);
    out.push_back(std::move(part));
  }
  return out;
}

base::Result<GraphAnswer> pick(const GraphAnswer& answer, const Places& places) {
  GraphAnswer out{.labels = pick_rows(answer.labels, answer.rows, places),
                  .values = pick_rows(answer.values, answer.rows, places),
                  .scores = pick_rows(answer.scores, answer.rows, places),
                  .rows = places.size()};
  TRY_SET(out.outputs, pick(answer.outputs, answer.rows, places));
  return out;
}

base::Result<GraphAnswer> put_together(std::vector<AnswerPart> parts, size_t rows) {
  std::erase_if(parts, [](const AnswerPart& part) { return part.places.empty(); });
  if (parts.size() == 1) return std::move(parts[0].answer);
  std::vector<std::pair<uint32_t, uint32_t>> of(rows);  // which part, which of its rows
  for (uint32_t p = 0; p < parts.size(); ++p)
    for (uint32_t i = 0; i < parts[p].places.size(); ++i) of[parts[p].places[i]] = {p, i};
  GraphAnswer out{.rows = rows};
  for (size_t t = 0; t < parts[0].answer.outputs.size(); ++t) {
    Tensor tensor{.name = parts[0].answer.outputs[t].name, .type = parts[0].answer.outputs[t].type};
    tensor.shape = parts[0].answer.outputs[t].shape;
    for (const AnswerPart& part : parts) {
      const Tensor& from = part.answer.outputs[t];
      TRY(check_rows(from, part.places.size()));
      if (from.type != tensor.type ||
          !std::equal(from.shape.begin() + 1, from.shape.end(), tensor.shape.begin() + 1, tensor.shape.end()))
        return base::invalid("'" + from.name + "' came with shape " + shape_text(from.shape) + " for some rows and " +
                             shape_text(tensor.shape) + " for others");
    }
    tensor.shape[0] = static_cast<int64_t>(rows);
    for (const auto& [part, row] : of)
      append_row(tensor, parts[part].answer.outputs[t], row, parts[part].places.size());
    out.outputs.push_back(std::move(tensor));
  }
  out.labels = place_rows(parts, rows, &GraphAnswer::labels);
  out.values = place_rows(parts, rows, &GraphAnswer::values);
  out.scores = place_rows(parts, rows, &GraphAnswer::scores);
  return out;
}

base::Result<GraphAnswer> fitted(GraphAnswer answer, const AnswerShape& from, const AnswerShape& shape) {
  if (from == shape) return answer;
  if (answer.labels.size() != answer.rows)
    return base::invalid("the answer holds " + std::to_string(answer.labels.size()) + " labels for " +
                         std::to_string(answer.rows) + " rows");
  if (shape.width == 0) {
    answer.scores.clear();
  } else if (answer.width() != shape.width) {
    return base::invalid("the answer holds " + std::to_string(answer.width()) + " scores a row, expected " +
                         std::to_string(shape.width));
  }
  answer.outputs.clear();
  answer.outputs.push_back(label_tensor(answer, shape.label));
  if (shape.width > 0) answer.outputs.push_back(scores_tensor(kProbabilities, answer.scores, answer.rows, shape.width));
  return answer;
}

base::Result<GraphAnswer> combine(Combine how, std::vector<Vote> votes, const AnswerShape& shape) {
  if (how == Combine::kMerge) {
    GraphAnswer out{.rows = votes[0].answer.rows};
    for (Vote& one : votes) {
      for (Tensor& tensor : one.answer.outputs) {
        tensor.name = one.step + "." + tensor.name;
        out.outputs.push_back(std::move(tensor));
      }
    }
    return out;
  }
  double total = 0;
  for (const Vote& one : votes) {
    total += one.weight;
    if (one.answer.labels.size() != one.answer.rows || one.answer.rows != votes[0].answer.rows)
      return base::invalid("step '" + one.step + "' gave " + std::to_string(one.answer.labels.size()) +
                           " answers for " + std::to_string(votes[0].answer.rows) + " rows");
  }
  if (how == Combine::kVote) return vote(votes, shape, total);
  return average(votes, shape, total);
}

std::vector<Feature> columns_of(const TensorInfo& info) {
  size_t width = 1;
  for (size_t i = 1; i < info.shape.size(); ++i) {
    if (info.shape[i] < 0) return {};
    width *= static_cast<size_t>(info.shape[i]);
  }
  std::vector<Feature> out;
  for (size_t i = 0; i < width; ++i)
    out.push_back({width == 1 ? info.name : info.name + "_" + std::to_string(i), info.type == DataType::kBytes});
  return out;
}

void flatten(std::span<const TensorInfo> infos, std::span<const Tensor> tensors, RawRows& out) {
  out = {};
  std::vector<const Tensor*> of;
  for (const TensorInfo& info : infos) {
    const auto found = std::ranges::find(tensors, info.name, &Tensor::name);
    if (found == tensors.end() || found->shape.empty()) return;
    of.push_back(&*found);
  }
  if (of.empty()) return;
  out.count = static_cast<size_t>(of[0]->shape[0]);
  for (size_t row = 0; row < out.count; ++row) {
    for (const Tensor* tensor : of) {
      const size_t each = elements(*tensor) / out.count;
      for (size_t i = row * each; i < (row + 1) * each; ++i) {
        if (tensor->type == DataType::kBytes)
          out.texts.push_back(tensor->strings[i]);
        else
          out.numbers.push_back(number_at(*tensor, i));
      }
    }
  }
}

}  // namespace serve
