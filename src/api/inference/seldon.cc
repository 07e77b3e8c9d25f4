// Seldon Core v1: /api/v1.0/predictions (and v0.1's), at the root for the default endpoint and below
// /seldon/PROJECT/ENDPOINT for each. An answer has the shape of its request: ndarray, or tensor. Feedback about it is
// monitoring's: api/lathe/watch_seldon.cc.
#include "api/inference/seldon.h"

#include <algorithm>
#include <set>

#include "api/inference/core.h"
#include "api/inference/rows_body.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "net/access.h"
#include "serve/json_rows.h"

namespace api::inference {
namespace {

namespace json = base::json;
using serve::DataType;
using serve::LiveEndpoint;
using serve::Tensor;

constexpr size_t kPuidBytes = 256;

base::Result<const serve::TensorInfo*> only_input(const serve::Predictor& predictor, std::string_view what) {
  if (predictor.inputs().size() == 1) return &predictor.inputs()[0];
  return base::invalid("the model has " + std::to_string(predictor.inputs().size()) + " inputs; " + std::string(what) +
                       " carries one: send an ndarray with names, or ask it by the Open Inference Protocol");
}

// {"shape": […], "values": […]}
base::Result<std::vector<Tensor>> from_tensor(const serve::Predictor& predictor, const json::value& value) {
  TRY_SET(const serve::TensorInfo* info, only_input(predictor, "a tensor"));
  TRY_SET(const json::object* object, base::as_object(value, "'tensor'"));
  TRY_SET(const json::array* shape, base::required_array(*object, "shape"));
  TRY_SET(const json::array* values, base::required_array(*object, "values"));
  TRY_SET(Tensor tensor, serve::tensor_from_json(*values, *info));
  const size_t found = tensor.shape.size() == 1 ? values->size() : 0;
  tensor.shape.clear();
  for (const json::value& dim : *shape) {
    if (!dim.is_int64() || dim.get_int64() < 0)
      return base::invalid("'shape' of 'tensor' must be a list of whole numbers");
    tensor.shape.push_back(dim.get_int64());
  }
  TRY_SET(const size_t wanted, serve::element_count(info->name, tensor.shape));
  if (found != wanted)
    return base::invalid("a tensor of shape " + serve::shape_text(tensor.shape) + " needs a flat list of " +
                         std::to_string(wanted) + " values, found " + std::to_string(values->size()));
  std::vector<Tensor> out;
  out.push_back(std::move(tensor));
  return out;
}

// By name where the request names every column that the model knows by name; else in their order.
base::Result<std::vector<Tensor>> from_ndarray(const serve::Predictor& predictor, const json::object& data,
                                               const json::value& rows) {
  const auto* names = data.if_contains("names");
  const auto* list = names ? names->if_array() : nullptr;
  if (names && !list)
    return base::invalid("'names' must be a list, found " + std::string(base::kind_name(names->kind())));
  std::set<std::string_view> told;
  if (list && predictor.features_named()) {
    for (const json::value& name : *list) {
      if (name.is_string()) told.insert(name.get_string());
    }
  }
  const auto is_told = [&](const serve::Feature& feature) { return told.contains(feature.name); };
  if (!told.empty() && !predictor.features().empty() && std::ranges::all_of(predictor.features(), is_told)) {
    TRY_SET(const stats::Table table, serve::table_from_split(json::object{{"columns", *list}, {"data", rows}}));
    if (table.rows() == 0) return base::invalid("'ndarray' holds no rows");
    return predictor.tensors_of(table);
  }
  if (const auto* all = rows.if_array(); !all || all->empty())
    return base::invalid("'ndarray' must be a list of rows, and not empty");
  return from_instances(predictor, rows);
}

// strData and binData: one text for a model that takes one.
base::Result<std::vector<Tensor>> from_text(const serve::Predictor& predictor, const json::value& value,
                                            std::string_view what) {
  TRY_SET(const serve::TensorInfo* info, only_input(predictor, what));
  if (info->type != DataType::kBytes)
    return base::invalid("the model takes " + std::string(serve::name(info->type)) + ", not text: send 'data'");
  if (!value.is_string())
    return base::invalid("'" + std::string(what) + "' must be text, found " +
                         std::string(base::kind_name(value.kind())));
  const json::value text = what == "binData" ? json::value(json::object{{"b64", value}}) : value;
  return from_instances(predictor, json::array{json::value(json::array{text})});
}

// Rows of scores as Seldon's own servers answer, else what the model gives.
struct Payload {
  Tensor tensor;
  std::vector<std::string> names;
};

Payload payload_of(const LiveEndpoint& endpoint, const Answer& answer) {
  const serve::Prediction& prediction = answer.prediction;
  const size_t rows = prediction.labels.size();
  Payload out;
  if (rows > 0 && !prediction.scores.empty()) {
    const size_t width = prediction.scores.size() / rows;
    out.tensor = {
        .name = "", .type = DataType::kFp64, .shape = {static_cast<int64_t>(rows), static_cast<int64_t>(width)}};
    out.tensor.bytes.assign(reinterpret_cast<const char*>(prediction.scores.data()),
                            prediction.scores.size() * sizeof(double));
    const auto& classes = endpoint.predictor->model().classes();
    for (size_t i = 0; i < width; ++i)
      out.names.push_back(classes.size() == width ? classes[i] : "t:" + std::to_string(i));
  } else if (answer.outputs.size() == 1) {
    out.tensor = answer.outputs[0];
  } else {
    out.tensor = {.name = "", .type = DataType::kBytes, .shape = {static_cast<int64_t>(rows)}};
    out.tensor.strings = prediction.labels;
  }
  return out;
}

std::string render(const LiveEndpoint& endpoint, const SeldonMessage& message, const Answer& answer) {
  const Payload payload = payload_of(endpoint, answer);
  const std::string id = serve::prediction_id(answer.id);
  std::string out, part;
  base::JsonWriter json(out);
  json.begin_object().key("meta").begin_object().field("puid", message.puid.empty() ? id : message.puid);
  json.key("tags").begin_object().field("prediction_id", id);
  if (!answer.prediction.labels.empty()) {
    append_predictions(part, answer);
    json.key("labels").raw(part);
  }
  json.end_object().key("routing").begin_object().end_object().key("requestPath").begin_object();
  json.field(endpoint.name, endpoint.version).end_object().end_object();
  json.key("data").begin_object().key("names").begin_array();
  for (const std::string& name : payload.names) json.value(name);
  json.end_array();
  part.clear();
  if (message.as_tensor && payload.tensor.type != DataType::kBytes) {  // a tensor holds numbers
    json.key("tensor").begin_object().key("shape").begin_array();
    for (const int64_t dim : payload.tensor.shape) json.value(dim);
    append_flat(part, payload.tensor);
    json.end_array().key("values").raw(part).end_object();
  } else {
    append_nested(part, payload.tensor);
    json.key("ndarray").raw(part);
  }
  json.end_object().end_object();
  return out;
}

base::Result<void> predict(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  const std::string_view space = request.param("namespace");
  if (!space.empty() && (!request.grant || space != request.grant->project_name))
    return base::not_found("'" + std::string(space.substr(0, 80)) +
                           "' is not the project of this request; X-Lathe-Project names it");
  TRY_SET(const Target target, find_target(door, request, request.param("name"), ""));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  auto message = parse_seldon(*endpoint.predictor, body);
  if (!message) {
    count_failure(endpoint);
    return std::unexpected(std::move(message).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, message->tensors, request, message->puid, response));
  response.send_json(render(endpoint, *message, answer));
  return {};
}

}  // namespace

base::Result<SeldonMessage> parse_seldon(const serve::Predictor& predictor, std::string_view body) {
  TRY_SET(const json::value value, base::parse_json(body));
  TRY_SET(const json::object* object, base::as_object(value, "the body"));
  constexpr std::string_view kForms[] = {"data", "jsonData", "strData", "binData"};
  std::string_view form;
  for (const std::string_view one : kForms) {
    if (!object->contains(one)) continue;
    if (!form.empty())
      return base::invalid("the body has both '" + std::string(form) + "' and '" + std::string(one) + "'");
    form = one;
  }
  if (form.empty()) return base::invalid("the body must hold one of data, jsonData, strData and binData");
  SeldonMessage out;
  if (const auto* meta = object->if_contains("meta")) {
    TRY_SET(const json::object* fields, base::as_object(*meta, "'meta'"));
    TRY_SET(const auto puid, base::optional_string(*fields, "puid"));
    out.puid = puid.value_or("");
    if (out.puid.size() > kPuidBytes)
      return base::invalid("'puid' has " + std::to_string(out.puid.size()) + " bytes; allowed are " +
                           std::to_string(kPuidBytes));
  }
  const json::value& payload = object->at(form);
  if (form == "jsonData") {
    const auto* fields = payload.if_object();
    if (fields && !fields->empty()) {
      const bool scoring = std::ranges::any_of(*fields, [](const auto& field) {
        return field.key() == "instances" || field.key() == "inputs" || field.key().starts_with("dataframe_");
      });
      if (scoring) {
        TRY_SET(out.tensors, from_scoring(predictor, *fields));
        return out;
      }
    }
    TRY_SET(out.tensors, from_inputs(predictor, payload));
    return out;
  }
  if (form != "data") {
    TRY_SET(out.tensors, from_text(predictor, payload, form));
    return out;
  }
  TRY_SET(const json::object* data, base::as_object(payload, "'data'"));
  if (data->contains("tftensor"))
    return base::invalid("'tftensor' is not read here; send 'tensor' or 'ndarray', or use TensorFlow Serving's gRPC");
  const auto *tensor = data->if_contains("tensor"), *rows = data->if_contains("ndarray");
  if ((tensor != nullptr) == (rows != nullptr))
    return base::invalid("'data' must hold exactly one of 'tensor' and 'ndarray'");
  out.as_tensor = tensor != nullptr;
  if (tensor) {
    TRY_SET(out.tensors, from_tensor(predictor, *tensor));
  } else {
    TRY_SET(out.tensors, from_ndarray(predictor, *data, *rows));
  }
  return out;
}

void add_seldon_routes(net::RouteTable& routes, const DoorPtr& door) {
  constexpr auto kProtocol = net::Protocol::kSeldon;
  for (const std::string place : {"", "/seldon/{namespace}/{name}"}) {
    for (const std::string version : {"/api/v1.0", "/api/v0.1"}) {
      routes.add({net::Method::kPost,
                  place + version + "/predictions",
                  kProtocol,
                  base::Permission::kInfer,
                  {.body_bytes = kRowsBody},
                  with_body(door, kProtocol, predict)});
    }
  }
}

}  // namespace api::inference
