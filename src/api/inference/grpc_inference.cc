// inference.GRPCInferenceService: the calls of the Open Inference Protocol and of Triton over gRPC. Each does what its
// REST sister in oip.cc does.
#include <algorithm>
#include <limits>

#include "api/inference/grpc.h"
#include "api/inference/grpc_tensors.h"
#include "api/inference/shared_memory.h"
#include "api/inference/triton_settings.h"
#include "base/clock.h"
#include "repository/config.h"

namespace api::inference {
namespace {

using namespace ::inference;  // the messages
using serve::LiveEndpoint;

constexpr std::string_view kService = "inference.GRPCInferenceService";

base::Result<OipRequest> read_request(const Door& door, const LiveEndpoint& endpoint, const net::Request& request,
                                      ModelInferRequest& in) {
  TRY_SET(OipRequest wanted, read_infer_request(in));
  TRY(check_outputs(endpoint, wanted));
  TRY(fill_shared(door, request, wanted));
  TRY(check_timeout(request, wanted.wish.timeout_us));
  return wanted;
}

// Parses, runs and renders one ModelInferRequest.
base::Result<void> infer(const Door& door, net::Request& request, net::Response& response, ModelInferRequest& in,
                         ModelInferResponse& out) {
  const auto target = find_target(door, request, in.model_name(), in.model_version());
  if (!target) {
    order_detour([&] { return priority_in(in); });
    return std::unexpected(target.error());
  }
  const LiveEndpoint& endpoint = *target->endpoint;
  auto wanted = read_request(door, endpoint, request, in);
  if (!wanted) {
    count_failure(endpoint);
    return std::unexpected(std::move(wanted).error());
  }
  TRY_SET(Answer answer, run(door, endpoint, wanted->inputs, request, wanted->id, response, {}, wanted->wish));
  TRY_SET(std::vector<Output> outputs, take_outputs(answer.answered(endpoint), *wanted, answer));
  TRY(store_shared(door, request, outputs));
  write_infer_response(answer.answered(endpoint), wanted->id, std::move(outputs), out);
  return {};
}

// What run() tells in headers, where the headers have gone: told in the message's parameters.
class HeadersOfMessage final : public net::Response {
 public:
  void move_into(ModelInferResponse& message) {
    for (std::string_view lines = header_lines_; !lines.empty();) {
      const std::string_view line = lines.substr(0, lines.find("\r\n"));
      lines.remove_prefix(line.size() + 2);
      const size_t colon = line.find(": ");
      std::string name;
      for (char c : line.substr(0, colon))
        name += c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      if (name.starts_with("x_")) name.erase(0, 2);
      (*message.mutable_parameters())[name].set_string_param(std::string(line.substr(colon + 2)));
    }
    header_lines_.clear();
  }

 private:
  static base::Task<base::Result<void>> none() { co_return base::internal("not an answer of its own"); }
  base::Task<base::Result<void>> begin(int, std::string_view, std::optional<uint64_t>) override { return none(); }
  base::Task<base::Result<void>> write(std::string_view) override { return none(); }
  base::Task<base::Result<void>> end() override { return none(); }
  base::Task<base::Result<void>> send_file(int, uint64_t, uint64_t) override { return none(); }
  base::Task<base::Result<net::Upgraded>> switch_protocols() override {
    co_return base::internal("not an answer of its own");
  }
};

// One message of a stream; what is wrong with it is said in its answer, and the stream goes on.
base::Result<void> answer_in_stream(const Door& door, net::Request& request, std::string_view message, Coding coding,
                                    std::string& out) {
  google::protobuf::Arena arena;
  auto* in = google::protobuf::Arena::CreateMessage<ModelInferRequest>(&arena);
  auto* answer = google::protobuf::Arena::CreateMessage<ModelStreamInferResponse>(&arena);
  if (!in->ParseFromArray(message.data(), static_cast<int>(message.size())))
    return base::invalid("the message is not a " + in->GetTypeName());
  request.ctx.now_us = base::system_clock().wall_us();
  HeadersOfMessage headers;
  const std::string id = in->id();
  auto& inner = *answer->mutable_infer_response();
  if (auto done = infer(door, request, headers, *in, inner); !done) {
    inner.Clear();
    inner.set_id(id);
    answer->set_error_message(done.error().message);
  } else {
    headers.move_into(inner);
  }
  // Each request has one answer, which is its last.
  (*inner.mutable_parameters())["triton_final_response"].set_bool_param(true);
  out.clear();
  return append_message(out, *answer, coding);
}

base::Task<base::Result<void>> converse(DoorPtr door, net::Request& request, net::Response& response, CallHead head) {
  CO_TRY(co_await begin_stream(response, head));
  MessageReader reader(request, head.coding);
  std::string message, out;
  for (;;) {
    CO_TRY_SET(const bool more, co_await reader.next(message));
    if (!more) co_return base::Result<void>{};
    if (request.ctx.cancelled.stop_requested()) {
      const int64_t deadline_us = request.ctx.deadline_mono_us;
      if (deadline_us != 0 && base::system_clock().mono_us() > deadline_us)
        co_return base::fail(base::Code::kDeadline, "the call's time is over");
      co_return base::fail(base::Code::kUnavailable, "the server is going down");
    }
    auto answered = answer_in_stream(*door, request, message, head.answer_coding, out);
    if (const auto lane = take_detour()) [[unlikely]] {
      answered = co_await run_in_lane(
          *door, *lane, request, [&] { return answer_in_stream(*door, request, message, head.answer_coding, out); });
    }
    CO_TRY(answered);
    CO_TRY(co_await response.write(out));
  }
}

net::Handler stream_infer(DoorPtr door) {
  return [door](net::Request& request, net::Response& response) -> base::Task<void> {
    const auto head = read_call_head(request, response);
    if (!head) co_return write_grpc_error(response, head.error());
    auto outcome = co_await converse(door, request, response, *head);
    co_await end_stream(response, outcome);
  };
}

base::Result<void> model_metadata(const Door& door, net::Request& request, net::Response&, ModelMetadataRequest& in,
                                  ModelMetadataResponse& out) {
  TRY_SET(const Target target, find_target(door, request, in.name(), in.version(), Purpose::kDescribe));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  out.set_name(endpoint.name);
  for (const auto& version : versions_of(door, endpoint)) out.add_versions(version);
  out.set_platform(std::string(endpoint.predictor->model().platform()));
  const auto add = [](const serve::TensorInfo& info, ModelMetadataResponse::TensorMetadata& told) {
    told.set_name(info.name);
    told.set_datatype(std::string(serve::name(info.type)));
    for (int64_t dim : info.shape) told.add_shape(dim);
  };
  for (const auto& info : endpoint.predictor->inputs()) add(info, *out.add_inputs());
  for (const auto& info : endpoint.predictor->outputs()) add(info, *out.add_outputs());
  return {};
}

base::Result<void> model_config(const Door& door, net::Request& request, net::Response&, ModelConfigRequest& in,
                                ModelConfigResponse& out) {
  TRY_SET(const Target target, find_target(door, request, in.name(), in.version(), Purpose::kDescribe));
  if (!target.endpoint->predictor) return std::unexpected(target.endpoint->problem);
  *out.mutable_config() = repository::config_of(*target.endpoint);
  return {};
}

void add_statistics(const LiveEndpoint& endpoint, ModelStatisticsResponse& out) {
  ModelStatistics& stats = *out.add_model_stats();
  const auto numbers = serve::statistics_of(endpoint);
  stats.set_name(endpoint.name);
  stats.set_version(endpoint.version);
  stats.set_inference_count(numbers.rows);
  stats.set_execution_count(numbers.executions);
  auto& inner = *stats.mutable_inference_stats();
  inner.mutable_success()->set_count(numbers.succeeded);
  inner.mutable_success()->set_ns(numbers.ns);
  inner.mutable_fail()->set_count(numbers.failed);
  for (auto* part : {inner.mutable_compute_input(), inner.mutable_compute_output()})
    part->set_count(numbers.succeeded);  // reading and writing are not measured apart
  inner.mutable_compute_infer()->set_count(numbers.succeeded);
  inner.mutable_compute_infer()->set_ns(numbers.ns);
  inner.mutable_queue()->set_count(numbers.queued);
  inner.mutable_queue()->set_ns(numbers.queue_ns);
  for (const auto& [size, count] : numbers.batches) {
    auto& batch = *stats.add_batch_stats();
    batch.set_batch_size(size);
    batch.mutable_compute_infer()->set_count(count);
  }
  inner.mutable_cache_hit()->set_count(numbers.cache.hits);
  inner.mutable_cache_hit()->set_ns(numbers.cache.hit_us * 1000);
  inner.mutable_cache_miss()->set_count(numbers.cache.misses);
  inner.mutable_cache_miss()->set_ns(numbers.cache.miss_us * 1000);
}

base::Result<void> model_statistics(const Door& door, net::Request& request, net::Response&, ModelStatisticsRequest& in,
                                    ModelStatisticsResponse& out) {
  if (!in.name().empty()) {
    TRY_SET(const Target target, find_target(door, request, in.name(), in.version(), Purpose::kLook));
    add_statistics(*target.endpoint, out);
    return {};
  }
  const auto pin = door.runtime.pin();
  for (const auto& endpoint : pin->endpoints) {
    if (endpoint->project == request.ctx.project) add_statistics(*endpoint, out);
  }
  return {};
}

base::Result<void> repository_index(const Door& door, net::Request& request, net::Response&, RepositoryIndexRequest& in,
                                    RepositoryIndexResponse& out) {
  for (const auto& state : index_of(door, request, in.ready())) {
    auto& model = *out.add_models();
    model.set_name(state.name);
    model.set_version(state.version);
    model.set_state(state.state);
    model.set_reason(state.reason);
  }
  return {};
}

base::Result<void> load(const Door& door, net::Request&, net::Response&, RepositoryModelLoadRequest& in,
                        RepositoryModelLoadResponse&) {
  std::optional<std::string> config;
  for (const auto& [key, value] : in.parameters()) {
    if (key != "config") return std::unexpected(refused_parameter(key));
    config = value.string_param();
  }
  return load_model(door, in.model_name(), config);
}

base::Result<void> unload(const Door& door, net::Request&, net::Response&, RepositoryModelUnloadRequest& in,
                          RepositoryModelUnloadResponse&) {
  bool dependents = false;
  for (const auto& [key, value] : in.parameters()) {
    if (key != "unload_dependents") return std::unexpected(refused_parameter(key));
    dependents = value.bool_param();
  }
  return unload_model(door, in.model_name(), dependents);
}

base::Result<void> register_region(const Door& door, net::Request& request, net::Response&,
                                   SystemSharedMemoryRegisterRequest& in, SystemSharedMemoryRegisterResponse&) {
  TRY(check_shares_memory(request));
  return door.regions->add(request.ctx.project,
                           {.name = in.name(), .key = in.key(), .offset = in.offset(), .bytes = in.byte_size()});
}

base::Result<void> unregister_region(const Door& door, net::Request& request, net::Response&,
                                     SystemSharedMemoryUnregisterRequest& in, SystemSharedMemoryUnregisterResponse&) {
  TRY(check_shares_memory(request));
  if (in.name().empty()) {
    door.regions->remove_all(request.ctx.project);
  } else {
    door.regions->remove(request.ctx.project, in.name());
  }
  return {};
}

base::Result<void> region_status(const Door& door, net::Request& request, net::Response&,
                                 SystemSharedMemoryStatusRequest& in, SystemSharedMemoryStatusResponse& out) {
  const auto add = [&](const SharedRegions::Info& info) {
    auto& told = (*out.mutable_regions())[info.name];
    told.set_name(info.name);
    told.set_key(info.key);
    told.set_offset(info.offset);
    told.set_byte_size(info.bytes);
  };
  if (!in.name().empty()) {
    TRY_SET(const auto info, door.regions->find(request.ctx.project, in.name()));
    add(info);
    return {};
  }
  for (const auto& info : door.regions->list(request.ctx.project)) add(info);
  return {};
}

// Without settings it only asks.
base::Result<void> trace_setting(const Door& door, net::Request& request, net::Response&, TraceSettingRequest& in,
                                 TraceSettingResponse& out) {
  if (!in.model_name().empty()) TRY(find_target(door, request, in.model_name(), "", Purpose::kLook));
  if (!in.settings().empty()) return base::fail(base::Code::kUnsupported, std::string(kNoTraceSettings));
  for (const auto& [name, value] : kTraceSettings) (*out.mutable_settings())[std::string(name)].add_value(value);
  return {};
}

base::Result<void> log_settings(const Door&, net::Request& request, net::Response&, LogSettingsRequest& in,
                                LogSettingsResponse& out) {
  LogChange change;
  for (const auto& [name, value] : in.settings()) {
    switch (value.parameter_choice_case()) {
      case LogSettingsRequest::SettingValue::kBoolParam: TRY(change.set(name, value.bool_param())); break;
      case LogSettingsRequest::SettingValue::kUint32Param: TRY(change.set(name, int64_t{value.uint32_param()})); break;
      default: TRY(change.set(name, std::string_view(value.string_param()))); break;
    }
  }
  if (!in.settings().empty()) TRY(change.apply(request));
  auto& told = *out.mutable_settings();
  const LogState now = log_settings_now();
  told["log_file"].set_string_param("");
  told["log_info"].set_bool_param(now.info);
  told["log_warning"].set_bool_param(now.warning);
  told["log_error"].set_bool_param(true);
  told["log_verbose_level"].set_uint32_param(now.verbose ? 1 : 0);
  told["log_format"].set_string_param(std::string(kLogFormat));
  return {};
}

template <class In, class Out>
base::Result<void> not_offered(const Door&, net::Request&, net::Response&, In&, Out&) {
  return base::fail(base::Code::kUnsupported, "this server does not offer " + In().GetTypeName().substr(10));
}

}  // namespace

void add_grpc_inference_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  const auto call = [&]<class In, class Out>(
                        std::string_view method, UnaryCall<In, Out> act, Permission permission = Permission::kInfer,
                        size_t bytes = base::limits::kSmallBody, int64_t deadline_us = base::limits::kRequestUs) {
    routes.add({net::Method::kPost,
                "/" + std::string(kService) + "/" + std::string(method),
                net::Protocol::kGrpc,
                permission,
                {.body_bytes = bytes, .deadline_us = deadline_us},
                unary<In, Out>(door, std::move(act))});
  };
  call("ServerLive", UnaryCall<ServerLiveRequest, ServerLiveResponse>([](auto&, auto&, auto&, auto&, auto& out) {
         out.set_live(true);
         return base::Result<void>{};
       }),
       Permission::kNone);
  call("ServerReady", UnaryCall<ServerReadyRequest, ServerReadyResponse>([](auto& d, auto&, auto&, auto&, auto& out) {
         out.set_ready(all_ready(d));
         return base::Result<void>{};
       }),
       Permission::kNone);
  call("ModelReady", UnaryCall<ModelReadyRequest, ModelReadyResponse>([](auto& d, auto& request, auto&, auto& in,
                                                                         auto& out) -> base::Result<void> {
         TRY_SET(const Target target, find_target(d, request, in.name(), in.version(), Purpose::kLook));
         out.set_ready(target.endpoint->ready());
         return {};
       }));
  call("ServerMetadata",
       UnaryCall<ServerMetadataRequest, ServerMetadataResponse>([](auto& d, auto&, auto&, auto&, auto& out) {
         out.set_name("lathe");
         out.set_version(d.version);
         for (std::string_view extension : kExtensions) out.add_extensions(std::string(extension));
         return base::Result<void>{};
       }));
  call("ModelMetadata", UnaryCall<ModelMetadataRequest, ModelMetadataResponse>(model_metadata));
  call("ModelInfer", UnaryCall<ModelInferRequest, ModelInferResponse>(infer), Permission::kInfer, kMessageBytes);
  call("ModelConfig", UnaryCall<ModelConfigRequest, ModelConfigResponse>(model_config));
  call("ModelStatistics", UnaryCall<ModelStatisticsRequest, ModelStatisticsResponse>(model_statistics));
  call("RepositoryIndex", UnaryCall<RepositoryIndexRequest, RepositoryIndexResponse>(repository_index));
  const auto refuse = [&]<class In, class Out>(std::string_view method, In*, Out*) {
    call(method, UnaryCall<In, Out>(not_offered<In, Out>));
  };
  call("RepositoryModelLoad", UnaryCall<RepositoryModelLoadRequest, RepositoryModelLoadResponse>(load),
       Permission::kAdmin, kControlBody, kControlUs);
  call("RepositoryModelUnload", UnaryCall<RepositoryModelUnloadRequest, RepositoryModelUnloadResponse>(unload),
       Permission::kAdmin, base::limits::kSmallBody, kControlUs);
#define LATHE_REFUSED(name) refuse(#name, static_cast<name##Request*>(nullptr), static_cast<name##Response*>(nullptr))
  LATHE_REFUSED(CudaSharedMemoryRegister);
  LATHE_REFUSED(CudaSharedMemoryUnregister);
#undef LATHE_REFUSED
  call("TraceSetting", UnaryCall<TraceSettingRequest, TraceSettingResponse>(trace_setting));
  call("LogSettings", UnaryCall<LogSettingsRequest, LogSettingsResponse>(log_settings));
  call("SystemSharedMemoryRegister",
       UnaryCall<SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse>(register_region));
  call("SystemSharedMemoryUnregister",
       UnaryCall<SystemSharedMemoryUnregisterRequest, SystemSharedMemoryUnregisterResponse>(unregister_region));
  call("SystemSharedMemoryStatus",
       UnaryCall<SystemSharedMemoryStatusRequest, SystemSharedMemoryStatusResponse>(region_status));
  // Of another kind of memory no region is ever registered: the list is empty.
  call("CudaSharedMemoryStatus", UnaryCall<CudaSharedMemoryStatusRequest, CudaSharedMemoryStatusResponse>(
                                     [](auto&, auto&, auto&, auto&, auto&) { return base::Result<void>{}; }));
  routes.add({net::Method::kPost,
              "/" + std::string(kService) + "/ModelStreamInfer",
              net::Protocol::kGrpc,
              Permission::kInfer,
              {.body_bytes = kStreamBytes, .deadline_us = 0},
              stream_infer(door)});
  add_unknown_call(routes, kService, door);
}

}  // namespace api::inference
