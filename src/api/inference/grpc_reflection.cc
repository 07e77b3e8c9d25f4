// Server reflection, v1 and v1alpha: the definitions of our services, for clients that have none. They are published
// ones, and say nothing about this server.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "api/inference/grpc.h"
#include "grpc_service.pb.h"
#include "health.pb.h"
#include "reflection_v1.pb.h"
#include "reflection_v1alpha.pb.h"
#include "tensorflow_serving.pb.h"

namespace api::inference {
namespace {

namespace pb = google::protobuf;

constexpr size_t kReflectionBytes = base::limits::kSmallBody;  // of one stream's questions
constexpr int kNotFound = 5;
constexpr std::string_view kServices[] = {
    "inference.GRPCInferenceService",       "grpc.health.v1.Health",
    "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService",
    "grpc.reflection.v1.ServerReflection",  "grpc.reflection.v1alpha.ServerReflection"};

// Our own files only, with what they import.
const pb::FileDescriptor* own_file(const pb::FileDescriptor* file) {
  static const std::set<const pb::FileDescriptor*> own = {
      ::inference::ModelInferRequest::descriptor()->file(),
      ::inference::ModelConfig::descriptor()->file(),
      ::grpc::health::v1::HealthCheckRequest::descriptor()->file(),
      ::tensorflow::serving::PredictRequest::descriptor()->file(),
      ::tensorflow::TensorProto::descriptor()->file(),
      ::grpc::reflection::v1::ServerReflectionRequest::descriptor()->file(),
      ::grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()};
  return own.contains(file) ? file : nullptr;
}

void add_file(const pb::FileDescriptor* file, std::set<std::string>& told, auto& answer) {
  if (!told.insert(std::string(file->name())).second) return;
  pb::FileDescriptorProto proto;
  file->CopyTo(&proto);
  answer.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) add_file(file->dependency(i), told, answer);
}

template <class Request, class Response>
void answer(const Request& in, Response& out) {
  const pb::DescriptorPool& pool = *pb::DescriptorPool::generated_pool();
  out.set_valid_host(in.host());
  *out.mutable_original_request() = in;
  const pb::FileDescriptor* file = nullptr;
  std::string what;
  switch (in.message_request_case()) {
    case Request::kListServices:
      for (std::string_view service : kServices)
        out.mutable_list_services_response()->add_service()->set_name(std::string(service));
      return;
    case Request::kFileByFilename: file = pool.FindFileByName(what = in.file_by_filename()); break;
    case Request::kFileContainingSymbol:
      file = pool.FindFileContainingSymbol(what = in.file_containing_symbol());
      break;
    default: what = "extension"; break;  // proto3 has none
  }
  file = file == nullptr ? nullptr : own_file(file);
  if (file == nullptr) {
    out.mutable_error_response()->set_error_code(kNotFound);
    out.mutable_error_response()->set_error_message("'" + what.substr(0, 80) + "' is not known here");
    return;
  }
  std::set<std::string> told;
  add_file(file, told, *out.mutable_file_descriptor_response());
}

template <class Request, class Response>
base::Task<base::Result<void>> converse(net::Request& request, net::Response& response, CallHead head) {
  MessageReader reader(request, head.coding);
  std::string message;
  for (;;) {
    CO_TRY_SET(const bool more, co_await reader.next(message));
    if (!more) co_return base::Result<void>{};
    Request in;
    Response out;
    if (!in.ParseFromString(message)) co_return base::invalid("the message is not a " + in.GetTypeName());
    answer(in, out);
    std::string bytes;
    CO_TRY(append_message(bytes, out, head.answer_coding));
    CO_TRY(co_await response.write(bytes));
  }
}

template <class Request, class Response>
void add(net::RouteTable& routes, std::string_view package) {
  routes.add({net::Method::kPost,
              "/" + std::string(package) + ".ServerReflection/ServerReflectionInfo",
              net::Protocol::kGrpc,
              base::Permission::kNone,
              {.body_bytes = kReflectionBytes, .deadline_us = 0},
              [](net::Request& request, net::Response& response) -> base::Task<void> {
                const auto head = read_call_head(request, response);
                if (!head) co_return write_grpc_error(response, head.error());
                base::Result<void> outcome = co_await begin_stream(response, *head);
                if (outcome) outcome = co_await converse<Request, Response>(request, response, *head);
                co_await end_stream(response, outcome);
              }});
}

}  // namespace

void add_grpc_reflection_routes(net::RouteTable& routes, const DoorPtr&) {
  add<::grpc::reflection::v1::ServerReflectionRequest, ::grpc::reflection::v1::ServerReflectionResponse>(
      routes, "grpc.reflection.v1");
  add<::grpc::reflection::v1alpha::ServerReflectionRequest, ::grpc::reflection::v1alpha::ServerReflectionResponse>(
      routes, "grpc.reflection.v1alpha");
}

}  // namespace api::inference
