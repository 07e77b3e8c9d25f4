#include "api/mlflow/door.h"

#include <array>

#include "net/text.h"

namespace api::mlflow {

void Door::add(net::Method method, std::string_view path, base::Permission permission, net::RouteLimits limits,
               net::Handler handler, net::Scope scope) {
  const Guard* guard = find_guard(method, path);
  if (guard == nullptr || guard->target == Target::kOpen)
    return put(method, path, permission, limits, std::move(handler), scope);
  auto guarded = [guard, store = &store_, handler = std::move(handler)](net::Request& request,
                                                                        net::Response& response) -> base::Task<void> {
    if (const auto access = limits_of(request)) {
      Args args(request);
      const Claims claims = claims_of(*guard, args, request);
      if (args.error()) co_return fail(response, *args.error());
      auto look = [&](store::Tx& tx) { return check(tx, *access, claims); };
      if (const auto allowed = co_await store->read(request.ctx, look); !allowed)
        co_return fail(response, allowed.error());
    }
    co_await handler(request, response);
  };
  put(method, path, permission, limits, std::move(guarded), scope);
}

void Door::put(net::Method method, std::string_view path, base::Permission permission, net::RouteLimits limits,
               net::Handler handler, net::Scope scope) {
  const bool checks = find_guard(method, path) != nullptr;
  if (path.starts_with('/')) {
    const net::Protocol protocol = path == "/version" ? net::Protocol::kMlflowText : net::Protocol::kMlflow;
    return routes_.add({method, std::string(path), protocol, permission, limits, std::move(handler), scope, checks});
  }
  // Upstream gives each path one version; clients and browsers of every age are served by giving it both.
  constexpr std::array<std::string_view, 4> kPrefixes = {"/api/2.0", "/api/3.0", "/ajax-api/2.0", "/ajax-api/3.0"};
  for (const std::string_view prefix : kPrefixes) {
    const std::string_view folder = path.starts_with("mlflow-artifacts") ? "/" : "/mlflow/";
    routes_.add({method, std::string(prefix).append(folder).append(path), net::Protocol::kMlflow, permission, limits,
                 handler, scope, checks});
  }
}

track::View parse_view(Args& args, std::string_view name) {
  static constexpr std::string_view kNames[] = {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"};
  return static_cast<track::View>(args.choice(name, kNames, 1).value_or(1) - 1);
}

base::Result<void> check_content_type(const net::Request& request) {
  if (request.method != net::Method::kPost && request.method != net::Method::kPut) return {};
  const std::string_view header = request.header("content-type");
  if (header.empty()) return base::invalid("Bad Request. Content-Type header is missing.");
  const std::string_view type = net::trim(header.substr(0, header.find(';')));
  if (net::equals_ignoring_case(type, "application/json")) return {};
  return base::invalid("Bad Request. Content-Type must be one of ['application/json'].");
}

base::Task<base::Result<void>> read_args(net::Request& request, Args& args) {
  if (Args::in_body(request)) {
    CO_TRY(check_content_type(request));
    CO_TRY_SET(const std::string body, co_await request.read_body());
    args.take_body(body);
  }
  if (args.error()) co_return std::unexpected(*args.error());
  co_return base::Result<void>();
}

void add_mlflow_routes(net::RouteTable& routes, net::ErrorWriters& errors, store::Store& store, blob::BlobStore& blobs,
                       net::Offload& offload, const Options& options) {
  errors.set(net::Protocol::kMlflow, write_route_error);
  errors.set(net::Protocol::kMlflowText, write_route_error);
  Door door(routes, store, blobs, offload, options);
  add_experiment_routes(door);
  add_run_routes(door);
  add_metric_routes(door);
  add_registry_routes(door);
  add_logged_model_routes(door);
  add_artifact_routes(door);
  add_folder_zip_routes(door);
  add_multipart_routes(door);
  add_info_routes(door);
  add_trace_routes(door);
  add_assessment_routes(door);
  add_trace_artifact_routes(door);
  add_otlp_routes(door);
  add_trace_metric_routes(door);
  add_evaluation_dataset_routes(door);
  add_scorer_routes(door);
  add_issue_routes(door);
  add_label_schema_routes(door);
  add_review_queue_routes(door);
  add_graphql_route(door);
  add_workspace_routes(door);
}

}  // namespace api::mlflow
