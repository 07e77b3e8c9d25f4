// What the server tells about itself. The level is the MLflow release whose behaviour it has; clients switch features
// on by it.
#include "api/mlflow/door.h"

namespace api::mlflow {

namespace {

constexpr std::string_view kLevel = "3.17.2";
constexpr net::RouteLimits kNoBody{.body_bytes = 0};

base::Task<void> version(net::Request&, net::Response& response) {
  response.send(200, "text/html; charset=utf-8", std::string(kLevel));
  co_return;
}

base::Task<void> server_info(bool presigned, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("store_type", "SqlStore").field("workspaces_enabled", true);
  json.field("trace_archival_enabled", false).field("multipart_uploads_enabled", true);
  json.field("multipart_downloads_enabled", presigned).field("presigned_upload_run_id_supported", false);
  json.field("presigned_upload_model_id_supported", false);
  json.key("features_enabled").begin_object().field("gateway", false).end_object().end_object();
  response.send_json(std::move(body));
  co_return;
}

}  // namespace

void add_info_routes(Door& door) {
  // Clients then ask for each file's address first: worth it only where the files are elsewhere.
  const bool presigned = door.blobs().home() != "folder";
  door.add(net::Method::kGet, "/version", base::Permission::kRead, kNoBody, version);
  door.add(net::Method::kGet, "server-info", base::Permission::kRead, kNoBody,
           [presigned](net::Request&, net::Response& response) { return server_info(presigned, response); });
}

}  // namespace api::mlflow
