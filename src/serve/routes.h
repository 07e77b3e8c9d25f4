// Routes: what is live, as the inference doors see it: one immutable snapshot, whoever feeds it. Two do: the store's
// endpoints (runtime.h) and a folder in Triton's layout (src/repository). An inference request reads the snapshot
// without a lock or a shared counter, runs on the thread that read it, and touches nothing else.
//
// Thread: pin() and route() from any loop; warm() and whatever changes routes from threads that may block.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/metrics.h"
#include "base/result.h"
#include "serve/bound_condition.h"
#include "serve/capture.h"
#include "serve/endpoint.h"
#include "serve/limiter.h"
#include "serve/mirror.h"
#include "serve/model.h"
#include "serve/rcu.h"

namespace inference {
class ModelConfig;  // Triton's, src/repository/proto
}

namespace serve {

struct LiveEndpoint;
struct LiveRules;
using LivePtr = std::shared_ptr<const LiveEndpoint>;

// How requests are divided; part of the snapshot.
struct LiveSplit {
  struct Part {
    uint32_t upto = 0;  // places below it, and not below the part before
    LivePtr target;     // null: the endpoint itself
  };
  std::vector<Part> parts;  // the live revision first; one without a share is reached by naming it
  std::string sticky;       // header, or ""
  uint64_t salt = 0;
};

// Which revision answers copies; of every revision that answers requests.
struct LiveShadow {
  LivePtr target;
  uint32_t share = kWholeShare;
};

// What a graph's step, a model's or a node's, has done since the server started; `path` as in GraphRoute.
struct StepMeters {
  std::string path;
  base::Counter* requests = nullptr;  // that came to it
  base::Counter* failures = nullptr;
  base::Counter* rows = nullptr;  // that it answered
  base::Histogram* seconds = nullptr;
};
StepMeters step_meters(std::string path, base::Registry& metrics, const base::Registry::Labels& labels);

// One revision of an endpoint that answers; the snapshot names the live one, its split the others.
struct LiveEndpoint {  // immutable; kept alive by the snapshot
  std::string name;
  std::string environment;
  int64_t project = 0;
  Revision revision;
  std::string version;                         // the model version as text, for answers
  std::string told_revision;                   // its number as text where traffic is divided, else ""
  std::shared_ptr<const Predictor> predictor;  // null: it is cold, or could not be loaded: see `problem`
  base::Error problem;
  bool cold = false;                 // known, not in memory: Routes::warm() loads it
  bool waits = false;                // the predictor's own word, or cold: never run on a loop
  bool graph = false;                // the predictor is a graph: it wants to know the request (Call)
  CaptureStream* capture = nullptr;  // null: nothing of it is captured
  base::Counter* requests = nullptr;
  base::Counter* failures = nullptr;  // answered with an error
  base::Counter* faults = nullptr;    // those of them that were not the client's
  base::Counter* rows = nullptr;
  base::Counter* refused = nullptr;  // not among the requests: there were too many, or it was too late
  base::Histogram* seconds = nullptr;
  std::shared_ptr<Limiter> limiter;                        // of its predictor; null without one
  size_t body_bytes = base::limits::kInferBody;            // of a request over REST
  std::shared_ptr<const ::inference::ModelConfig> config;  // null: made from the model, where it is asked for
  std::shared_ptr<std::atomic<int64_t>> used_us;           // last request; null: nobody wants to know
  std::shared_ptr<const LiveSplit> split;                  // null: all requests are this revision's
  std::shared_ptr<const LiveShadow> shadow;                // null: nothing is mirrored
  std::shared_ptr<const LiveRules> rules;                  // of all that answer for the endpoint; null: there are none

  struct Waiting {  // of a model that waits; null else. Published once a second.
    base::Gauge* workers = nullptr;
    base::Gauge* busy = nullptr;
    base::Gauge* waiting = nullptr;
    base::Gauge* crashed = nullptr;
    base::Gauge* executions = nullptr;
    base::Gauge* queue_us = nullptr;
    base::Gauge* least = nullptr;
    base::Gauge* most = nullptr;
    base::Gauge* started = nullptr;
    base::Gauge* waited = nullptr;
    base::Gauge* wait_us = nullptr;
  } waiting;
  std::vector<StepMeters> steps;  // of a graph

  bool ready() const { return predictor != nullptr || cold; }
  // What is wrong with it: it could not be loaded, or its workers fail; "" if nothing is.
  std::string trouble() const { return predictor ? predictor->model().trouble() : cold ? "" : problem.message; }
};

// All that is live, as one value.
struct RouteSnapshot {
  std::vector<LivePtr> endpoints;  // by (project, name), newest version first
  std::vector<LivePtr> defaults;   // at most one per project

  // By name within a project, or the default or only one for "": its newest version that can answer (if none can: the
  // newest), or the one asked for. Null if there is none.
  const LivePtr* find(int64_t project, std::string_view name, std::string_view version = {}) const;
  // All versions of a name, newest first.
  std::vector<LivePtr> versions(int64_t project, std::string_view name) const;
  void sort();
};

// Which revision of `endpoint` answers a request with this key (see LiveSplit). The answer lives as long as `endpoint`.
const LivePtr& choose(const LivePtr& endpoint, std::string_view key);
// The one with this number, among those that are loaded for requests; null if there is none.
const LivePtr* find_revision(const LivePtr& endpoint, int64_t number);
// The same by the model's version: the live revision, else the first other one.
const LivePtr* find_version(const LivePtr& endpoint, std::string_view version);

// Which requests go to which revision, whatever the weights. Where every rule is about headers, a request is sent on
// before it is read; else after, when its columns are known, and all of its rows must mean one revision.
struct LiveRules {
  struct Rule {
    BoundCondition when;
    std::weak_ptr<const LiveEndpoint> target;  // of the same snapshot; it holds the rules
    int64_t revision = 0;
  };
  std::vector<Rule> rules;
  std::vector<std::string> headers;  // that they read
  bool by_columns = false;
};
using HeaderSource = std::function<std::string_view(std::string_view)>;  // by a name in lower case
// The revision that a request's rows are sent to; null: as the weights say. `rows` null where no rule reads columns.
// kInvalid: rows that belong to several.
base::Result<LivePtr> ruled(const LiveRules& rules, const HeaderSource& header, const RawRows* rows);

// What Triton's clients and metrics are told of an endpoint since it is live.
struct EndpointStatistics {
  uint64_t rows = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;
  uint64_t ns = 0;          // of those that succeeded
  uint64_t executions = 0;  // of the model: fewer than requests where it is batched
  uint64_t queued = 0;      // all that succeeded, where nothing is batched: they waited for nothing
  uint64_t queue_ns = 0;    // that those waited together
  uint64_t waiting = 0;     // now
  std::vector<std::pair<size_t, uint64_t>> batches;  // rows in an execution → executions
  CacheStatistics cache;
};
EndpointStatistics statistics_of(const LiveEndpoint& endpoint);

// The limiter of a predictor, for as long as it is loaded.
std::shared_ptr<Limiter> make_limiter(const Predictor& predictor);
// The largest body of a request over REST: what its inputs take as text where their shapes are fixed, else kInferBody.
size_t body_limit(const Predictor& predictor);
// Puts the predictor behind the endpoint, with all that follows from it.
void set_predictor(LiveEndpoint& endpoint, std::shared_ptr<const Predictor> predictor, std::shared_ptr<Limiter> limiter,
                   base::Registry& metrics, const base::Registry::Labels& labels);
// The instruments of an endpoint, registered once for its labels.
void add_instruments(LiveEndpoint& endpoint, base::Registry& metrics, const base::Registry::Labels& labels);
// Those of a model that waits, and their values.
void add_waiting_instruments(LiveEndpoint& endpoint, base::Registry& metrics, const base::Registry::Labels& labels);
void publish_waiting(const LiveEndpoint& endpoint);
// Triton's names for the same numbers, as Prometheus text: nv_inference_….
void append_triton_metrics(std::string& out, const std::vector<LivePtr>& endpoints);

class Routes {
 public:
  virtual ~Routes() = default;

  // Hot path: the routes as they are now; gone before the thread's next co_await.
  using Pin = Rcu<RouteSnapshot>::Guard;
  Pin pin() const { return routes_.read(); }
  // For everybody else.
  LivePtr route(int64_t project, std::string_view name) const;
  std::vector<LivePtr> live() const { return pin()->endpoints; }
  std::vector<LivePtr> loaded() const;  // with the other parts of their traffic

  virtual Capture* recorder() { return nullptr; }  // of the endpoints' capture streams
  virtual Mirror* mirror() { return nullptr; }     // of endpoints with a shadow
  virtual bool ready() const;                      // whether the server as a whole can answer
  // Loads a cold endpoint, or waits for whoever does; the answer serves. Blocks until `deadline_mono_us` (0: as long as
  // it takes), then kDeadline.
  virtual base::Result<LivePtr> warm(const LiveEndpoint& cold, int64_t deadline_mono_us);

 protected:
  Routes() : routes_(std::make_unique<const RouteSnapshot>()) {}
  Rcu<RouteSnapshot> routes_;
};

}  // namespace serve
