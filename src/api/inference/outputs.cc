#include "api/inference/outputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace api::inference {
namespace {

using serve::DataType;
using serve::LiveEndpoint;
using serve::Tensor;

// "value:index" or "value:index:class" of the N highest elements of each row, as Triton's classification extension
// says.
base::Result<Tensor> classify(const Tensor& scores, int64_t classes, const std::vector<std::string>& names) {
  if (scores.shape.empty() || scores.type == DataType::kBytes || scores.type == DataType::kBool) {
    return base::invalid("output '" + scores.name + "' holds no scores to classify");
  }
  const size_t rows = scores.shape.size() == 1 ? 1 : static_cast<size_t>(scores.shape[0]);
  const size_t total = scores.bytes.size() / serve::byte_size(scores.type);
  const size_t width = rows ? total / rows : 0;
  const size_t keep = std::min(static_cast<size_t>(classes), width);
  Tensor out{.name = scores.name, .type = DataType::kBytes};
  if (scores.shape.size() > 1) out.shape.push_back(scores.shape[0]);
  out.shape.push_back(static_cast<int64_t>(keep));
  std::vector<size_t> order(width);
  for (size_t row = 0; row < rows; ++row) {
    const auto value = [&](size_t i) {
      const double number = serve::number_at(scores, row * width + i);
      return std::isnan(number) ? -std::numeric_limits<double>::infinity() : number;  // sorting needs an order
    };
    std::iota(order.begin(), order.end(), size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep), order.end(),
                      [&](size_t a, size_t b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
    for (size_t i = 0; i < keep; ++i) {
      std::string text = serve::text_at(scores, row * width + order[i]) + ":" + std::to_string(order[i]);
      if (names.size() == width) text += ":" + names[order[i]];
      out.strings.push_back(std::move(text));
    }
  }
  return out;
}

Tensor* find_output(std::vector<Tensor>& outputs, const std::string& name) {
  const auto found = std::ranges::find(outputs, name, &Tensor::name);
  return found == outputs.end() ? nullptr : &*found;
}

}  // namespace

base::Result<void> check_outputs(const LiveEndpoint& endpoint, const OipRequest& wanted) {
  if (!endpoint.predictor) return {};
  for (const auto& output : wanted.outputs) {
    const auto& known = endpoint.predictor->outputs();
    if (std::ranges::find(known, output.name, &serve::TensorInfo::name) == known.end()) {
      std::string names;
      for (const auto& info : known) names += (names.empty() ? "" : ", ") + info.name;
      return base::invalid("output '" + output.name + "' does not exist; the model has " + names);
    }
  }
  return {};
}

base::Result<std::vector<Output>> take_outputs(const LiveEndpoint& endpoint, const OipRequest& wanted, Answer& answer) {
  std::vector<Output> out;
  out.reserve(wanted.outputs.empty() ? answer.outputs.size() : wanted.outputs.size());
  if (wanted.outputs.empty()) {
    for (Tensor& tensor : answer.outputs) out.push_back({std::move(tensor), wanted.binary_outputs, {}});
    return out;
  }
  for (const auto& output : wanted.outputs) {
    Tensor* tensor = find_output(answer.outputs, output.name);
    if (!tensor) return base::internal("output '" + output.name + "' was not produced");
    const bool binary = output.binary.value_or(wanted.binary_outputs);
    if (output.classes > 0) {
      TRY_SET(Tensor classified, classify(*tensor, output.classes, endpoint.predictor->model().classes()));
      out.push_back({std::move(classified), binary, {}});
    } else {
      out.push_back({std::move(*tensor), binary, output.shared});
    }
  }
  return out;
}

void append_raw(std::string& out, const Tensor& tensor) {
  if (tensor.type != DataType::kBytes) {
    out += tensor.bytes;
    return;
  }
  for (const std::string& text : tensor.strings) {
    const auto size = static_cast<uint32_t>(text.size());
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += text;
  }
}

size_t raw_size(const Tensor& tensor) {
  size_t size = tensor.bytes.size();
  for (const std::string& text : tensor.strings) size += sizeof(uint32_t) + text.size();
  return size;
}

namespace {

base::Result<void> check_dense(const Tensor& tensor, std::string_view bytes) {
  TRY_SET(const size_t count, serve::element_count(tensor.name, tensor.shape));
  if (bytes.size() != count * serve::byte_size(tensor.type)) {
    return base::invalid("input '" + tensor.name + "' of shape " + serve::shape_text(tensor.shape) + " needs " +
                         std::to_string(count * serve::byte_size(tensor.type)) + " bytes of " +
                         std::string(serve::name(tensor.type)) + ", found " + std::to_string(bytes.size()));
  }
  if (tensor.type == DataType::kBool && std::ranges::any_of(bytes, [](char c) { return c != 0 && c != 1; })) {
    return base::invalid("input '" + tensor.name + "': a BOOL is one byte, 0 or 1");
  }
  return {};
}

base::Result<void> read_strings(Tensor& tensor, std::string_view bytes) {
  TRY_SET(const size_t count, serve::element_count(tensor.name, tensor.shape));
  while (!bytes.empty()) {
    uint32_t length = 0;
    if (bytes.size() >= sizeof length) std::memcpy(&length, bytes.data(), sizeof length);
    if (bytes.size() < sizeof length || length > bytes.size() - sizeof length) {
      return base::invalid("input '" + tensor.name +
                           "': a BYTES element is cut off (each is a 4-byte length and its bytes)");
    }
    tensor.strings.emplace_back(bytes.substr(sizeof length, length));
    bytes.remove_prefix(sizeof length + length);
  }
  if (tensor.strings.size() != count) {
    return base::invalid("input '" + tensor.name + "' of shape " + serve::shape_text(tensor.shape) + " needs " +
                         std::to_string(count) + " elements, found " + std::to_string(tensor.strings.size()));
  }
  return {};
}

}  // namespace

base::Result<void> set_raw(Tensor& tensor, std::string_view bytes) {
  if (tensor.type == DataType::kBytes) return read_strings(tensor, bytes);
  TRY(check_dense(tensor, bytes));
  tensor.bytes = bytes;
  return {};
}

base::Result<void> adopt_raw(Tensor& tensor, std::string& bytes) {
  if (tensor.type == DataType::kBytes) return read_strings(tensor, bytes);
  TRY(check_dense(tensor, bytes));
  tensor.bytes = std::move(bytes);
  return {};
}

}  // namespace api::inference
