// KServe v1 and TensorFlow Serving's REST API, which share their routes: both send instances. KServe's clients get the
// labels; where a request is TensorFlow Serving's own (a signature, a version or a label is named), its rows are
// objects by the outputs' names. What only TensorFlow Serving has is in tfserving.cc.
#include "api/inference/core.h"
#include "api/inference/rows_body.h"
#include "api/inference/tfserving.h"
#include "base/json.h"
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

struct Body {
  std::vector<serve::Tensor> tensors;
  bool columns = false;
  bool signature = false;  // named
};

base::Result<Body> parse(const LiveEndpoint& endpoint, std::string_view body) {
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  const auto* instances = object->if_contains("instances");
  const auto* inputs = object->if_contains("inputs");
  if ((instances != nullptr) == (inputs != nullptr)) {
    return base::invalid("the body must hold exactly one of 'instances' (rows) and 'inputs' (columns)");
  }
  Body out{.columns = inputs != nullptr};
  TRY_SET(const auto signature, base::optional_string(*object, "signature_name"));
  TRY(check_signature(signature.value_or("")));
  out.signature = signature.has_value();
  TRY_SET(out.tensors,
          inputs ? from_inputs(*endpoint.predictor, *inputs) : from_instances(*endpoint.predictor, *instances));
  return out;
}

base::Result<void> predict(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const Target target, find_labelled(door, request));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  auto parsed = parse(endpoint, body);
  if (!parsed) {
    count_failure(endpoint);
    return std::unexpected(std::move(parsed).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, parsed->tensors, request, "", response));
  std::string out = parsed->columns ? "{\"outputs\":" : "{\"predictions\":";
  if (parsed->columns) {
    append_outputs(out, answer);
  } else if (parsed->signature || !request.param("version").empty() || !request.param("label").empty()) {
    TRY(append_rows(out, answer.outputs));
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
  const serve::LiveEndpoint* before = nullptr;  // versions of one name follow each other
  for (const auto& endpoint : pin->endpoints) {
    if (endpoint->project != request.ctx.project || (before && before->name == endpoint->name)) continue;
    json.value(endpoint->name);
    before = endpoint.get();
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

// KServe reads name and ready, TensorFlow Serving's clients model_version_status.
base::Result<void> status(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_labelled(door, request, Purpose::kLook));
  const LiveEndpoint& endpoint = *target.endpoint;
  const bool ready = endpoint.ready();
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", endpoint.name).field("ready", ready).key("model_version_status").begin_array();
  const auto pin = door.runtime.pin();
  for (const auto& live : pin->versions(endpoint.project, endpoint.name)) {
    if (!request.param("version").empty() && live->version != endpoint.version) continue;
    json.begin_object().field("version", live->version).field("state", live->ready() ? "AVAILABLE" : "END");
    json.key("status").begin_object().field("error_code", live->ready() ? "OK" : "UNAVAILABLE");
    json.field("error_message", live->ready() ? std::string() : live->problem.message).end_object().end_object();
  }
  json.end_array().end_object();
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
  for (const char* pattern :
       {"/v1/models/{model}", "/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}"}) {
    routes.add({Method::kGet, pattern, kProtocol, Permission::kInfer, kNoBody, without_body(door, kProtocol, status)});
    const std::string predict_pattern = std::string(pattern) + ":predict";
    routes.add(
        {Method::kPost, predict_pattern, kProtocol, Permission::kInfer, kRows, with_body(door, kProtocol, predict)});
  }
}

}  // namespace api::inference
