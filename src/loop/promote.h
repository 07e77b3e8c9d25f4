// Promotion and its mirror, rollback: prepare → one transaction → flip → answer.
//
//   begin   (transaction) the verdict passed and is about today's champion; the version is registered; a revision of
//           weight 0 is added
//   prepare the runtime tries the model in a child, loads and warms it; the baseline of the gate's rows is made
//   commit  (transaction) champion unchanged, else kConflict; alias, live revision, baseline, edges, audit line, event
//   refresh the snapshot is swapped; after the answer no request gets the old version
//
// After a crash before the commit nothing has changed but a registered version and an idle revision; after it the routes
// are rebuilt from the store. A repeated call for a verdict that was promoted answers that promotion.
// Thread: Promoter's calls block; use a worker thread (net/offload.h) from a loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "blob/blob.h"
#include "loop/verdict.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace loop {

struct Promotion {
  std::string endpoint;
  int64_t revision = 0;
  int64_t previous = 0;   // revision that was live before; 0: none
  std::string kind;       // promoted, rolled_back
  std::string verdict;
  std::string model;
  int64_t version = 0;
  std::string actor;
  int64_t at_us = 0;
};

struct PromoteRequest {
  std::string verdict;      // either this one, to the endpoint it is about
  std::string pipeline;     // or what this pipeline's first environment serves (or its newest verdict) …
  std::string environment;  // … to this environment
};

std::vector<Promotion> list_promotions(store::Tx& tx, std::string_view endpoint, size_t limit = 50);  // newest first

class Promoter {
 public:
  Promoter(store::Store& store, blob::BlobStore& blobs, serve::Runtime& runtime) : store_(store), blobs_(blobs), runtime_(runtime) {}

  base::Result<Promotion> promote(const base::Context& ctx, const PromoteRequest& request);
  base::Result<Promotion> rollback(const base::Context& ctx, std::string_view endpoint);

 private:
  struct Pending;
  static base::Result<Pending> begin(store::Tx& tx, const PromoteRequest& request);
  static base::Result<Promotion> commit(store::Tx& tx, const Pending& pending, const blob::BlobInfo& baseline);
  base::Result<blob::BlobInfo> make_baseline(const Pending& pending);

  store::Store& store_;
  blob::BlobStore& blobs_;
  serve::Runtime& runtime_;
};

}  // namespace loop
