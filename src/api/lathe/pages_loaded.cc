// GET /api/lathe/v1/pages/loaded: what is in memory to answer with, as one table. `state` is ready, cold (loaded at its
// first request) or failed; `role` live, canary or shadow.
#include <map>

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "api/lathe/pages_serve.h"
#include "blob/blob.h"
#include "serve/traffic.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

constexpr int64_t kUsedUs = int64_t{86'400} * 1'000'000;  // looked back for the last request
constexpr int64_t kUsedStepUs = 60'000'000;               // how exactly

struct InMemory {
  serve::LivePtr endpoint;
  std::string_view role;
};

std::vector<InMemory> all_of(const serve::Runtime& runtime, int64_t project) {
  std::vector<InMemory> out;
  for (const auto& live : runtime.live()) {
    if (live->project != project) continue;
    out.push_back({live, "live"});
    if (live->split) {
      for (const auto& part : live->split->parts)
        if (part.target && part.upto > 0) out.push_back({part.target, "canary"});
    }
    if (live->shadow) out.push_back({live->shadow->target, "shadow"});
  }
  return out;
}

void write_workers(base::JsonWriter& w, const serve::LiveEndpoint& live) {
  w.key("workers");
  const auto workers = live.predictor ? live.predictor->model().workers() : std::nullopt;
  if (!workers) return void(w.null());
  w.begin_object().field("ready", static_cast<int64_t>(workers->workers));
  w.field("busy", static_cast<int64_t>(workers->busy)).field("waiting", static_cast<int64_t>(workers->waiting));
  w.field("crashed", static_cast<int64_t>(workers->crashed)).end_object();
}

void write_model(base::JsonWriter& w, store::Tx& tx, const InMemory& one, int64_t used_us) {
  const serve::LiveEndpoint& live = *one.endpoint;
  const auto numbers = serve::statistics_of(live);
  w.begin_object().field("endpoint", live.name).field("environment", live.environment);
  w.field("revision", live.revision.number).field("model", live.revision.model_name);
  w.field("version", live.revision.model_version).field("role", one.role);
  w.field("state", live.predictor ? "ready" : live.cold ? "cold" : "failed");
  w.field("problem", clean_text(live.trouble()));
  w.field("platform", live.predictor ? live.predictor->model().platform() : std::string_view());
  int64_t bytes = 0;
  for (const auto& file : blob::list_artifacts(tx, live.revision.artifact_root))
    bytes += static_cast<int64_t>(file.size);
  w.field("file_bytes", bytes).field("requests", static_cast<int64_t>(numbers.succeeded + numbers.failed));
  w.field("failures", static_cast<int64_t>(numbers.failed)).key("used_us");
  used_us > 0 ? w.value(used_us) : w.null();
  write_workers(w, live);
  w.end_object();
}

Task<void> list(const EndpointPagesDoor& door, net::Request& request, net::Response& response) {
  const auto models = all_of(door.runtime, request.ctx.project);
  auto read = [&models, now_us = request.ctx.now_us](store::Tx& tx) -> Result<std::string> {
    std::map<std::pair<std::string, int64_t>, int64_t> used;
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("models").begin_array();
    for (const InMemory& one : models) {
      const serve::LiveEndpoint& live = *one.endpoint;
      if (one.role == "live") {
        TRY_SET(const auto points, serve::traffic(tx, {live.name, now_us - kUsedUs, now_us, kUsedStepUs, true}));
        for (const auto& p : points) used[{live.name, p.revision}] = p.at_us;
      }
      write_model(w, tx, one, used[{live.name, live.revision.number}]);
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

}  // namespace

void add_pages_loaded_routes(net::RouteTable& routes, const EndpointPagesDoor& door) {
  add_page(routes, door, "/loaded", list);
}

}  // namespace api::lathe
