// MLflow's scoring protocol (/invocations, /ping) and the part of its deployments protocol that asks and lists
// endpoints. /endpoints/NAME/invocations is SageMaker's route, too: its clients sign, and get its answers.
#include "api/inference/scoring.h"

#include <algorithm>

#include "api/inference/rows_body.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

using serve::LiveEndpoint;
using serve::Tensor;

constexpr std::string_view kBlanks = " \t";

std::string_view trim(std::string_view text) {
  while (!text.empty() && kBlanks.contains(text.front())) text.remove_prefix(1);
  while (!text.empty() && kBlanks.contains(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// `params`: the body's own, as JSON, for models that take them; "" without.
base::Result<std::vector<Tensor>> parse(const serve::Predictor& predictor, std::string_view type, std::string_view body,
                                        std::string& params) {
  if (type == "text/csv") return from_csv(predictor, body);
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  if (const auto* given = object->if_contains("params"); given && given->is_object() && !given->as_object().empty())
    params = base::to_text(*given);
  return from_scoring(predictor, *object);
}

base::Result<void> invoke(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  if (is_sagemaker(request)) return answer_sagemaker(door, request, response, body);
  return answer_scoring(door, request.param("name"), request, response, body);
}

// 200 when the default endpoint can answer (MLflow and SageMaker ask this before they send anything). Anybody may ask,
// so no name is told.
base::Result<void> ping(const Door& door, net::Request& request, net::Response& response) {
  const auto target = find_target(door, request, "", "", Purpose::kLook);
  const bool many = !target && door.control;  // a container of many models is well without one
  if (!target && !many) return base::not_found("there is no default endpoint");
  if (many && !all_ready(door)) return base::fail(base::Code::kUnavailable, "a model is not ready");
  if (!many && !target->endpoint->ready())
    return base::fail(target->endpoint->problem.code, "the default endpoint is not ready");
  response.send(200, "application/json", "\n");
  return {};
}

void write_endpoint(base::JsonWriter& json, const LiveEndpoint& endpoint) {
  json.begin_object().field("name", endpoint.name).field("endpoint_type", "mlflow/v1/scoring").key("model");
  json.begin_object().field("name", endpoint.revision.model_name).field("provider", "lathe").end_object();
  json.field("endpoint_url", "/endpoints/" + net::percent_encode(endpoint.name) + "/invocations");
  json.key("limit").null().end_object();
}

// What mlflow.deployments' list_endpoints and get_endpoint ask.
base::Result<void> endpoints(const Door& door, net::Request& request, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  if (const std::string_view name = request.param("name"); !name.empty()) {
    TRY_SET(const Target target, find_target(door, request, name, "", Purpose::kLook));
    write_endpoint(json, *target.endpoint);
  } else {
    json.begin_object().key("endpoints").begin_array();
    const auto pin = door.runtime.pin();
    for (const auto& endpoint : pin->endpoints) {
      if (endpoint->project == request.ctx.project) write_endpoint(json, *endpoint);
    }
    json.end_array().key("next_page_token").null().end_object();
  }
  response.send_json(std::move(body));
  return {};
}

}  // namespace

MediaType read_media_type(std::string_view content_type) {
  MediaType out;
  out.type = lower(trim(content_type.substr(0, content_type.find(';'))));
  std::string others;
  for (size_t at = content_type.find(';'); at != content_type.npos;) {
    const size_t end = content_type.find(';', at + 1);
    const std::string_view pair =
        trim(content_type.substr(at + 1, end == content_type.npos ? content_type.npos : end - at - 1));
    const std::string key = lower(trim(pair.substr(0, pair.find('='))));
    std::string value = pair.contains('=') ? lower(trim(pair.substr(pair.find('=') + 1))) : "";
    if (value.size() > 1 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (key == "charset") {
      if (value != "utf-8") out.problem = "only UTF-8 is read here, not the charset '" + value.substr(0, 40) + "'";
    } else if (key == "header" && out.type == "text/csv" && (value == "present" || value == "absent")) {
      out.header = value;
    } else if (!pair.empty()) {
      others.append(others.empty() ? "" : ", ").append(key.substr(0, 40));
    }
    at = end;
  }
  if (!others.empty() && out.problem.empty())
    out.problem = "the content type has parameters that are not known here: " + others + "; allowed: charset";
  if (out.type != "application/json" && out.type != "text/csv" && out.problem.empty())
    out.problem =
        "the content type is '" + out.type.substr(0, 80) + "'; allowed are application/json and text/csv, in UTF-8";
  return out;
}

base::Result<void> answer_scoring(const Door& door, std::string_view name, net::Request& request,
                                  net::Response& response, std::string_view body) {
  TRY_SET(const Target target, find_target(door, request, name, ""));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  const MediaType media = read_media_type(request.header("content-type"));
  if (!media.problem.empty()) {  // MLflow's servers say this in plain text
    count_failure(endpoint);
    response.send(415, "text/plain; charset=utf-8", media.problem + "\n");
    return {};
  }
  std::string params;
  auto tensors = parse(*endpoint.predictor, media.type, body, params);
  if (!tensors) {
    count_failure(endpoint);
    return std::unexpected(std::move(tensors).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, *tensors, request, "", response, std::move(params)));
  std::string out = "{\"predictions\": ";
  append_predictions(out, answer);
  response.send_json(out += '}');
  return {};
}

void add_scoring_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kMlflowScoring;
  constexpr net::RouteLimits kRows{.body_bytes = kRowsBody};
  routes.add(
      {Method::kGet, "/ping", kProtocol, Permission::kNone, {.body_bytes = 0}, without_body(door, kProtocol, ping)});
  std::vector<std::string> patterns = {"/invocations", "/endpoints/{name}/invocations"};
  if (door->control) patterns.emplace_back("/models/{name}/invoke");  // container.cc
  for (const std::string& pattern : patterns) {
    routes.add({Method::kPost, pattern, kProtocol, Permission::kInfer, kRows, with_body(door, kProtocol, invoke)});
  }
  // With and without the slash at its end: MLflow's client sends it.
  for (const char* pattern : {"/api/2.0/endpoints", "/api/2.0/endpoints/", "/api/2.0/endpoints/{name}"}) {
    routes.add({Method::kGet,
                pattern,
                kProtocol,
                Permission::kInfer,
                {.body_bytes = 0},
                without_body(door, kProtocol, endpoints)});
  }
}

}  // namespace api::inference
