// What only TensorFlow Serving's REST API has: metadata, :classify and :regress.
#include "api/inference/tfserving.h"

#include <array>

#include "api/inference/rows_body.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "serve/json_rows.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::LiveEndpoint;
using serve::Tensor;

constexpr size_t kContextBytes = 4 * base::limits::kMiB;  // of a context, times the rows that it stands for

struct TypeWord {
  DataType type;
  int number;
  std::string_view name;
};
constexpr std::array<TypeWord, 14> kTypes = {{{DataType::kBool, 10, "DT_BOOL"},
                                              {DataType::kUint8, 4, "DT_UINT8"},
                                              {DataType::kUint16, 17, "DT_UINT16"},
                                              {DataType::kUint32, 22, "DT_UINT32"},
                                              {DataType::kUint64, 23, "DT_UINT64"},
                                              {DataType::kInt8, 6, "DT_INT8"},
                                              {DataType::kInt16, 5, "DT_INT16"},
                                              {DataType::kInt32, 3, "DT_INT32"},
                                              {DataType::kInt64, 9, "DT_INT64"},
                                              {DataType::kFp16, 19, "DT_HALF"},
                                              {DataType::kBf16, 14, "DT_BFLOAT16"},
                                              {DataType::kFp32, 1, "DT_FLOAT"},
                                              {DataType::kFp64, 2, "DT_DOUBLE"},
                                              {DataType::kBytes, 7, "DT_STRING"}}};

const TypeWord& word_of(DataType type) {
  for (const TypeWord& word : kTypes) {
    if (word.type == type) return word;
  }
  return kTypes.back();
}

void write_signature(base::JsonWriter& json, std::string_view key, const std::vector<serve::TensorInfo>& infos) {
  json.key(key).begin_object();
  for (const serve::TensorInfo& info : infos) {
    json.key(info.name).begin_object().field("dtype", tensorflow_type_name(info.type)).key("tensor_shape");
    json.begin_object().key("dim").begin_array();
    for (const int64_t dim : info.shape)
      json.begin_object().field("size", std::to_string(dim)).field("name", "").end_object();
    json.end_array().field("unknown_rank", false).end_object().field("name", info.name).end_object();
  }
  json.end_object();
}

base::Result<void> metadata(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_labelled(door, request, Purpose::kDescribe));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("model_spec").begin_object().field("name", endpoint.name).field("signature_name", "");
  json.field("version", endpoint.version).end_object().key("metadata").begin_object().key("signature_def");
  json.begin_object().key("signature_def").begin_object().key(kSignature).begin_object();
  write_signature(json, "inputs", endpoint.predictor->inputs());
  write_signature(json, "outputs", endpoint.predictor->outputs());
  json.field("method_name", kPredictMethod).end_object().end_object().end_object().end_object().end_object();
  response.send_json(std::move(body));
  return {};
}

// {"examples": [{feature: value}], "context": {feature: value of all}}: rows by column name. A feature may stand in a
// list of one.
base::Result<std::vector<Tensor>> from_examples(const serve::Predictor& predictor, std::string_view body) {
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  TRY_SET(const auto signature, base::optional_string(*object, "signature_name"));
  TRY(check_signature(signature.value_or("")));
  TRY_SET(const base::json::array* examples, base::required_array(*object, "examples"));
  if (examples->empty()) return base::invalid("'examples' is empty");
  base::json::object common;
  if (const auto* context = object->if_contains("context")) {
    TRY_SET(const base::json::object* fields, base::as_object(*context, "'context'"));
    common = *fields;
  }
  // Each row gets the context: small bodies must not become large tables.
  if (const size_t bytes = base::to_text(common).size(); bytes > kContextBytes / examples->size())
    return base::fail(base::Code::kTooLarge, "a context of " + std::to_string(bytes) + " bytes for each of " +
                                                 std::to_string(examples->size()) + " examples is more than " +
                                                 std::to_string(kContextBytes) + " bytes");
  base::json::array rows;
  for (const auto& example : *examples) {
    TRY_SET(const base::json::object* fields, base::as_object(example, "an example"));
    base::json::object row = common;
    for (const auto& [name, given] : *fields) row[name] = given;
    for (auto& field : row) {
      if (const auto* list = field.value().if_array(); list && list->size() == 1) {
        base::json::value only = list->front();
        field.value() = std::move(only);
      }
    }
    rows.push_back(std::move(row));
  }
  TRY_SET(const stats::Table table, serve::table_from_records(rows));
  return predictor.tensors_of(table);
}

// One number per row: the prediction of a regression.
base::Result<std::string> regressions(const LiveEndpoint&, const Answer& answer) {
  if (answer.prediction.labels.empty() || answer.prediction.text || !answer.prediction.scores.empty())
    return base::invalid("the model gives no number per row: it is no regression; ask it with :predict");
  std::string out;
  append_predictions(out, answer);
  return out;
}

// Of each row, every class with its score.
base::Result<std::string> classes(const LiveEndpoint& endpoint, const Answer& answer) {
  const serve::Prediction& prediction = answer.prediction;
  const size_t rows = prediction.labels.size();
  if (rows == 0 || prediction.scores.empty())
    return base::invalid("the model gives no scores: it cannot :classify; ask it with :predict");
  const size_t width = prediction.scores.size() / rows;
  const auto& names = endpoint.predictor->model().classes();
  std::string out;
  base::JsonWriter json(out);
  json.begin_array();
  for (size_t row = 0; row < rows; ++row) {
    json.begin_array();
    for (size_t i = 0; i < width; ++i) {
      json.begin_array().value(names.size() == width ? names[i] : std::to_string(i));
      json.value(prediction.scores[row * width + i]).end_array();
    }
    json.end_array();
  }
  json.end_array();
  return out;
}

using Results = base::Result<std::string> (*)(const LiveEndpoint&, const Answer&);
BodyHandler examples_handler(Results results) {
  return [results](const Door& door, net::Request& request, net::Response& response,
                   std::string_view body) -> base::Result<void> {
    TRY_SET(const Target target, find_labelled(door, request));
    const LiveEndpoint& endpoint = *target.endpoint;
    if (!endpoint.predictor) return std::unexpected(endpoint.problem);
    auto tensors = from_examples(*endpoint.predictor, body);
    if (!tensors) {
      count_failure(endpoint);
      return std::unexpected(std::move(tensors).error());
    }
    TRY_SET(const Answer answer, run(door, endpoint, *tensors, request, "", response));
    TRY_SET(const std::string list, results(endpoint, answer));
    response.send_json("{\"results\":" + list + "}");
    return {};
  };
}

}  // namespace

base::Result<void> check_signature(std::string_view name) {
  if (name.empty() || name == kSignature) return {};
  return base::invalid("the model has no signature '" + std::string(name.substr(0, 80)) + "'; it has " +
                       std::string(kSignature));
}

base::Result<void> check_label(const LiveEndpoint& endpoint, std::string_view label) {
  if (label.empty() || label == endpoint.environment || label == "live") return {};
  return base::not_found("endpoint '" + endpoint.name + "' has no label '" + std::string(label.substr(0, 80)) +
                         "'; it has live and " + endpoint.environment);
}

base::Result<Target> find_labelled(const Door& door, const net::Request& request, Purpose purpose) {
  TRY_SET(Target target, find_target(door, request, request.param("model"), request.param("version"), purpose));
  TRY(check_label(*target.endpoint, request.param("label")));
  return target;
}

int tensorflow_type(DataType type) { return word_of(type).number; }
std::string_view tensorflow_type_name(DataType type) { return word_of(type).name; }

base::Result<void> append_rows(std::string& out, const std::vector<Tensor>& outputs) {
  if (outputs.empty()) return base::internal("the model has no outputs");
  for (const Tensor& tensor : outputs) {
    if (tensor.shape.empty() || tensor.shape[0] != outputs[0].shape[0])
      return base::invalid("the outputs have no rows in common; send 'inputs' for the column format");
  }
  // A row of a tensor is a tensor: its elements lie together.
  const auto row_of = [](const Tensor& tensor, size_t row, size_t rows) {
    Tensor out{.name = tensor.name, .type = tensor.type, .shape = {tensor.shape.begin() + 1, tensor.shape.end()}};
    const size_t bytes = tensor.bytes.size() / rows, strings = tensor.strings.size() / rows;
    out.bytes = tensor.bytes.substr(row * bytes, bytes);
    const auto begin = tensor.strings.begin() + static_cast<std::ptrdiff_t>(row * strings);
    out.strings.assign(begin, begin + static_cast<std::ptrdiff_t>(strings));
    return out;
  };
  const auto rows = static_cast<size_t>(outputs[0].shape[0]);
  out += '[';
  for (size_t row = 0; row < rows; ++row) {
    if (row) out += ',';
    if (outputs.size() == 1) {
      append_nested(out, row_of(outputs[0], row, rows));
      continue;
    }
    out += '{';
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (i) out += ',';
      base::append_json_string(out, outputs[i].name);
      out += ':';
      append_nested(out, row_of(outputs[i], row, rows));
    }
    out += '}';
  }
  out += ']';
  return {};
}

void add_tfserving_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kKserveV1;
  for (const std::string model :
       {"/v1/models/{model}", "/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}"}) {
    routes.add({Method::kGet,
                model + "/metadata",
                kProtocol,
                Permission::kInfer,
                {.body_bytes = 0},
                without_body(door, kProtocol, metadata)});
    for (const auto& [verb, results] :
         {std::pair<const char*, Results>{":classify", classes}, {":regress", regressions}})
      routes.add({Method::kPost,
                  model + verb,
                  kProtocol,
                  Permission::kInfer,
                  {.body_bytes = kRowsBody},
                  with_body(door, kProtocol, examples_handler(results))});
  }
}

}  // namespace api::inference
