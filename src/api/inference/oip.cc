#include <algorithm>
#include <charconv>

#include "api/inference/core.h"
#include "api/inference/oip_request.h"
#include "api/inference/outputs.h"
#include "api/inference/shared_memory.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

using serve::LiveEndpoint;
using serve::Tensor;

constexpr std::string_view kLengthHeader = "inference-header-content-length";

base::Result<std::optional<size_t>> json_length(const net::Request& request) {
  const std::string_view text = request.header(kLengthHeader);
  if (text.empty()) return std::nullopt;
  size_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size()) {
    return base::invalid("Inference-Header-Content-Length '" + std::string(text.substr(0, 40)) +
                         "' is not a number of bytes");
  }
  return length;
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

bool is_raw(const Output& output) { return output.binary && output.shared.region.empty(); }

// Appends one output; if it is to be binary, its raw bytes follow the JSON.
void append_output(std::string& out, const Output& output) {
  const Tensor& tensor = output.tensor;
  out += "{\"name\":";
  base::append_json_string(out, tensor.name);
  out += ",\"datatype\":\"";
  out += serve::name(tensor.type);
  out += "\",\"shape\":";
  append_shape(out, tensor.shape);
  if (const SharedPart& part = output.shared; !part.region.empty()) {
    out += ",\"parameters\":{\"shared_memory_region\":";
    base::append_json_string(out, part.region);
    if (part.offset != 0) out += ",\"shared_memory_offset\":" + std::to_string(part.offset);
    out += ",\"shared_memory_byte_size\":" + std::to_string(part.bytes) + "}}";
  } else if (is_raw(output)) {
    out += ",\"parameters\":{\"binary_data_size\":" + std::to_string(raw_size(tensor)) + "}}";
  } else {
    out += ",\"data\":";
    append_flat(out, tensor);
    out += '}';
  }
}

base::Result<void> send_answer(const Door& door, const LiveEndpoint& found, const OipRequest& wanted, Answer& answer,
                               const net::Request& request, net::Response& response) {
  const LiveEndpoint& endpoint = answer.answered(found);
  std::string out;
  out.reserve(256);
  out += "{\"model_name\":";
  base::append_json_string(out, endpoint.name);
  out.append(",\"model_version\":\"").append(endpoint.version).append("\"");
  if (!wanted.id.empty()) {
    out += ",\"id\":";
    base::append_json_string(out, wanted.id);
  }
  out += ",\"outputs\":[";
  bool first = true, any_binary = false;
  size_t raw = 0;
  TRY_SET(std::vector<Output> outputs, take_outputs(endpoint, wanted, answer));
  TRY(store_shared(door, request, outputs));
  for (const Output& output : outputs) {
    if (!first) out += ',';
    first = false;
    if (is_raw(output)) {
      any_binary = true;
      raw += raw_size(output.tensor);
    }
    append_output(out, output);
  }
  out += "]}";
  if (!any_binary) {
    send_packed(request, response, "application/json", std::move(out));
    return {};
  }
  response.header("Inference-Header-Content-Length", std::to_string(out.size()));
  out.reserve(out.size() + raw);
  for (const Output& output : outputs) {
    if (is_raw(output)) append_raw(out, output.tensor);
  }
  send_packed(request, response, "application/octet-stream", std::move(out));
  return {};
}

base::Result<OipRequest> read_request(const Door& door, const LiveEndpoint& endpoint, const net::Request& request,
                                      std::string_view body, std::optional<size_t> json_bytes) {
  TRY_SET(OipRequest wanted, parse_oip(body, json_bytes));
  TRY(check_outputs(endpoint, wanted));
  TRY(fill_shared(door, request, wanted));
  TRY(check_timeout(request, wanted.wish.timeout_us));
  return wanted;
}

base::Result<void> infer(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const auto length, json_length(request));
  const auto target = find_target(door, request, request.param("model"), request.param("version"));
  if (!target) {
    order_detour([&] { return priority_in(body, length); });
    return std::unexpected(target.error());
  }
  const LiveEndpoint& endpoint = *target->endpoint;
  auto wanted = read_request(door, endpoint, request, body, length);
  if (!wanted) {
    count_failure(endpoint);
    return std::unexpected(std::move(wanted).error());
  }
  TRY_SET(Answer answer, run(door, endpoint, wanted->inputs, request, wanted->id, response, {}, wanted->wish));
  return send_answer(door, endpoint, *wanted, answer, request, response);
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
  TRY_SET(const Target target,
          find_target(door, request, request.param("model"), request.param("version"), Purpose::kDescribe));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", endpoint.name).key("versions").begin_array();
  for (const auto& version : versions_of(door, endpoint)) json.value(version);
  json.end_array();
  json.field("platform", endpoint.predictor->model().platform());
  write_infos(json, "inputs", endpoint.predictor->inputs());
  write_infos(json, "outputs", endpoint.predictor->outputs());
  json.end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> model_ready(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target,
          find_target(door, request, request.param("model"), request.param("version"), Purpose::kLook));
  const bool ready = target.endpoint->ready();
  std::string body;
  base::JsonWriter(body).begin_object().field("name", target.endpoint->name).field("ready", ready).end_object();
  response.send_json(std::move(body), ready ? 200 : 503);
  return {};
}

base::Result<void> server_metadata(const Door& door, net::Request&, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", "lathe").field("version", door.version).key("extensions").begin_array();
  for (std::string_view extension : kExtensions) json.value(extension);
  json.end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> server_live(const Door&, net::Request&, net::Response& response) {
  response.send_json("{\"live\":true}");
  return {};
}

base::Result<void> server_ready(const Door& door, net::Request&, net::Response& response) {
  const bool ready = all_ready(door);
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
  const auto get = [&](const char* pattern, PlainHandler handler, Permission permission = Permission::kInfer) {
    routes.add(
        {Method::kGet, pattern, kProtocol, permission, kNoBody, without_body(door, kProtocol, std::move(handler))});
  };
  get("/v2", server_metadata);
  get("/v2/health/live", server_live, Permission::kNone);
  get("/v2/health/ready", server_ready, Permission::kNone);
  get("/v2/models/{model}", model_metadata);
  get("/v2/models/{model}/versions/{version}", model_metadata);
  get("/v2/models/{model}/ready", model_ready);
  get("/v2/models/{model}/versions/{version}/ready", model_ready);
  for (const char* pattern : {"/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"}) {
    routes.add({Method::kPost, pattern, kProtocol, Permission::kInfer, kInfer,
                with_body(door, kProtocol, infer, base::limits::kInferBody)});
  }
}

}  // namespace api::inference
