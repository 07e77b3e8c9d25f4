#include "api/inference/core.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "api/inference/inference.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/utf8.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::Tensor;

template <class T>
T element(const Tensor& tensor, size_t index) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(T), sizeof value);
  return value;
}

template <class T>
void append_number(std::string& out, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    // JSON has no such numbers; these words are what numpy reads back.
    if (std::isnan(value)) return void(out += "\"NaN\"");
    if (std::isinf(value)) return void(out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  }
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// BYTES elements are any bytes; JSON is UTF-8.
void append_text(std::string& out, const std::string& text) {
  if (base::is_utf8(text)) return base::append_json_string(out, text);
  std::string shown;
  for (char c : text) shown += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : std::string("\xef\xbf\xbd");
  base::append_json_string(out, shown);
}

void append_element(std::string& out, const Tensor& tensor, size_t i) {
  switch (tensor.type) {
    case DataType::kBool: out += tensor.bytes[i] ? "true" : "false"; break;
    case DataType::kUint8: append_number(out, unsigned{element<uint8_t>(tensor, i)}); break;
    case DataType::kUint16: append_number(out, element<uint16_t>(tensor, i)); break;
    case DataType::kUint32: append_number(out, element<uint32_t>(tensor, i)); break;
    case DataType::kUint64: append_number(out, element<uint64_t>(tensor, i)); break;
    case DataType::kInt8: append_number(out, int{element<int8_t>(tensor, i)}); break;
    case DataType::kInt16: append_number(out, element<int16_t>(tensor, i)); break;
    case DataType::kInt32: append_number(out, element<int32_t>(tensor, i)); break;
    case DataType::kInt64: append_number(out, element<int64_t>(tensor, i)); break;
    case DataType::kFp16: append_number(out, serve::from_half(element<uint16_t>(tensor, i))); break;
    case DataType::kBf16: append_number(out, serve::from_bfloat(element<uint16_t>(tensor, i))); break;
    case DataType::kFp32: append_number(out, element<float>(tensor, i)); break;
    case DataType::kFp64: append_number(out, element<double>(tensor, i)); break;
    case DataType::kBytes: append_text(out, tensor.strings[i]); break;
  }
}

size_t elements(const Tensor& tensor) {
  return tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / serve::byte_size(tensor.type);
}

void append_level(std::string& out, const Tensor& tensor, size_t depth, size_t& next) {
  if (depth == tensor.shape.size()) return append_element(out, tensor, next++);
  out += '[';
  for (int64_t i = 0; i < tensor.shape[depth]; ++i) {
    if (i) out += ',';
    append_level(out, tensor, depth + 1, next);
  }
  out += ']';
}

// What capture keeps of the scores: the highest of each row.
std::vector<double> top_scores(const serve::Prediction& prediction) {
  std::vector<double> top;
  const size_t rows = prediction.labels.size();
  if (rows == 0 || prediction.scores.empty()) return top;
  const size_t width = prediction.scores.size() / rows;
  top.reserve(rows);
  for (size_t row = 0; row < rows; ++row) {
    const auto begin = prediction.scores.begin() + static_cast<std::ptrdiff_t>(row * width);
    top.push_back(*std::max_element(begin, begin + static_cast<std::ptrdiff_t>(width)));
  }
  return top;
}

void capture(const Door& door, const serve::LiveEndpoint& endpoint, std::span<const Tensor> inputs, const Answer& answer,
             const net::Request& request, std::string_view client_id, net::Response& response) {
  serve::Capture& capture = door.runtime.capture();
  const base::Uuid id = capture.new_id(*endpoint.capture, request.ctx.now_us);
  response.header("X-Lathe-Prediction-Id", serve::prediction_id(id));
  response.header("X-Lathe-Model-Version", endpoint.version);
  if (client_id.empty()) client_id = request.header("x-amzn-sagemaker-inference-id");
  if (client_id.empty()) client_id = request.header("x-request-id");
  const serve::RawRows rows = endpoint.predictor->rows_of(inputs);
  const std::vector<double> scores = top_scores(answer.prediction);
  const size_t count = rows.count ? rows.count : answer.prediction.labels.size();
  const bool labelled = answer.prediction.labels.size() == count;
  endpoint.rows->add(count);
  capture.record(*endpoint.capture, {.id = id,
                                     .client_id = client_id,
                                     .at_us = request.ctx.now_us,
                                     .row_count = static_cast<uint32_t>(count),
                                     .rows = rows.numbers,
                                     .texts = rows.texts,
                                     .labels = labelled ? std::span<const std::string>(answer.prediction.labels) : std::span<const std::string>(),
                                     .scores = labelled ? std::span<const double>(scores) : std::span<const double>()});
}

}  // namespace

base::Result<Target> find_target(const Door& door, const net::Request& request, std::string_view name, std::string_view version) {
  Target target{door.runtime.pin()};
  const auto* found = target.pin->find(request.ctx.project, name);
  if (!found) {
    if (!name.empty()) return base::not_found("endpoint '" + std::string(name) + "' does not exist or serves nothing yet");
    return base::not_found("no endpoint is marked default, and there is not exactly one; name it: /endpoints/NAME/invocations");
  }
  target.endpoint = found->get();
  if (!version.empty() && version != target.endpoint->version) {
    return base::not_found("endpoint '" + target.endpoint->name + "' serves version " + target.endpoint->version + ", not " +
                           std::string(version));
  }
  return target;
}

void count_failure(const serve::LiveEndpoint& endpoint) {
  endpoint.requests->add();
  endpoint.failures->add();
}

base::Result<Answer> run(const Door& door, const serve::LiveEndpoint& endpoint, std::span<const serve::Tensor> inputs,
                         const net::Request& request, std::string_view client_id, net::Response& response) {
  if (!endpoint.predictor) {
    count_failure(endpoint);
    return std::unexpected(endpoint.problem);
  }
  const int64_t start_us = base::system_clock().mono_us();
  auto outputs = endpoint.predictor->infer(inputs);
  if (!outputs) {
    count_failure(endpoint);
    return std::unexpected(std::move(outputs).error());
  }
  Answer answer{.outputs = std::move(*outputs)};
  answer.prediction = endpoint.predictor->read(answer.outputs);
  capture(door, endpoint, inputs, answer, request, client_id, response);
  endpoint.requests->add();
  endpoint.seconds->observe(static_cast<double>(base::system_clock().mono_us() - start_us) * 1e-6);
  return answer;
}

net::Handler with_body(DoorPtr door, net::Protocol protocol, BodyHandler handler) {
  return [door, protocol, handler = std::move(handler)](net::Request& request, net::Response& response) -> base::Task<void> {
    auto body = co_await request.read_body();
    base::Result<void> done;
    if (!body) {
      done = std::unexpected(std::move(body).error());
    } else if (const auto encoding = request.header("content-encoding"); !encoding.empty() && encoding != "identity") {
      done = base::invalid("Content-Encoding " + std::string(encoding) + " is not offered; send the body uncompressed");
    } else {
      done = handler(*door, request, response, *body);
    }
    if (!done) door->errors.write(protocol, response, done.error(), request.ctx.request_id);
  };
}

net::Handler without_body(DoorPtr door, net::Protocol protocol, PlainHandler handler) {
  return [door, protocol, handler = std::move(handler)](net::Request& request, net::Response& response) -> base::Task<void> {
    if (auto done = handler(*door, request, response); !done) {
      door->errors.write(protocol, response, done.error(), request.ctx.request_id);
    }
    co_return;
  };
}

void append_flat(std::string& out, const serve::Tensor& tensor) {
  out += '[';
  const size_t count = elements(tensor);
  for (size_t i = 0; i < count; ++i) {
    if (i) out += ',';
    append_element(out, tensor, i);
  }
  out += ']';
}

void append_nested(std::string& out, const serve::Tensor& tensor) {
  size_t next = 0;
  append_level(out, tensor, 0, next);
}

void append_predictions(std::string& out, const Answer& answer) {
  if (answer.prediction.labels.empty() && answer.outputs.size() == 1) return append_nested(out, answer.outputs[0]);
  if (answer.prediction.labels.empty()) {
    out += '{';
    for (size_t i = 0; i < answer.outputs.size(); ++i) {
      if (i) out += ',';
      base::append_json_string(out, answer.outputs[i].name);
      out += ':';
      append_nested(out, answer.outputs[i]);
    }
    out += '}';
    return;
  }
  out += '[';
  for (size_t i = 0; i < answer.prediction.labels.size(); ++i) {
    if (i) out += ',';
    const std::string& label = answer.prediction.labels[i];
    const bool special = label == "NaN" || label.ends_with("Infinity");
    if (answer.prediction.text || special) {
      append_text(out, label);
    } else {
      out += label;
    }
  }
  out += ']';
}

void add_inference_routes(net::RouteTable& routes, net::ErrorWriters& errors, serve::Runtime& runtime, std::string version) {
  const auto door = std::make_shared<const Door>(Door{runtime, errors, std::move(version)});
  const auto brief = [](net::Response& response, const base::Error& error, std::string_view) {
    std::string body = "{\"error\":";
    base::append_json_string(body, error.message);
    response.send_json(body += '}', net::http_status(error.code));
  };
  errors.set(net::Protocol::kInference, brief);
  errors.set(net::Protocol::kKserveV1, brief);
  errors.set(net::Protocol::kMlflowScoring, [](net::Response& response, const base::Error& error, std::string_view) {
    const int status = net::http_status(error.code);
    std::string body;
    base::JsonWriter(body)
        .begin_object()
        .field("error_code", status == 404 ? "RESOURCE_DOES_NOT_EXIST" : status < 500 ? "BAD_REQUEST" : "INTERNAL_ERROR")
        .field("message", error.message)
        .end_object();
    response.send_json(std::move(body), status);
  });
  add_oip_routes(routes, door);
  add_v1_routes(routes, door);
  add_scoring_routes(routes, door);
}

}  // namespace api::inference
