// tensorflow.serving over gRPC: PredictionService.Predict and GetModelMetadata, ModelService.GetModelStatus. Its REST
// sisters are in v1.cc and tfserving.cc.
#include <algorithm>

#include "api/inference/grpc.h"
#include "api/inference/tensor_proto.h"
#include "api/inference/tfserving.h"
#include "tensorflow_serving.pb.h"

namespace api::inference {
namespace {

using namespace tensorflow::serving;
using serve::LiveEndpoint;
using serve::Tensor;

constexpr int kMaxTensors = 1024;  // inputs, or outputs asked for

base::Result<Target> find_spec(const Door& door, const net::Request& request, const ModelSpec& spec, Purpose purpose) {
  if (spec.name().empty()) return base::invalid("model_spec.name is missing");
  const std::string version = spec.has_version() ? std::to_string(spec.version().value()) : "";
  TRY_SET(Target target, find_target(door, request, spec.name(), version, purpose));
  TRY(check_label(*target.endpoint, spec.version_label()));
  return target;
}

int64_t version_of(const LiveEndpoint& endpoint) { return endpoint.revision.model_version; }

void write_spec(const LiveEndpoint& endpoint, std::string_view signature, ModelSpec& out) {
  out.set_name(endpoint.name);
  out.mutable_version()->set_value(version_of(endpoint));
  out.set_signature_name(std::string(signature));
}

base::Result<void> check_filter(const LiveEndpoint& endpoint, const PredictRequest& in) {
  if (in.output_filter_size() > kMaxTensors)
    return base::invalid("output_filter names more than " + std::to_string(kMaxTensors) + " outputs");
  const auto& known = endpoint.predictor->outputs();
  for (const std::string& name : in.output_filter()) {
    if (std::ranges::find(known, name, &serve::TensorInfo::name) == known.end())
      return base::invalid("output '" + name.substr(0, 80) + "' in output_filter does not exist");
  }
  return {};
}

base::Result<std::vector<Tensor>> read_inputs(const LiveEndpoint& endpoint, PredictRequest& in) {
  TRY(check_signature(in.model_spec().signature_name()));
  TRY(check_filter(endpoint, in));
  if (in.inputs_size() > kMaxTensors)
    return base::invalid("inputs: " + std::to_string(in.inputs_size()) + "; allowed are " +
                         std::to_string(kMaxTensors));
  std::vector<Tensor> out;
  size_t bytes = 0;
  out.reserve(static_cast<size_t>(in.inputs_size()));
  for (auto& [name, message] : *in.mutable_inputs()) {
    TRY_SET(Tensor tensor, read_tensor_proto(name, message));
    bytes += tensor.bytes.size();  // a value that stands for many takes more than it took in the message
    if (bytes > base::limits::kInferBody)
      return base::fail(base::Code::kTooLarge,
                        "the inputs have more than " + std::to_string(base::limits::kInferBody) + " bytes in all");
    out.push_back(std::move(tensor));
  }
  return out;
}

base::Result<void> predict(const Door& door, net::Request& request, net::Response& response, PredictRequest& in,
                           PredictResponse& out) {
  TRY_SET(const Target target, find_spec(door, request, in.model_spec(), Purpose::kRun));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  auto inputs = read_inputs(endpoint, in);
  if (!inputs) {
    count_failure(endpoint);
    return std::unexpected(std::move(inputs).error());
  }
  TRY_SET(Answer answer, run(door, endpoint, *inputs, request, "", response));
  write_spec(endpoint, kSignature, *out.mutable_model_spec());
  for (Tensor& tensor : answer.outputs) {
    if (!in.output_filter().empty() && std::ranges::find(in.output_filter(), tensor.name) == in.output_filter().end())
      continue;
    auto& told = (*out.mutable_outputs())[tensor.name];
    write_tensor_proto(std::move(tensor), told);
  }
  return {};
}

base::Result<void> metadata(const Door& door, net::Request& request, net::Response&, GetModelMetadataRequest& in,
                            GetModelMetadataResponse& out) {
  constexpr std::string_view kField = "signature_def";
  TRY_SET(const Target target, find_spec(door, request, in.model_spec(), Purpose::kDescribe));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  if (in.metadata_field().empty()) return base::invalid("metadata_field is empty; allowed: signature_def");
  for (const std::string& field : in.metadata_field()) {
    if (field != kField)
      return base::invalid("metadata field '" + field.substr(0, 80) + "' is unknown; allowed: signature_def");
  }
  SignatureDefMap signatures;
  auto& signature = (*signatures.mutable_signature_def())[std::string(kSignature)];
  signature.set_method_name(std::string(kPredictMethod));
  for (const auto& info : endpoint.predictor->inputs())
    write_tensor_info(info, (*signature.mutable_inputs())[info.name]);
  for (const auto& info : endpoint.predictor->outputs())
    write_tensor_info(info, (*signature.mutable_outputs())[info.name]);
  write_spec(endpoint, "", *out.mutable_model_spec());
  (*out.mutable_metadata())[std::string(kField)].PackFrom(signatures);
  return {};
}

base::Result<void> status(const Door& door, net::Request& request, net::Response&, GetModelStatusRequest& in,
                          GetModelStatusResponse& out) {
  TRY_SET(const Target target, find_spec(door, request, in.model_spec(), Purpose::kLook));
  const LiveEndpoint& endpoint = *target.endpoint;
  const bool ready = endpoint.ready();
  auto& told = *out.add_model_version_status();
  told.set_version(version_of(endpoint));
  told.set_state(ready ? ModelVersionStatus::AVAILABLE : ModelVersionStatus::END);
  auto& inner = *told.mutable_status();
  if (!ready) {
    inner.set_error_code(grpc_status(base::Code::kUnavailable));
    inner.set_error_message(endpoint.problem.message);
  }
  return {};
}

}  // namespace

void add_grpc_tfserving_routes(net::RouteTable& routes, const DoorPtr& door) {
  constexpr std::string_view kPrediction = "tensorflow.serving.PredictionService",
                             kModel = "tensorflow.serving.ModelService";
  const auto call = [&]<class In, class Out>(std::string_view service, std::string_view method, UnaryCall<In, Out> act,
                                             size_t bytes) {
    routes.add({net::Method::kPost,
                "/" + std::string(service) + "/" + std::string(method),
                net::Protocol::kGrpc,
                base::Permission::kInfer,
                {.body_bytes = bytes},
                unary<In, Out>(door, std::move(act))});
  };
  call(kPrediction, "Predict", UnaryCall<PredictRequest, PredictResponse>(predict), kMessageBytes);
  call(kPrediction, "GetModelMetadata", UnaryCall<GetModelMetadataRequest, GetModelMetadataResponse>(metadata),
       base::limits::kSmallBody);
  call(kModel, "GetModelStatus", UnaryCall<GetModelStatusRequest, GetModelStatusResponse>(status),
       base::limits::kSmallBody);
  add_unknown_call(routes, kPrediction, door);
  add_unknown_call(routes, kModel, door);
}

}  // namespace api::inference
