// The serving runtime: loaded predictors behind an immutable snapshot of the routes. An inference request reads the
// snapshot with one atomic load, runs on the thread that read it, and takes no lock and touches no store.
//
// prepare() → the promotion's transaction → refresh(): prepare tries the model in a child process of the same binary
// first (a crash in a model library never takes the server), then loads and warms it here. After refresh() has
// answered, no request that starts gets the old revision; a request keeps the snapshot it began with.
//
// Thread: route() and the hot path from any loop; prepare/refresh from worker threads (they block).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/metrics.h"
#include "base/result.h"
#include "blob/blob.h"
#include "serve/endpoint.h"
#include "serve/model.h"
#include "store/store.h"

namespace serve {

class Capture;  // serve/capture.h

struct LiveEndpoint {            // immutable; kept alive by the snapshot
  std::string name;
  int64_t project = 0;
  Revision revision;
  std::shared_ptr<const Predictor> predictor;
  uint32_t capture_key = 0;      // names (project, endpoint, revision) inside capture records
};

class Runtime {
 public:
  // `dir`: folders of materialised models and capture segments live under it. `self`: this binary, for trial children.
  static base::Result<std::unique_ptr<Runtime>> start(store::Store& store, blob::BlobStore& blobs, const base::Path& dir,
                                                      const base::Path& self, base::Registry& metrics);
  virtual ~Runtime() = default;

  // Materialises, tries in a child, loads and warms revision `number`; kept loaded until retired. Blocks.
  virtual base::Result<void> prepare(int64_t project, std::string_view endpoint, int64_t number) = 0;
  // Rebuilds the snapshot from the store and swaps it. Blocks. Called after a promotion's commit and at start.
  virtual base::Result<void> refresh() = 0;

  // Hot path: the live endpoint by name within a project, or the default one for "". Null if there is none.
  virtual std::shared_ptr<const LiveEndpoint> route(int64_t project, std::string_view name) const = 0;
  virtual std::vector<std::shared_ptr<const LiveEndpoint>> live() const = 0;
  virtual Capture& capture() = 0;
};

}  // namespace serve
