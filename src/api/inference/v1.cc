#include "api/inference/core.h"
#include "api/inference/rows_body.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

using serve::LiveEndpoint;

// TensorFlow Serving's column format: the only output, or all by name.
void append_outputs(std::string& out, const Answer& answer) {
  if (answer.outputs.size() == 1) return append_nested(out, answer.outputs[0]);
  out += '{';
  for (size_t i = 0; i < answer.outputs.size(); ++i) {
    if (i) out += ',';
    base::append_json_string(out, answer.outputs[i].name);
    out += ':';
    append_nested(out, answer.outputs[i]);
  }
  out += '}';
}

base::Result<std::vector<serve::Tensor>> parse(const LiveEndpoint& endpoint, std::string_view body, bool& columns) {
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  const auto* instances = object->if_contains("instances");
  const auto* inputs = object->if_contains("inputs");
  if ((instances != nullptr) == (inputs != nullptr)) {
    return base::invalid("the body must hold exactly one of 'instances' (rows) and 'inputs' (columns)");
  }
  columns = inputs != nullptr;
  return columns ? from_inputs(*endpoint.predictor, *inputs) : from_instances(*endpoint.predictor, *instances);
}

base::Result<void> predict(const Door& door, net::Request& request, net::Response& response, std::string& body) {
  TRY_SET(const Target target, find_target(door, request, request.param("model"), request.param("version")));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  bool columns = false;
  auto tensors = parse(endpoint, body, columns);
  if (!tensors) {
    count_failure(endpoint);
    return std::unexpected(std::move(tensors).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, *tensors, request, "", response));
  std::string out = columns ? "{\"outputs\":" : "{\"predictions\":";
  if (columns) {
    append_outputs(out, answer);
  } else {
    append_predictions(out, answer);
  }
  response.send_json(out += '}');
  return {};
}

base::Result<void> list(const Door& door, net::Request& request, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("models").begin_array();
  const auto pin = door.runtime.pin();
  for (const auto& endpoint : pin->endpoints) {
    if (endpoint->project == request.ctx.project) json.value(endpoint->name);
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

// KServe reads name and ready, TensorFlow Serving's clients model_version_status.
base::Result<void> status(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_target(door, request, request.param("model"), request.param("version")));
  const LiveEndpoint& endpoint = *target.endpoint;
  const bool ready = endpoint.predictor != nullptr;
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", endpoint.name).field("ready", ready).key("model_version_status").begin_array().begin_object();
  json.field("version", endpoint.version).field("state", ready ? "AVAILABLE" : "END").key("status").begin_object();
  json.field("error_code", ready ? "OK" : "UNAVAILABLE").field("error_message", ready ? std::string() : endpoint.problem.message);
  json.end_object().end_object().end_array().end_object();
  response.send_json(std::move(body), ready ? 200 : 503);
  return {};
}

}  // namespace

void add_v1_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kKserveV1;
  constexpr net::RouteLimits kRows{.body_bytes = kRowsBody};
  constexpr net::RouteLimits kNoBody{.body_bytes = 0};
  routes.add({Method::kGet, "/v1/models", kProtocol, Permission::kInfer, kNoBody, without_body(door, kProtocol, list)});
  for (const char* pattern : {"/v1/models/{model}", "/v1/models/{model}/versions/{version}"}) {
    routes.add({Method::kGet, pattern, kProtocol, Permission::kInfer, kNoBody, without_body(door, kProtocol, status)});
    const std::string predict_pattern = std::string(pattern) + ":predict";
    routes.add({Method::kPost, predict_pattern, kProtocol, Permission::kInfer, kRows, with_body(door, kProtocol, predict)});
  }
}

}  // namespace api::inference
