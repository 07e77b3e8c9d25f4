// SageMaker's contract for containers of many models: GET and POST /models, GET and DELETE /models/NAME,
// POST /models/NAME/invoke (scoring.cc). /ping and /invocations are everybody's.
#include "api/inference/core.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

void write_model(base::JsonWriter& json, const repository::ModelControl::Added& model) {
  json.begin_object().field("modelName", model.name).field("modelUrl", model.folder.string()).end_object();
}

base::Result<void> list(const Door& door, net::Request&, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("models").begin_array();
  for (const auto& model : door.control->added()) write_model(json, model);
  json.end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> add(const Door& door, net::Request&, net::Response& response, std::string_view sent) {
  TRY_SET(const base::json::value value, base::parse_json(sent));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  TRY_SET(const std::string name, base::required_string(*object, "model_name"));
  TRY_SET(const std::string folder, base::required_string(*object, "url"));
  TRY(step_aside(name));
  TRY(door.control->add(name, folder));
  response.send_json("{}");
  return {};
}

base::Result<void> describe(const Door& door, net::Request& request, net::Response& response) {
  for (const auto& model : door.control->added()) {
    if (model.name != request.param("model")) continue;
    std::string body;
    base::JsonWriter json(body);
    write_model(json, model);
    response.send_json(std::move(body));
    return {};
  }
  return base::not_found("model '" + std::string(request.param("model").substr(0, 80)) + "' was not added");
}

base::Result<void> remove(const Door& door, net::Request& request, net::Response& response) {
  TRY(step_aside(request.param("model")));
  TRY(door.control->remove(request.param("model")));
  response.send_json("{}");
  return {};
}

}  // namespace

void add_container_routes(net::RouteTable& routes, const DoorPtr& door) {
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kMlflowScoring;
  constexpr net::RouteLimits kNoBody{.body_bytes = 0};
  constexpr auto kAdmin = base::Permission::kAdmin;
  routes.add(
      {Method::kGet, "/models", kProtocol, base::Permission::kInfer, kNoBody, without_body(door, kProtocol, list)});
  routes.add(
      {Method::kPost, "/models", kProtocol, kAdmin, {.deadline_us = kControlUs}, with_body(door, kProtocol, add)});
  routes.add({Method::kGet, "/models/{model}", kProtocol, base::Permission::kInfer, kNoBody,
              without_body(door, kProtocol, describe)});
  routes.add({Method::kDelete, "/models/{model}", kProtocol, kAdmin, kNoBody, without_body(door, kProtocol, remove)});
}

}  // namespace api::inference
