#include "api/mlflow/door.h"

#include <array>

#include "net/text.h"

namespace api::mlflow {

void Door::add(net::Method method, std::string_view path, base::Permission permission, net::RouteLimits limits,
               net::Handler handler) {
  if (path.starts_with('/')) {
    const net::Protocol protocol = path == "/version" ? net::Protocol::kMlflowText : net::Protocol::kMlflow;
    return routes_.add({method, std::string(path), protocol, permission, limits, std::move(handler)});
  }
  // Upstream gives each path one version; clients and browsers of every age are served by giving it both.
  constexpr std::array<std::string_view, 4> kPrefixes = {"/api/2.0", "/api/3.0", "/ajax-api/2.0", "/ajax-api/3.0"};
  for (const std::string_view prefix : kPrefixes) {
    const std::string_view folder = path.starts_with("mlflow-artifacts") ? "/" : "/mlflow/";
    routes_.add({method, std::string(prefix).append(folder).append(path), net::Protocol::kMlflow, permission, limits,
                 handler});
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

void add_mlflow_routes(net::RouteTable& routes, net::ErrorWriters& errors, store::Store& store, blob::BlobStore& blobs,
                       net::Offload& offload, Options options) {
  errors.set(net::Protocol::kMlflow, write_route_error);
  errors.set(net::Protocol::kMlflowText, write_route_error);
  Door door(routes, store, blobs, offload, options);
  add_experiment_routes(door);
  add_run_routes(door);
  add_metric_routes(door);
  add_registry_routes(door);
  add_logged_model_routes(door);
  add_artifact_routes(door);
  add_info_routes(door);
}

}  // namespace api::mlflow
