// The serving runtime: loaded predictors behind an immutable snapshot of the routes. An inference request reads the
// snapshot without a lock or a shared counter, runs on the thread that read it, and touches no store.
//
// prepare() → the promotion's transaction → refresh(): prepare tries the model in a child process of the same binary
// first (a crash in a model library never takes the server), then loads and warms it here. After refresh() has
// answered, no request that starts gets the old revision; a request keeps the snapshot it began with. A revision that
// is no longer live stays loaded for its bake time (rollback is then a swap), and is unloaded after it.
//
// Thread: pin() and route() from any loop; prepare/refresh from worker threads (they block).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/metrics.h"
#include "base/result.h"
#include "blob/blob.h"
#include "serve/capture.h"
#include "serve/endpoint.h"
#include "serve/model.h"
#include "serve/rcu.h"
#include "store/store.h"

namespace serve {

struct LiveEndpoint {            // immutable; kept alive by the snapshot
  std::string name;
  std::string environment;
  int64_t project = 0;
  Revision revision;
  std::string version;           // the model version as text, for answers
  std::shared_ptr<const Predictor> predictor;  // null: it could not be loaded, see `problem`
  base::Error problem;
  CaptureStream* capture = nullptr;
  base::Counter* requests = nullptr;
  base::Counter* failures = nullptr;   // answered with an error
  base::Counter* rows = nullptr;
  base::Histogram* seconds = nullptr;
};

// All that is live, as one value.
struct RouteSnapshot {
  std::vector<std::shared_ptr<const LiveEndpoint>> endpoints;  // by (project, name)
  std::vector<std::shared_ptr<const LiveEndpoint>> defaults;   // at most one per project

  // By name within a project, or the default or only one for "". Null if there is none.
  const std::shared_ptr<const LiveEndpoint>* find(int64_t project, std::string_view name) const;
};

class Runtime {
 public:
  struct Options {
    base::Path dir;                            // materialised models and capture segments live under it
    base::Path self;                           // this binary, for trial children
    int64_t bake_us = 15 * 60 * 1'000'000LL;   // a revision that is not live stays loaded this long
    Capture::Options capture;
  };
  // Loads what the store says is live; an endpoint that cannot be loaded is there with its problem, and logged.
  static base::Result<std::unique_ptr<Runtime>> start(store::Store& store, blob::BlobStore& blobs, const Options& options,
                                                      base::Registry& metrics);
  static base::Result<std::unique_ptr<Runtime>> start(store::Store& store, blob::BlobStore& blobs, const base::Path& dir,
                                                      const base::Path& self, base::Registry& metrics) {
    return start(store, blobs, Options{.dir = dir, .self = self}, metrics);
  }
  virtual ~Runtime() = default;

  // Materialises, tries in a child, loads and warms revision `number`; kept loaded until retired. Blocks.
  virtual base::Result<void> prepare(int64_t project, std::string_view endpoint, int64_t number) = 0;
  // Rebuilds the snapshot from the store and swaps it. Blocks. Called after a promotion's commit and at start.
  virtual base::Result<void> refresh() = 0;

  // Hot path: the routes as they are now; gone before the thread's next co_await.
  using Pin = Rcu<RouteSnapshot>::Guard;
  Pin pin() const { return routes_.read(); }
  // For everybody else.
  std::shared_ptr<const LiveEndpoint> route(int64_t project, std::string_view name) const;
  std::vector<std::shared_ptr<const LiveEndpoint>> live() const;
  virtual Capture& capture() = 0;

 protected:
  Runtime() : routes_(std::make_unique<const RouteSnapshot>()) {}
  Rcu<RouteSnapshot> routes_;
};

}  // namespace serve
