#include <unistd.h>

#include "api/inference/inference.h"
#include "api/lathe/access.h"
#include "api/lathe/apply.h"
#include "api/lathe/blobs.h"
#include "api/lathe/core.h"
#include "api/lathe/data.h"
#include "api/lathe/flow.h"
#include "api/lathe/graphs.h"
#include "api/lathe/hooks.h"
#include "api/lathe/import.h"
#include "api/lathe/lab.h"
#include "api/lathe/loop.h"
#include "api/lathe/metric_rules.h"
#include "api/lathe/pages_data.h"
#include "api/lathe/pages_flow.h"
#include "api/lathe/pages_lineage.h"
#include "api/lathe/pages_models.h"
#include "api/lathe/pages_overview.h"
#include "api/lathe/pages_runs.h"
#include "api/lathe/pages_serve.h"
#include "api/lathe/pages_watch.h"
#include "api/lathe/plane.h"
#include "api/lathe/run_acts.h"
#include "api/lathe/search.h"
#include "api/lathe/serve.h"
#include "api/lathe/status.h"
#include "api/lathe/traffic.h"
#include "api/lathe/upkeep.h"
#include "api/lathe/watch.h"
#include "api/mlflow/auth.h"
#include "api/mlflow/mlflow.h"
#include "api/mlflow/webhooks.h"
#include "api/pages/pages.h"
#include "base/json_writer.h"
#include "base/process.h"
#include "server/house.h"
#include "server/training_profile.h"
#include "server/version.h"
#include "traces/purge.h"
#include "watch/watch.h"

namespace server {

namespace {

// A folder .lathe lies in the project that it serves.
base::Path default_root(const base::Path& dir) {
  std::error_code error;
  const base::Path whole = std::filesystem::absolute(dir, error).lexically_normal();
  return whole.filename() == ".lathe" ? whole.parent_path() : std::filesystem::current_path(error);
}

void write_process(const House& house, base::JsonWriter& json) {
  json.field("version", kVersion).field("pid", getpid()).field("started_us", house.started_us);
  json.field("dir", std::filesystem::absolute(house.config.dir).string());
  json.field("store", house.store->backend() == store::Backend::kSqlite ? "sqlite" : "postgresql");
  json.field("connections", house.net ? house.net->connections() : 0);
}

}  // namespace

void open_doors(House& house) {
  const auto purge_traces = [](store::Tx& tx, const track::Purge& purge) -> base::Result<api::lathe::PurgedMore> {
    TRY_SET(auto step, traces::purge_step(tx, purge.deleted_before_ms, purge.experiment_ids));
    return api::lathe::PurgedMore{step.more, std::move(step.folders)};
  };
  api::lathe::add_core_routes(
      house.routes, {*house.store, house.clock, house.metrics, house.commits,
                     [&house](std::string& text) { serve::append_triton_metrics(text, house.runtime->live()); }});
  api::lathe::add_access_routes(house.routes, {*house.store, *house.gatekeeper, house.config.default_artifact_root});
  api::lathe::add_status_route(house.routes, {*house.store, *house.runtime, house.config.dir,
                                              [&house](base::JsonWriter& json) { write_process(house, json); }});
  const api::lathe::BlobDoor blobs{*house.store, *house.blobs, *house.offload};
  api::lathe::add_blob_routes(house.routes, blobs);
  api::lathe::add_upkeep_routes(
      house.routes, {*house.store, *house.blobs, *house.offload, house.clock, house.config.dir, std::string(kVersion)});
  api::lathe::add_import_routes(house.routes, {*house.store, *house.offload});
  api::lathe::add_data_routes(house.routes, {*house.store, blobs});
  api::lathe::add_flow_routes(house.routes, {*house.store, *house.offload, house.config.dir});
  api::lathe::add_plane_routes(house.routes, {blobs, *house.runtime, house.commits, house.config.require_login});
  api::lathe::add_serve_routes(house.routes, {*house.store, *house.runtime, *house.offload, watch::label_of});
  api::lathe::add_apply_routes(house.routes, {*house.store, *house.blobs, *house.offload, *house.runtime,
                                              house.config.default_artifact_root});
  api::lathe::add_loop_routes(house.routes, {*house.store, *house.blobs, *house.offload, *house.runtime});
  const auto binary = base::executable_path();
  api::lathe::add_graph_routes(house.routes, {*house.store, *house.blobs, *house.offload, *house.runtime});
  api::lathe::add_traffic_routes(
      house.routes, {{*house.store, *house.blobs, *house.offload, *house.runtime}, binary.value_or(base::Path())});
  const api::lathe::WatchDoor watch{*house.store, *house.blobs, *house.offload, house.runtime->capture()};
  api::lathe::add_watch_routes(house.routes, watch);
  api::lathe::add_seldon_feedback_routes(house.routes, house.errors, watch);
  const auto env = base::allowed_environment();
  api::lathe::add_lab_routes(house.routes,
                             {*house.store, *house.offload, *house.proxy, *house.lab, default_root(house.config.dir),
                              env.contains("PATH") ? env.at("PATH") : ""});
  api::lathe::add_pages_data_routes(house.routes, {*house.store, blobs});
  api::lathe::add_pages_flow_routes(house.routes, {*house.store, *house.offload, house.config.dir});
  api::lathe::add_pages_serve_routes(house.routes, {*house.store, *house.runtime, *house.offload});
  api::lathe::add_pages_loaded_routes(house.routes, {*house.store, *house.runtime, *house.offload});
  api::lathe::add_pages_watch_routes(house.routes, {*house.store, *house.blobs, *house.offload});
  api::lathe::add_pages_lineage_routes(house.routes, {*house.store, *house.runtime, *house.offload});
  const api::lathe::LoopDoor pages{*house.store, *house.blobs, *house.offload, *house.runtime};
  api::lathe::add_pages_models_routes(house.routes, pages);
  api::lathe::add_pages_evaluations_routes(house.routes, pages);
  api::lathe::add_run_acts_routes(
      house.routes, {*house.store, *house.blobs, *house.offload, house.places->destination, purge_traces});
  api::lathe::add_metric_rule_routes(house.routes, {*house.store, [&house] { house.metric_watch->changed(); }});
  api::lathe::add_pages_runs_routes(house.routes, {*house.store});
  api::lathe::add_pages_run_routes(house.routes, {*house.store});
  api::lathe::add_pages_run_group_routes(house.routes, {*house.store});
  api::inference::add_inference_routes(house.routes, house.errors, *house.runtime, std::string(kVersion),
                                       {.profiles = training_profiles(*house.store, *house.blobs)});
  api::mlflow::add_mlflow_routes(house.routes, house.errors, *house.store, *house.blobs, *house.offload,
                                 {.strict_source = house.config.mlflow_strict_source,
                                  .default_artifact_root = house.config.default_artifact_root,
                                  .locations = house.locations,
                                  .places = house.places});
  api::mlflow::add_auth_routes(house.routes, *house.store, *house.blobs, *house.offload, *house.gatekeeper);
  api::mlflow::add_webhook_routes(house.routes, *house.store, *house.blobs, *house.courier, *house.outgoing);
  api::lathe::add_hook_routes(house.routes, {*house.store, *house.courier, *house.outgoing});
  api::lathe::add_pages_overview_routes(house.routes, {*house.store, *house.runtime});
  api::lathe::add_search_routes(house.routes, {*house.store});
  api::pages::add_page_routes(house.routes);
}

}  // namespace server
