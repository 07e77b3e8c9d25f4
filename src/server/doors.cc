#include <unistd.h>

#include "api/inference/inference.h"
#include "api/lathe/blobs.h"
#include "api/lathe/apply.h"
#include "api/lathe/core.h"
#include "api/lathe/data.h"
#include "api/lathe/flow.h"
#include "api/lathe/loop.h"
#include "api/lathe/serve.h"
#include "api/lathe/upkeep.h"
#include "api/lathe/watch.h"
#include "api/mlflow/mlflow.h"
#include "base/json_writer.h"
#include "core/identity.h"
#include "server/house.h"
#include "server/version.h"
#include "watch/watch.h"

namespace server {

std::string status_json(const House& house) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object();
  json.field("version", kVersion).field("pid", getpid()).field("started_us", house.started_us);
  json.field("dir", std::filesystem::absolute(house.config.dir).string());
  json.field("store", house.store->backend() == store::Backend::kSqlite ? "sqlite" : "postgresql");
  json.field("connections", house.net ? house.net->connections() : 0);
  json.end_object();
  return out;
}

void open_doors(House& house) {
  house.access.find_token = [&house](std::string secret) { return house.tokens->find(std::move(secret)); };
  house.access.may = core::may;
  api::lathe::add_core_routes(house.routes, {*house.store, house.clock, house.metrics, house.commits,
                                             [&house] { return status_json(house); }});
  const api::lathe::BlobDoor blobs{*house.store, *house.blobs, *house.offload};
  api::lathe::add_blob_routes(house.routes, blobs);
  api::lathe::add_upkeep_routes(house.routes, {*house.store, *house.blobs, *house.offload, house.clock, house.config.dir,
                                               std::string(kVersion)});
  api::lathe::add_data_routes(house.routes, {*house.store, blobs});
  api::lathe::add_flow_routes(house.routes, {*house.store, *house.offload, house.config.dir});
  api::lathe::add_serve_routes(house.routes, {*house.store, *house.runtime, *house.offload, watch::label_of});
  api::lathe::add_apply_routes(house.routes, {*house.store, *house.blobs, *house.offload});
  api::lathe::add_loop_routes(house.routes, {*house.store, *house.blobs, *house.offload, *house.runtime});
  api::lathe::add_watch_routes(house.routes, {*house.store, *house.blobs, *house.offload, house.runtime->capture()});
  api::inference::add_inference_routes(house.routes, house.errors, *house.runtime, std::string(kVersion));
  api::mlflow::add_mlflow_routes(house.routes, house.errors, *house.store, *house.blobs, *house.offload,
                                 {.strict_source = house.config.mlflow_strict_source});
}

}  // namespace server
