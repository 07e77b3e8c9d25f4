// The serving runtime: routes.h fed from the store's endpoints, or from another source of them (source.h).
//
// prepare() → the promotion's transaction → refresh(): prepare tries the model in a child process of the same binary
// first (a crash in a model library never takes the server), then loads and warms it here. After refresh() has
// answered, no request that starts gets the old revision; a request keeps the snapshot it began with. A revision that
// is no longer live stays loaded for its bake time (rollback is then a swap), and is unloaded after it.
//
// With a memory budget an endpoint's model is loaded at its first request, once however many ask, and the least
// recently used one goes when the budget is full: revisions that are not live first. Revisions that share an endpoint's
// traffic stay.
//
// Thread: as in routes.h; prepare/refresh from worker threads (they block).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/fs.h"
#include "base/metrics.h"
#include "base/result.h"
#include "blob/blob.h"
#include "serve/routes.h"
#include "serve/source.h"
#include "store/store.h"

namespace serve {

class Runtime : public Routes {
 public:
  struct Options {
    base::Path dir;                           // materialised models and capture segments live under it
    base::Path self;                          // this binary, for trial children
    int64_t bake_us = 15 * 60 * 1'000'000LL;  // a revision that is not live stays loaded this long
    Capture::Options capture;
    std::vector<base::Path> python_roots;  // environments that models may name (python_environments.h)
    bool build_python = false;             // from their requirements.txt
    uint64_t memory_budget = 0;            // bytes of models in memory; 0: all stay
  };
  // Loads what the source says is live; an endpoint that cannot be loaded is there with its problem, and logged.
  static base::Result<std::unique_ptr<Runtime>> start(std::shared_ptr<Source> source, const Options& options,
                                                      base::Registry& metrics);
  static base::Result<std::unique_ptr<Runtime>> start(store::Store& store, blob::BlobStore& blobs,
                                                      const Options& options, base::Registry& metrics);
  static base::Result<std::unique_ptr<Runtime>> start(store::Store& store, blob::BlobStore& blobs,
                                                      const base::Path& dir, const base::Path& self,
                                                      base::Registry& metrics) {
    return start(store, blobs, Options{.dir = dir, .self = self}, metrics);
  }
  // Materialises, tries in a child, loads and warms revision `number`; kept loaded until retired. Blocks. Loading a
  // Python model runs its code: kForbidden if whoever asks may not, and it is not loaded yet.
  enum class Code : uint8_t { kMayNotRun, kMayRun };
  struct Prepared {
    bool runs_code = false;  // the model's own code answers requests
  };
  virtual base::Result<Prepared> prepare(int64_t project, std::string_view endpoint, int64_t number, Code right) = 0;
  // Rebuilds the snapshot from the source and swaps it. Blocks. Called after a promotion's commit and at start.
  virtual base::Result<void> refresh() = 0;

  virtual base::Result<Revision> revision_of(int64_t, std::string_view, int64_t) {
    return base::fail(base::Code::kUnsupported, "this runtime has no revisions in a store");
  }

  Capture* recorder() final { return &capture(); }
  virtual Capture& capture() = 0;

  // The files of a revision, laid out; they stay while the answer is held. For children that run it. Blocks.
  struct Files {
    base::Path folder, transform;
    base::Path interpreter;  // of a Python model; "": the server's
    std::shared_ptr<void> held;
  };
  virtual base::Result<Files> files_of(int64_t, const Revision&) {
    return base::fail(base::Code::kUnsupported, "this runtime lays no files out");
  }
};

}  // namespace serve
