// Promotion and its mirror, rollback: prepare → one transaction → flip → answer.
//
//   begin   (transaction) the verdict passed and is about today's champion; the version is registered; a revision of
//           weight 0 is added
//   prepare the runtime tries the model in a child, loads and warms it; the baseline of the gate's rows is made
//   commit  (transaction) champion unchanged, else kConflict; alias, live revision, baseline, edges, audit line, event
//   refresh the snapshot is swapped; after the answer no request gets the old version
//
// After a crash before the commit nothing has changed but a registered version and an idle revision; after it the
// routes are rebuilt from the store. A repeated call for a verdict that was promoted answers that promotion. Thread:
// Promoter's calls block; use a worker thread (net/offload.h) from a loop.
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
  int64_t previous = 0;  // revision that was live before; 0: none
  std::string kind;      // promoted, rolled_back; canary: it got a share; withdrawn: its share was taken back
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
  // A share of the traffic instead of all of it, in hundredths of a percent. Unset: what lathe.yaml's `rollout` says,
  // its first step if there are any.
  std::optional<uint32_t> share;
  bool may_run_code = false;  // of whoever asks; loading a Python model does
};

// What a person, or the browser, asks of an endpoint's traffic.
struct TrafficRequest {
  std::string endpoint;
  serve::TrafficPlan plan;
  std::optional<int64_t> generation;  // that it was looked at; unset: whatever it is now
};

std::vector<Promotion> list_promotions(store::Tx& tx, std::string_view endpoint, size_t limit = 50);  // newest first

// A canary that got its share taken back: the line in the history, with its audit line.
base::Result<void> record_withdrawal(store::Tx& tx, std::string_view endpoint, int64_t revision, int64_t champion,
                                     std::string_view verdict);

// Of one model (and one version; 0: all), newest first.
std::vector<Promotion> promotions_of(store::Tx& tx, std::string_view model, int64_t version, size_t limit);

// What a promotion or a rollback would do now, and whether it may. Nothing is written.
struct ServingModel {
  int64_t revision = 0;  // 0: nothing
  std::string model;
  int64_t version = 0;
  std::string subject;  // as evaluations call it
};
struct ActPreview {
  std::string endpoint, environment, alias;
  ServingModel now;                  // gets the traffic
  ServingModel then;                 // would get it
  bool registers = false;            // `then` becomes a registered version with this act
  std::optional<Verdict> verdict;    // behind a promotion
  std::optional<Promotion> already;  // this verdict has been promoted
  Evaluation baseline;               // what monitoring would compare with; id "" : unchanged or none
  std::string refusal;               // why it may not; "": it may
};
base::Result<ActPreview> preview_promotion(store::Tx& tx, const PromoteRequest& request);
base::Result<ActPreview> preview_rollback(store::Tx& tx, std::string_view endpoint);

class Promoter {
 public:
  Promoter(store::Store& store, blob::BlobStore& blobs, serve::Runtime& runtime)
      : store_(store), blobs_(blobs), runtime_(runtime) {}

  base::Result<Promotion> promote(const base::Context& ctx, const PromoteRequest& request);
  // `expected_generation`: only if nobody changed the endpoint since; unset: whatever it is now.
  base::Result<Promotion> rollback(const base::Context& ctx, std::string_view endpoint,
                                   std::optional<int64_t> expected_generation = {});
  // Prepares the revisions that the plan names, divides the traffic in one transaction, and swaps the routes.
  base::Result<serve::Endpoint> divide(const base::Context& ctx, const TrafficRequest& request);

 private:
  struct Pending;
  static base::Result<Pending> begin(store::Tx& tx, const PromoteRequest& request);
  static base::Result<Promotion> commit(store::Tx& tx, const Pending& pending, const blob::BlobInfo& baseline);
  static base::Result<Promotion> commit_canary(store::Tx& tx, const Pending& pending);
  static Promotion record_judged(store::Tx& tx, const Pending& pending, std::string_view kind, int64_t previous);
  base::Result<blob::BlobInfo> make_baseline(const Pending& pending);

  store::Store& store_;
  blob::BlobStore& blobs_;
  serve::Runtime& runtime_;
};

}  // namespace loop
