// SageMaker's runtime API as its clients (boto3 with endpoint_url) call it: InvokeEndpoint and
// InvokeEndpointWithResponseStream. Bodies are JSON, CSV or .npy, both ways; errors are SageMaker's.
//
// Access: clients sign (SigV4). net reads a token of ours out of the access key id; see docs/design/access.md. The
// target variant is a revision of the endpoint, the target model another endpoint of the project.
#include <zlib.h>

#include <algorithm>
#include <charconv>

#include "api/inference/npy.h"
#include "api/inference/rows_body.h"
#include "api/inference/scoring.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::LiveEndpoint;
using serve::Tensor;

constexpr std::string_view kJson = "application/json", kCsv = "text/csv", kNpy = "application/x-npy";
constexpr size_t kCustomAttributes = 1024;  // bytes, as SageMaker allows

struct Reply {
  std::string type, body;
};

// An error in SageMaker's words. What the model, or what reads for it, refuses is the model's error there.
void send_error(net::Response& response, const base::Error& error, bool from_model) {
  const int status = net::http_status(error.code);
  const bool client = status >= 400 && status < 500;
  std::string_view type = client ? "ValidationError" : status == 503 ? "ServiceUnavailable" : "InternalFailure";
  std::string body;
  base::JsonWriter json(body);
  json.begin_object();
  if (from_model && client) {
    type = "ModelError";
    json.field("ErrorCode", "CLIENT_ERROR_FROM_MODEL").field("OriginalStatusCode", status);
    json.field("OriginalMessage", error.message).field("LogStreamArn", "");
    json.field("Message", "Received client error (" + std::to_string(status) + ") from primary with message \"" +
                              error.message + "\"");
  } else {
    json.field("Message", error.message);
  }
  json.end_object();
  response.header("x-amzn-errortype", type);
  response.send_json(std::move(body), type == "ModelError" ? 424 : client ? 400 : status);
}

// Built-in algorithms' instances are {"features": […]}; their CSV has no header. Ours name their columns.
const base::json::value* features_of(const base::json::value& instance) {
  const auto* object = instance.if_object();
  return object && object->size() == 1 ? object->if_contains("features") : nullptr;
}

base::Result<std::vector<Tensor>> from_json(const serve::Predictor& predictor, std::string_view body) {
  TRY_SET(const base::json::value value, base::parse_json(body));
  if (value.is_array()) return from_inputs(predictor, value);
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  const auto* instances = object->if_contains("instances");
  const auto* list = instances ? instances->if_array() : nullptr;
  if (!list || object->size() != 1 || !std::ranges::all_of(*list, [](const auto& one) { return features_of(one); }))
    return from_scoring(predictor, *object);
  base::json::array rows;
  for (const auto& one : *list) rows.push_back(*features_of(one));
  return from_instances(predictor, rows);
}

// A first line of numbers is a row, unless it is 0,1,2…: the names that pandas gives to columns without any.
bool has_header(const MediaType& media, std::string_view text) {
  if (!media.header.empty()) return media.header == "present";
  stats::CsvReader reader(text);
  std::vector<std::string_view> fields;
  if (auto read = reader.next(fields); !read || !*read) return true;
  bool numbered = true;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!fields[i].empty() && !stats::parse_number(fields[i])) return true;
    numbered &= fields[i] == std::to_string(i);
  }
  return numbered;
}

base::Result<std::vector<Tensor>> parse(const serve::Predictor& predictor, const MediaType& media,
                                        std::string_view body) {
  if (media.type == kCsv) return from_csv(predictor, body, has_header(media, body));
  if (media.type == kJson || media.type.empty()) return from_json(predictor, body);
  if (media.type != kNpy)
    return base::invalid("ContentType is '" + media.type.substr(0, 80) +
                         "'; allowed are application/json, text/csv and application/x-npy");
  if (predictor.inputs().size() != 1)
    return base::invalid("the model has " + std::to_string(predictor.inputs().size()) +
                         " inputs; .npy carries one: send JSON");
  TRY_SET(Tensor tensor, parse_npy(body, predictor.inputs()[0]));
  std::vector<Tensor> out;
  out.push_back(std::move(tensor));
  return out;
}

// The first type of Accept that is offered here; "": none.
std::string_view choose_type(std::string_view accept) {
  if (accept.empty()) return kJson;
  while (!accept.empty()) {
    const size_t end = std::min(accept.find(','), accept.size());
    const std::string type = read_media_type(accept.substr(0, end)).type;
    accept.remove_prefix(std::min(end + 1, accept.size()));
    if (type == "*/*" || type == "application/*" || type == kJson) return kJson;
    if (type == kCsv || type == "text/*") return kCsv;
    if (type == kNpy) return kNpy;
  }
  return {};
}

// Labels that are numbers, as whole ones if all are.
base::Result<Tensor> numbers_of(const serve::Prediction& prediction) {
  if (prediction.text)
    return base::invalid("the model answers with text, which .npy cannot carry here; accept application/json");
  Tensor real{
      .name = "predictions", .type = DataType::kFp64, .shape = {static_cast<int64_t>(prediction.labels.size())}};
  Tensor whole{.name = "predictions", .type = DataType::kInt64, .shape = real.shape};
  bool all_whole = true;
  for (const std::string& label : prediction.labels) {
    const double number = stats::parse_number(label).value_or(std::numeric_limits<double>::quiet_NaN());
    serve::append_number(real, number);
    all_whole = all_whole && serve::append_number(whole, number);
  }
  return all_whole ? whole : real;
}

base::Result<std::string> render_npy(const Answer& answer) {
  std::string out;
  if (answer.prediction.labels.empty()) {
    if (answer.outputs.size() != 1)
      return base::invalid("the model has " + std::to_string(answer.outputs.size()) +
                           " outputs; .npy carries one: accept application/json");
    TRY(append_npy(out, answer.outputs[0]));
  } else {
    TRY_SET(const Tensor tensor, numbers_of(answer.prediction));
    TRY(append_npy(out, tensor));
  }
  return out;
}

void append_csv_field(std::string& out, const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return void(out += text);
  out += '"';
  for (char c : text) out.append(c == '"' ? 2 : 1, c);
  out += '"';
}

// A line per row: its label, or the elements of the only output.
base::Result<std::string> render_csv(const Answer& answer) {
  std::string out;
  if (!answer.prediction.labels.empty()) {
    for (const std::string& label : answer.prediction.labels) {
      append_csv_field(out, label);
      out += '\n';
    }
    return out;
  }
  if (answer.outputs.size() != 1 || answer.outputs[0].shape.empty())
    return base::invalid("the model's answer is not one table; accept application/json");
  const Tensor& tensor = answer.outputs[0];
  TRY_SET(const size_t count, serve::element_count(tensor.name, tensor.shape));
  const auto rows = static_cast<size_t>(tensor.shape[0]);
  const size_t width = rows ? count / rows : 0;
  for (size_t i = 0; i < count; ++i) {
    append_csv_field(out, serve::text_at(tensor, i));
    out += (i + 1) % width == 0 ? '\n' : ',';
  }
  return out;
}

base::Result<std::string> render(const Answer& answer, std::string_view type) {
  if (type == kCsv) return render_csv(answer);
  if (type == kNpy) return render_npy(answer);
  std::string out = "{\"predictions\": ";
  append_predictions(out, answer);
  return out += '}';
}

// "/churn.tar.gz" → "churn": a model of a multi-model endpoint is named by its archive.
std::string_view model_name(std::string_view target) {
  while (target.starts_with('/')) target.remove_prefix(1);
  if (target.ends_with(".tar.gz")) target.remove_suffix(7);
  return target;
}

// Who is asked. Its errors are the route's own.
base::Result<Target> locate(const Door& door, const net::Request& request) {
  std::string_view name = request.param("name");
  if (const std::string_view wanted = request.header("x-amzn-sagemaker-target-model"); !wanted.empty()) {
    TRY(find_target(door, request, name, "", Purpose::kLook));  // the endpoint itself must be there, too
    name = model_name(wanted);
    if (name.empty()) return base::invalid("TargetModel names no model");
  }
  return find_target(door, request, name, "");
}

// What was refused before the model was asked is the request's own fault (ValidationError).
base::Result<Reply> invoke(const Door& door, const LiveEndpoint& endpoint, net::Request& request,
                           net::Response& response, std::string_view body, std::string_view accept, bool& from_model) {
  for (std::string_view refused : {"target-container-hostname", "inference-component", "session-id"}) {
    if (request.has_header("x-amzn-sagemaker-" + std::string(refused)))
      return base::invalid("'" + std::string(refused) + "' is not offered here");
  }
  const std::string_view type = choose_type(accept);
  if (type.empty())
    return base::invalid("Accept is '" + std::string(accept.substr(0, 80)) +
                         "'; offered are application/json, text/csv and application/x-npy");
  if (!endpoint.predictor) return base::fail(base::Code::kUnavailable, endpoint.problem.message);
  from_model = true;
  auto tensors = parse(*endpoint.predictor, read_media_type(request.header("content-type")), body);
  if (!tensors) {
    count_failure(endpoint);
    return std::unexpected(std::move(tensors).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, *tensors, request, "", response));
  TRY_SET(std::string text, render(answer, type));
  return Reply{std::string(type), std::move(text)};
}

// The custom attributes come back, as from a container that passes them through.
void add_headers(const net::Request& request, net::Response& response, const LiveEndpoint& endpoint) {
  if (endpoint.told_revision.empty())  // else run() has told it
    response.header("X-Amzn-Invoked-Production-Variant", std::to_string(endpoint.revision.number));
  const std::string_view custom = request.header("x-amzn-sagemaker-custom-attributes");
  const bool plain = std::ranges::all_of(custom, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!custom.empty() && custom.size() <= kCustomAttributes && plain)
    response.header("X-Amzn-SageMaker-Custom-Attributes", custom);
}

// --- application/vnd.amazon.eventstream ------------------------------------------------------------------------------

void append_be(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
}

void append_event_header(std::string& out, std::string_view name, std::string_view value) {
  constexpr char kText = 7;
  append_be(out, name.size(), 1);
  out.append(name).push_back(kText);
  append_be(out, value.size(), 2);
  out += value;
}

uint32_t crc_of(std::string_view bytes) {
  return static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

// One message: lengths, their checksum, headers, payload, and a checksum of all before it.
std::string event(std::string_view type, std::string_view payload) {
  std::string headers;
  append_event_header(headers, ":event-type", type);
  append_event_header(headers, ":content-type", "application/octet-stream");
  append_event_header(headers, ":message-type", "event");
  std::string out;
  append_be(out, 16 + headers.size() + payload.size(), 4);
  append_be(out, headers.size(), 4);
  append_be(out, crc_of(out), 4);
  out.append(headers).append(payload);
  append_be(out, crc_of(out), 4);
  return out;
}

base::Result<void> invoke_streamed(const Door& door, net::Request& request, net::Response& response,
                                   std::string_view body) {
  constexpr size_t kPart = size_t{1} << 20;
  TRY_SET(const Target target, locate(door, request));
  bool from_model = false;
  auto reply =
      invoke(door, *target.endpoint, request, response, body, request.header("x-amzn-sagemaker-accept"), from_model);
  if (!reply) {
    send_error(response, reply.error(), from_model);
    return {};
  }
  add_headers(request, response, *target.endpoint);
  response.header("X-Amzn-SageMaker-Content-Type", reply->type);
  std::string out;
  for (std::string_view rest = reply->body; !rest.empty(); rest.remove_prefix(std::min(kPart, rest.size())))
    out += event("PayloadPart", rest.substr(0, kPart));
  response.send(200, "application/vnd.amazon.eventstream", std::move(out));
  return {};
}

}  // namespace

bool is_sagemaker(const net::Request& request) {
  return request.header("authorization").starts_with("AWS4-HMAC-SHA256 ") ||
         request.has_header("amz-sdk-invocation-id");
}

base::Result<void> answer_sagemaker(const Door& door, net::Request& request, net::Response& response,
                                    std::string_view body) {
  TRY_SET(const Target target, locate(door, request));
  bool from_model = false;
  auto reply = invoke(door, *target.endpoint, request, response, body, request.header("accept"), from_model);
  if (!reply) {
    send_error(response, reply.error(), from_model);
    return {};
  }
  add_headers(request, response, *target.endpoint);
  response.send(200, reply->type, std::move(reply->body));
  return {};
}

void add_sagemaker_routes(net::RouteTable& routes, const DoorPtr& door) {
  constexpr auto kProtocol = net::Protocol::kMlflowScoring;
  routes.add({net::Method::kPost,
              "/endpoints/{name}/invocations-response-stream",
              kProtocol,
              base::Permission::kInfer,
              {.body_bytes = kRowsBody},
              with_body(door, kProtocol, invoke_streamed)});
}

}  // namespace api::inference
