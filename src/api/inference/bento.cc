// BentoML's HTTP protocol as its clients speak it: /schema.json names the routes, and POST /predict asks the default
// endpoint, with the model's inputs as named arguments. /readyz, /livez and /healthz are the server's own.
#include "api/inference/core.h"
#include "api/inference/rows_body.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::LiveEndpoint;

// numpy's word for a tensor's type, as BentoML's schema has it; "": lists will do.
std::string_view numpy_name(DataType type) {
  switch (type) {
    case DataType::kBool: return "bool";
    case DataType::kUint8: return "uint8";
    case DataType::kUint16: return "uint16";
    case DataType::kUint32: return "uint32";
    case DataType::kUint64: return "uint64";
    case DataType::kInt8: return "int8";
    case DataType::kInt16: return "int16";
    case DataType::kInt32: return "int32";
    case DataType::kInt64: return "int64";
    case DataType::kFp16: return "float16";
    case DataType::kFp32: return "float32";
    case DataType::kFp64: return "float64";
    default: return {};
  }
}

// Numbers go as NumPy arrays of the input's type; their shapes are checked here, where -1 means any.
void write_input(base::JsonWriter& json, const serve::TensorInfo& info) {
  json.key(info.name).begin_object().field("title", info.name);
  if (const std::string_view dtype = numpy_name(info.type); !dtype.empty()) {
    json.field("type", "tensor").field("format", "numpy-array").field("dtype", dtype);
    json.field("dim", static_cast<int64_t>(info.shape.size()));
  } else {
    json.field("type", "array");
  }
  json.end_object();
}

// --- services: classes with @bentoml.service, whose APIs have routes of their own
// ---------------------------------------

struct ServiceApi {
  std::string name;
  std::string rows;  // of a batchable one: the argument whose elements are rows
};

base::Result<ServiceApi> find_api(std::string_view schema, std::string_view route) {
  TRY_SET(const base::json::value value, base::parse_json(schema));
  TRY_SET(const base::json::object* object, base::as_object(value, "the service's schema"));
  TRY_SET(const base::json::array* routes, base::required_array(*object, "routes"));
  std::string known;
  for (const base::json::value& entry : *routes) {
    const base::json::object* api = entry.if_object();
    if (!api) continue;
    TRY_SET(const std::string path, base::required_string(*api, "route"));
    known += (known.empty() ? "" : ", ") + path;
    if (path != route) continue;
    ServiceApi out;
    TRY_SET(out.name, base::required_string(*api, "name"));
    TRY_SET(const auto batchable, base::optional_bool(*api, "batchable"));
    const base::json::value* input = batchable.value_or(false) ? api->if_contains("input") : nullptr;
    const base::json::value* properties =
        input && input->is_object() ? input->as_object().if_contains("properties") : nullptr;
    if (properties && properties->is_object() && properties->as_object().size() == 1)
      out.rows = properties->as_object().begin()->key();
    return out;
  }
  return base::not_found("the service has no route '" + std::string(route.substr(0, 200)) + "'; it has " + known);
}

// One text an element of a batchable API's argument, else one of the whole body.
base::Result<serve::Tensor> service_rows(ServiceApi& api, std::string_view body) {
  serve::Tensor out{.name = "body", .type = DataType::kBytes, .shape = {}};
  TRY_SET(const base::json::value value, base::parse_json(body.empty() ? "{}" : body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  const base::json::value* rows = api.rows.empty() ? nullptr : object->if_contains(api.rows);
  if (rows && object->size() == 1 && rows->is_array() && !rows->as_array().empty()) {
    for (const base::json::value& row : rows->as_array()) out.strings.push_back(base::to_text(row));
  } else {
    api.rows.clear();
    out.strings.emplace_back(body.empty() ? "{}" : body);
  }
  out.shape = {static_cast<int64_t>(out.strings.size())};
  return out;
}

base::Result<void> call_service(const Door& door, const LiveEndpoint& endpoint, net::Request& request,
                                net::Response& response, std::string_view route, std::string_view body) {
  std::string_view type = request.header("content-type");
  type = type.substr(0, type.find(';'));
  if (!type.empty() && type != "application/json")
    return base::invalid("the content type is '" + std::string(type.substr(0, 80)) +
                         "'; a service's arguments are taken as application/json");
  TRY_SET(ServiceApi api, find_api(endpoint.predictor->model().service_schema(), route));
  auto rows = service_rows(api, body);
  if (!rows) {
    count_failure(endpoint);
    return std::unexpected(std::move(rows).error());
  }
  std::string params;
  base::JsonWriter json(params);
  json.begin_object().field("api", api.name);
  if (!api.rows.empty()) json.field("rows", api.rows);
  json.end_object();
  TRY_SET(const Answer answer, run(door, endpoint, {&*rows, 1}, request, "", response, std::move(params)));
  std::string out;
  if (!api.rows.empty()) out += '[';
  for (const serve::Tensor& tensor : answer.outputs) {
    for (size_t i = 0; i < tensor.strings.size(); ++i) out.append(i ? "," : "").append(tensor.strings[i]);
  }
  if (!api.rows.empty()) out += ']';
  if (out.starts_with('"')) {  // a service's text goes as text
    TRY_SET(const base::json::value text, base::parse_json(out));
    response.send(200, "text/plain; charset=utf-8", std::string(text.as_string()));
    return {};
  }
  response.send_json(std::move(out));
  return {};
}

base::Result<void> schema(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_target(door, request, "", "", Purpose::kDescribe));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  std::string body(endpoint.predictor->model().service_schema());
  if (!body.empty()) {
    response.send_json(std::move(body));
    return {};
  }
  base::JsonWriter json(body);
  json.begin_object().field("name", endpoint.name).field("type", "service").key("routes").begin_array();
  json.begin_object().field("name", "predict").field("route", "/predict").field("batchable", false);
  json.field("doc", "Predictions of the model " + endpoint.revision.model_name + ", version " + endpoint.version);
  json.key("input").begin_object().field("title", "Input").field("type", "object").key("properties").begin_object();
  for (const auto& info : endpoint.predictor->inputs()) write_input(json, info);
  json.end_object().key("required").begin_array();
  for (const auto& info : endpoint.predictor->inputs()) json.value(info.name);
  json.end_array().end_object();
  json.key("output").begin_object().field("title", "Output").field("type", "array").end_object().end_object();
  json.end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<std::vector<serve::Tensor>> parse(const serve::Predictor& predictor, std::string_view body) {
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  for (const auto& info : predictor.inputs()) {
    if (object->contains(info.name)) continue;
    std::string names;
    for (const auto& one : predictor.inputs()) names += (names.empty() ? "" : ", ") + one.name;
    return base::invalid("the argument '" + info.name + "' is missing; the model takes " + names);
  }
  return from_inputs(predictor, value);
}

// POST /predict, or a route that a service names.
base::Result<void> predict(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const Target target, find_target(door, request, "", ""));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  const std::string route = "/" + std::string(request.param("api").empty() ? "predict" : request.param("api"));
  if (!endpoint.predictor->model().service_schema().empty())
    return call_service(door, endpoint, request, response, route, body);
  if (route != "/predict") return base::not_found("there is no route '" + route.substr(0, 200) + "'");
  auto tensors = parse(*endpoint.predictor, body);
  if (!tensors) {
    count_failure(endpoint);
    return std::unexpected(std::move(tensors).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, *tensors, request, "", response));
  std::string out;
  append_predictions(out, answer);
  response.send_json(std::move(out));
  return {};
}

}  // namespace

void add_bento_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kBento;
  routes.add({Method::kGet,
              "/schema.json",
              kProtocol,
              Permission::kInfer,
              {.body_bytes = 0},
              without_body(door, kProtocol, schema)});
  const auto route = [&](std::string pattern) {
    return net::Route{Method::kPost,      std::move(pattern),        kProtocol,
                      Permission::kInfer, {.body_bytes = kRowsBody}, with_body(door, kProtocol, predict)};
  };
  routes.add(route("/predict"));
  routes.add_fallback(route("/{api}"));  // a service names its routes itself
}

}  // namespace api::inference
