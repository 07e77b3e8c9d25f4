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

base::Result<void> schema(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_target(door, request, "", "", Purpose::kDescribe));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  std::string body;
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

base::Result<void> predict(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const Target target, find_target(door, request, "", ""));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
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
  routes.add({Method::kPost,
              "/predict",
              kProtocol,
              Permission::kInfer,
              {.body_bytes = kRowsBody},
              with_body(door, kProtocol, predict)});
}

}  // namespace api::inference
