#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "api/inference/core.h"
#include "api/inference/oip_request.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::LiveEndpoint;
using serve::Tensor;

constexpr std::string_view kLengthHeader = "inference-header-content-length";

base::Result<std::optional<size_t>> json_length(const net::Request& request) {
  const std::string_view text = request.header(kLengthHeader);
  if (text.empty()) return std::nullopt;
  size_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size()) {
    return base::invalid("Inference-Header-Content-Length '" + std::string(text.substr(0, 40)) + "' is not a number of bytes");
  }
  return length;
}

// "value:index" or "value:index:class" of the N highest elements of each row, as Triton's classification extension says.
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
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep), order.end(), [&](size_t a, size_t b) {
      return value(a) != value(b) ? value(a) > value(b) : a < b;
    });
    for (size_t i = 0; i < keep; ++i) {
      std::string text = serve::text_at(scores, row * width + order[i]) + ":" + std::to_string(order[i]);
      if (names.size() == width) text += ":" + names[order[i]];
      out.strings.push_back(std::move(text));
    }
  }
  return out;
}

void append_binary(std::string& out, const Tensor& tensor) {
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

void append_shape(std::string& out, const std::vector<int64_t>& shape) {
  out += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i) out += ',';
    char text[24];
    out.append(text, std::to_chars(text, text + sizeof text, shape[i]).ptr);
  }
  out += ']';
}

// Appends one output; its raw bytes, if it is to be binary, go to `binary`.
void append_output(std::string& out, std::string& binary, const Tensor& tensor, bool as_binary) {
  out += "{\"name\":";
  base::append_json_string(out, tensor.name);
  out += ",\"datatype\":\"";
  out += serve::name(tensor.type);
  out += "\",\"shape\":";
  append_shape(out, tensor.shape);
  if (as_binary) {
    const size_t before = binary.size();
    append_binary(binary, tensor);
    out += ",\"parameters\":{\"binary_data_size\":" + std::to_string(binary.size() - before) + "}}";
  } else {
    out += ",\"data\":";
    append_flat(out, tensor);
    out += '}';
  }
}

const Tensor* find_output(const std::vector<Tensor>& outputs, const std::string& name) {
  const auto found = std::ranges::find(outputs, name, &Tensor::name);
  return found == outputs.end() ? nullptr : &*found;
}

// Before the model runs: are all outputs that the request names there?
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

base::Result<void> send_answer(const LiveEndpoint& endpoint, const OipRequest& wanted, const Answer& answer, net::Response& response) {
  std::string out, binary;
  out.reserve(256);
  out += "{\"model_name\":";
  base::append_json_string(out, endpoint.name);
  out += ",\"model_version\":\"" + endpoint.version + '"';
  if (!wanted.id.empty()) {
    out += ",\"id\":";
    base::append_json_string(out, wanted.id);
  }
  out += ",\"outputs\":[";
  bool first = true, any_binary = false;
  const auto add = [&](const Tensor& tensor, bool as_binary) {
    if (!first) out += ',';
    first = false;
    any_binary |= as_binary;
    append_output(out, binary, tensor, as_binary);
  };
  if (wanted.outputs.empty()) {
    for (const Tensor& tensor : answer.outputs) add(tensor, wanted.binary_outputs);
  }
  for (const auto& output : wanted.outputs) {
    const Tensor* tensor = find_output(answer.outputs, output.name);
    if (!tensor) return base::internal("output '" + output.name + "' was not produced");
    const bool as_binary = output.binary.value_or(wanted.binary_outputs);
    if (output.classes > 0) {
      TRY_SET(const Tensor classified, classify(*tensor, output.classes, answer.prediction.classes));
      add(classified, as_binary);
    } else {
      add(*tensor, as_binary);
    }
  }
  out += "]}";
  if (!any_binary) {
    response.send_json(std::move(out));
    return {};
  }
  response.header("Inference-Header-Content-Length", std::to_string(out.size()));
  out += binary;
  response.send(200, "application/octet-stream", std::move(out));
  return {};
}

base::Result<void> infer(const Door& door, net::Request& request, net::Response& response, std::string& body) {
  TRY_SET(const Target target, find_target(door, request, request.param("model"), request.param("version")));
  TRY_SET(const auto length, json_length(request));
  auto wanted = parse_oip(body, length);
  if (!wanted) {
    count_failure(*target.endpoint);
    return std::unexpected(std::move(wanted).error());
  }
  if (auto known = check_outputs(*target.endpoint, *wanted); !known) {
    count_failure(*target.endpoint);
    return known;
  }
  TRY_SET(const Answer answer, run(door, *target.endpoint, wanted->inputs, request, wanted->id, response));
  return send_answer(*target.endpoint, *wanted, answer, response);
}

void write_infos(base::JsonWriter& json, std::string_view key, const std::vector<serve::TensorInfo>& infos) {
  json.key(key).begin_array();
  for (const serve::TensorInfo& info : infos) {
    json.begin_object().field("name", info.name).field("datatype", serve::name(info.type)).key("shape").begin_array();
    for (int64_t dim : info.shape) json.value(dim);
    json.end_array().end_object();
  }
  json.end_array();
}

base::Result<void> model_metadata(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_target(door, request, request.param("model"), request.param("version")));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", endpoint.name).key("versions").begin_array().value(endpoint.version).end_array();
  json.field("platform", endpoint.predictor->model().platform());
  write_infos(json, "inputs", endpoint.predictor->inputs());
  write_infos(json, "outputs", endpoint.predictor->outputs());
  json.end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> model_ready(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_target(door, request, request.param("model"), request.param("version")));
  const bool ready = target.endpoint->predictor != nullptr;
  std::string body;
  base::JsonWriter(body).begin_object().field("name", target.endpoint->name).field("ready", ready).end_object();
  response.send_json(std::move(body), ready ? 200 : 503);
  return {};
}

base::Result<void> server_metadata(const Door& door, net::Request&, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", "lathe").field("version", door.version).key("extensions").begin_array();
  json.value("binary_tensor_data").value("classification").end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> server_live(const Door&, net::Request&, net::Response& response) {
  response.send_json("{\"live\":true}");
  return {};
}

base::Result<void> server_ready(const Door& door, net::Request&, net::Response& response) {
  const auto pin = door.runtime.pin();
  const bool ready = std::ranges::all_of(pin->endpoints, [](const auto& endpoint) { return endpoint->predictor != nullptr; });
  response.send_json(ready ? "{\"ready\":true}" : "{\"ready\":false}", ready ? 200 : 503);
  return {};
}

}  // namespace

void add_oip_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kInference;
  constexpr net::RouteLimits kInfer{.body_bytes = base::limits::kInferBody};
  constexpr net::RouteLimits kNoBody{.body_bytes = 0};
  const auto get = [&](const char* pattern, PlainHandler handler) {
    routes.add({Method::kGet, pattern, kProtocol, Permission::kInfer, kNoBody, without_body(door, kProtocol, std::move(handler))});
  };
  get("/v2", server_metadata);
  get("/v2/health/live", server_live);
  get("/v2/health/ready", server_ready);
  get("/v2/models/{model}", model_metadata);
  get("/v2/models/{model}/versions/{version}", model_metadata);
  get("/v2/models/{model}/ready", model_ready);
  get("/v2/models/{model}/versions/{version}/ready", model_ready);
  for (const char* pattern : {"/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"}) {
    routes.add({Method::kPost, pattern, kProtocol, Permission::kInfer, kInfer, with_body(door, kProtocol, infer)});
  }
}

}  // namespace api::inference
