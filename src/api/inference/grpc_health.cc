// grpc.health.v1: whether the server answers, as load balancers and probes ask it. Open to everybody, as
// /v2/health/ready is; no name of a model is told.
#include "api/inference/grpc.h"
#include "base/clock.h"
#include "base/loop.h"
#include "health.pb.h"

namespace api::inference {
namespace {

namespace health = ::grpc::health::v1;
using health::HealthCheckRequest;
using health::HealthCheckResponse;

constexpr std::string_view kService = "grpc.health.v1.Health";
constexpr int64_t kLookUs = 250'000;  // how often a watch looks
constexpr size_t kHealthBytes = 4096;

// SERVICE_UNKNOWN for what is neither the whole server ("") nor one of its services.
HealthCheckResponse::ServingStatus status_of(const Door& door, std::string_view service) {
  if (service == kService || service.starts_with("grpc.reflection.")) return HealthCheckResponse::SERVING;
  if (!service.empty() && service != "inference.GRPCInferenceService") return HealthCheckResponse::SERVICE_UNKNOWN;
  return all_ready(door) ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

base::Result<void> check(const Door& door, net::Request&, net::Response&, HealthCheckRequest& in,
                         HealthCheckResponse& out) {
  const auto status = status_of(door, in.service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN)
    return base::not_found("there is no service '" + in.service().substr(0, 80) + "'");
  out.set_status(status);
  return {};
}

base::Task<base::Result<void>> watch(DoorPtr door, net::Request& request, net::Response& response, CallHead head) {
  MessageReader reader(request, head.coding);
  std::string message;
  CO_TRY_SET(const bool found, co_await reader.next(message));
  HealthCheckRequest in;
  if (!found || !in.ParseFromString(message)) co_return base::invalid("the call has no HealthCheckRequest");
  auto told = HealthCheckResponse::UNKNOWN;
  while (!request.ctx.cancelled.stop_requested()) {
    const auto status = status_of(*door, in.service());
    if (status != told) {
      HealthCheckResponse answer;
      answer.set_status(told = status);
      std::string out;
      CO_TRY(append_message(out, answer, Coding::kIdentity));
      CO_TRY(co_await response.write(out));
    }
    co_await base::sleep_us(kLookUs);
  }
  const int64_t deadline_us = request.ctx.deadline_mono_us;
  if (deadline_us != 0 && base::system_clock().mono_us() > deadline_us)
    co_return base::fail(base::Code::kDeadline, "the call's time is over");
  co_return base::fail(base::Code::kUnavailable, "the server is going down");
}

}  // namespace

void add_grpc_health_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  const std::string prefix = "/" + std::string(kService) + "/";
  routes.add({net::Method::kPost,
              prefix + "Check",
              net::Protocol::kGrpc,
              Permission::kNone,
              {.body_bytes = kHealthBytes},
              unary<HealthCheckRequest, HealthCheckResponse>(door, check)});
  routes.add({net::Method::kPost,
              prefix + "Watch",
              net::Protocol::kGrpc,
              Permission::kNone,
              {.body_bytes = kHealthBytes, .deadline_us = 0},
              [door](net::Request& request, net::Response& response) -> base::Task<void> {
                const auto head = read_call_head(request, response);
                if (!head) co_return write_grpc_error(response, head.error());
                base::Result<void> outcome = co_await begin_stream(response, *head);
                if (outcome) outcome = co_await watch(door, request, response, *head);
                co_await end_stream(response, outcome);
              }});
}

}  // namespace api::inference
