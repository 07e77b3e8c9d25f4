// Endpoints and revisions: an address, and one immutable set of (model version, options) behind it. Rows only; the
// runtime that serves them is serve/runtime.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/capture.h"
#include "serve/serving.h"
#include "serve/split.h"
#include "store/tx.h"

namespace serve {

struct GraphStep;  // graph.h

struct Revision {
  std::string endpoint;
  int64_t number = 0;  // 1, 2, … within the endpoint
  std::string model_name;
  int64_t model_version = 0;
  std::string artifact_root;     // where the model's files are
  std::string transform_digest;  // blob of transform.json, or ""
  int64_t created_us = 0;
  std::string graph;  // JSON of serve::Graph: then it has no files, its model is the graph, its version its number
};

// A model version that a graph names, as a revision of its own: number 0 of no endpoint, whose names hold no ':'.
Revision pinned_revision(const GraphStep& step);

struct Endpoint {
  std::string name;
  std::string environment;        // "production", "staging"
  bool is_default = false;        // answers the single-model routes
  int64_t live_revision = 0;      // 0: nothing deployed yet
  int64_t previous_revision = 0;  // rollback's target
  int64_t generation = 0;         // +1 at each flip: the snapshot's fence
  CaptureRule capture;
  TrafficPlan traffic;
  ServingSettings serving;  // over what the model says of itself
};

struct NewRevision {
  std::string endpoint;
  std::string model_name;
  int64_t model_version = 0;
  std::string artifact_root;
  std::string transform_digest;
  std::string graph;
};

struct Deployment {  // an endpoint with what is live behind it
  int64_t project = 0;
  std::string project_name;
  Endpoint endpoint;
  Revision live;
  std::vector<Revision> others;  // with a part of the traffic plan, or the shadow; by number
};

// A deployment as a data plane is told of it; every column that says how an endpoint answers belongs here.
std::string to_json(const Deployment& deployment);
base::Result<Deployment> deployment_of_json(std::string_view text);

// Made if absent; an existing one moves to `environment`. Names: letters, digits, '.', '_', '-'; at most 100
// characters.
base::Result<Endpoint> ensure_endpoint(store::Tx& tx, std::string_view name, std::string_view environment);
// In force for new requests once the runtime has refreshed. Event "endpoint.changed", if it is another.
base::Result<void> set_capture_rule(store::Tx& tx, std::string_view endpoint, const CaptureRule& rule);
// The same of how its model is run.
base::Result<void> set_serving(store::Tx& tx, std::string_view endpoint, const ServingSettings& settings);
base::Result<void> set_default_endpoint(store::Tx& tx, std::string_view name);  // the only default of the project
base::Result<Endpoint> get_endpoint(store::Tx& tx, std::string_view name);
std::vector<Endpoint> list_endpoints(store::Tx& tx);
// Not live yet. The blobs of the model's files and of its transform are held for the revision; of a graph, those of
// the model versions it names.
base::Result<Revision> add_revision(store::Tx& tx, const NewRevision& revision);
base::Result<Revision> get_revision(store::Tx& tx, std::string_view endpoint, int64_t number);
std::vector<Revision> list_revisions(store::Tx& tx, std::string_view endpoint);
std::vector<Deployment> list_deployments(store::Tx& tx);  // of all projects; endpoints that serve something
// Divides the traffic: what `plan` says (split.h), generation + 1, an edge for each revision that begins to answer,
// audit line, event "endpoint.traffic". `expected_generation` is what the caller looked at: kConflict if the endpoint
// changed since. The caller has prepared the revisions.
base::Result<Endpoint> set_traffic(store::Tx& tx, std::string_view endpoint, const TrafficPlan& plan,
                                   int64_t expected_generation);
// The header that keeps a client on one revision, whatever the weights; "": none. Event "endpoint.changed", if another.
base::Result<void> set_sticky(store::Tx& tx, std::string_view endpoint, std::string_view header);
// The flip, which ends a division of the traffic (the sticky header stays): live = number, previous = what was live,
// generation + 1, edge version → revision, event "endpoint.promoted" (or "endpoint.rolled_back"). `expected_live` is
// what the caller judged against: kConflict if it moved.
base::Result<Endpoint> set_live(store::Tx& tx, std::string_view endpoint, int64_t number, int64_t expected_live,
                                bool rollback);

}  // namespace serve
