// What the inference protocols share: finding the endpoint, running the rows, counting, capturing, and the headers of
// an answer. Everything between the request's last byte and its answer happens in one go on the loop that read it.
// Where the endpoint's model waits (serve::Predictor::waits), find_target() fails on a loop and asks for another
// thread; the wrappers of handlers (with_body, without_body, unary) then run the same handler once more on one that may
// wait. So a handler is a plain synchronous function, and does nothing that shows before find_target().
//
// Overload: a request for another thread enters its endpoint's serve::Limiter first, or is refused. Those that run on
// the loop are refused (by find_target) when they come up later than kRoundUs in their loop's round: all that is ready
// at a time is one round, so whoever waits, a health check among them, waits for two rounds at most. As
// CoDel does, this looks at the time that a request waited, not at how many wait (Nichols and Jacobson, Controlling
// Queue Delay, ACM Queue 2012). Models that answer as fast as a refusal is written are not refused.
//
// Thread: any loop or waiting thread; functions that take a pinned endpoint must not suspend.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/inference/oip_request.h"
#include "base/limits.h"
#include "net/lanes.h"
#include "net/router.h"
#include "repository/control.h"
#include "serve/outlier.h"
#include "serve/routes.h"

namespace api::inference {

inline constexpr int64_t kRoundUs = 100'000;    // of a loop's round, for inference; what comes up later in it: 503
inline constexpr int64_t kRefusalPaysUs = 100;  // a quicker model answers as fast as a refusal is written
inline constexpr size_t kRowsBody =
    16 * base::limits::kMiB;  // JSON rows and CSV: their parsed form is several times larger

class SharedRegions;  // shared_memory.h

struct Door {  // kept by its handlers
  serve::Routes& runtime;
  net::ErrorWriters& errors;
  std::string version;                                                 // the server's own
  repository::ModelControl* control = nullptr;                         // null: what is served changes by promotion
  serve::ProfileSource profiles;                                       // blocks; may be empty
  std::shared_ptr<net::Lanes> lanes = std::make_shared<net::Lanes>();  // for models that wait; one lane an endpoint
  std::shared_ptr<SharedRegions> regions;
};
using DoorPtr = std::shared_ptr<const Door>;

// The endpoint that a request means, pinned on a loop, held on other threads. `name` "" is the default or only one;
// `version` "" is what is live. kLong: too much work for a loop, whatever the model. kDescribe: nothing will be run,
// but the model must be in memory. kLook: nor that, so nothing has to be waited for. Which revision is meant: the one
// that X-Lathe-Revision or X-Amzn-SageMaker-Target-Variant numbers, one of `version`, else the live one, or (kRun,
// kLong) one of those that traffic is divided among, by the sticky header or the request's id.
enum class Purpose : uint8_t { kRun, kLong, kDescribe, kLook };
struct Target {
  std::optional<serve::Routes::Pin> pin;
  std::shared_ptr<const serve::LiveEndpoint> held;
  const serve::LiveEndpoint* endpoint = nullptr;
};
base::Result<Target> find_target(const Door& door, const net::Request& request, std::string_view name,
                                 std::string_view version, Purpose purpose = Purpose::kRun);
bool has_detour();
void set_detour_priority(uint64_t priority);
// After find_target() has asked for another thread: the place in its queue that the request wishes for. `priority` is
// asked only then.
template <class F>
void order_detour(F priority) {
  if (has_detour()) set_detour_priority(priority());
}

// For handlers that wait themselves: fails on a loop and asks for a thread that may, as find_target() does.
// A lane is an endpoint's, or a repository's model's (project 0).
base::Result<void> step_aside(std::string_view name, int64_t project = 0);

// Did find_target() on this thread refuse because the handler must run where it may wait? Where; asked once by the
// wrapper that called the handler.
struct Detour {
  net::Lanes::Place place;
  std::shared_ptr<serve::Limiter> limiter;  // null: of a cold model, or of no model
  base::Counter* refused = nullptr;         // beside it; lives as long as the server
  uint32_t priority_levels = 0;             // 0: any
};
std::optional<Detour> take_detour();
// Runs `work` on a waiting thread, unless too many are before it, or the request's time is over or its client gone by
// then.
base::Task<base::Result<void>> run_in_lane(const Door& door, Detour detour, const net::Request& request,
                                           std::function<base::Result<void>()> work);

struct Answer {
  std::vector<serve::Tensor> outputs;
  serve::Prediction prediction;
  std::string shown;  // as JSON, where the outputs do not say all of it; only of models that wait
  std::string route;  // of a graph: the way it took
  base::Uuid id;      // of the prediction, as capture knows it
  serve::LivePtr by;  // who answered, where a rule of the traffic chose another than find_target() did

  const serve::LiveEndpoint& answered(const serve::LiveEndpoint& found) const { return by ? *by : found; }
};

// kUnavailable if more time has passed since the request came than its own timeout (0: none), as Triton answers.
base::Result<void> check_timeout(const net::Request& request, uint64_t timeout_us);

// A client that sends this header (any value but "0") gets it back with a number: how far outside of what the model was
// judged on the request's most unusual value lies (serve/outlier.h). Asking costs a thread of those that may wait.
inline constexpr std::string_view kOutlierHeader = "X-Lathe-Outlier-Score";

// Runs the tensors, captures rows and answers, counts, and sets X-Lathe-Prediction-Id and X-Lathe-Model-Version.
// `params` is a JSON object for the model's predict(), `wish` what the request says of its turn.
// `client_id` is the request's own id; "" falls back to X-Amzn-SageMaker-Inference-Id and X-Request-Id.
base::Result<Answer> run(const Door& door, const serve::LiveEndpoint& endpoint, std::span<const serve::Tensor> inputs,
                         const net::Request& request, std::string_view client_id, net::Response& response,
                         std::string params = {}, const Wish& wish = {});

// Whether every endpoint can answer.
bool all_ready(const Door& door);

// All versions of an endpoint that are served, oldest first.
std::vector<std::string> versions_of(const Door& door, const serve::LiveEndpoint& endpoint);

// For Triton's repository index over REST and gRPC: of the repository, or the endpoints of the request's project.
std::vector<repository::ModelState> index_of(const Door& door, const net::Request& request, bool ready_only);
// Blocks, once it has stepped aside.
base::Result<void> load_model(const Door& door, std::string_view name, const std::optional<std::string>& config_json);
base::Result<void> unload_model(const Door& door, std::string_view name, bool dependents);

// Of the server's metadata, over REST and gRPC alike.
inline constexpr std::string_view kExtensions[] = {"binary_tensor_data", "classification", "model_configuration",
                                                   "model_repository",   "statistics",     "system_shared_memory"};
// Models are served by promotion: to clients this is Triton with --model-control-mode=none.
inline constexpr std::string_view kNoExplicitLoad =
    "explicit model load and unload is not allowed here: what is served changes by promotion and rollback";

inline constexpr size_t kControlBody = 2 * base::limits::kMiB;  // of a load: with a configuration, without files
inline constexpr int64_t kControlUs = 600'000'000;              // a large model takes its time
// A parameter of a load or unload that is not taken; files of models are not taken over the network.
base::Error refused_parameter(std::string_view name);

// Counts a request that never came as far as run().
void count_failure(const serve::LiveEndpoint& endpoint);

// A handler that has the whole body (and net::Request::kBodyPadding bytes behind it), and answers without suspending;
// its error is written in the protocol's words.
using BodyHandler =
    std::function<base::Result<void>(const Door&, net::Request&, net::Response&, std::string_view body)>;
net::Handler with_body(DoorPtr door, net::Protocol protocol, BodyHandler handler,
                       size_t unpacked_bytes = kRowsBody);  // of a compressed body
// Sends, compressed if the client asked for it and the body is worth it.
void send_packed(const net::Request& request, net::Response& response, std::string_view type, std::string body);
using PlainHandler = std::function<base::Result<void>(const Door&, net::Request&, net::Response&)>;
net::Handler without_body(DoorPtr door, net::Protocol protocol, PlainHandler handler);

// Appends the elements of a tensor as JSON: flat, or nested by its shape.
void append_flat(std::string& out, const serve::Tensor& tensor);
void append_nested(std::string& out, const serve::Tensor& tensor);
// One list of what the model predicts, as its users know it: labels or values if it has them, else its outputs.
void append_predictions(std::string& out, const Answer& answer);

// The protocols' files.
void add_oip_routes(net::RouteTable& routes, const DoorPtr& door);
void add_triton_routes(net::RouteTable& routes, const DoorPtr& door);
void add_explain_routes(net::RouteTable& routes, const DoorPtr& door);
void add_v1_routes(net::RouteTable& routes, const DoorPtr& door);
void add_tfserving_routes(net::RouteTable& routes, const DoorPtr& door);
void add_scoring_routes(net::RouteTable& routes, const DoorPtr& door);
void add_sagemaker_routes(net::RouteTable& routes, const DoorPtr& door);
void add_seldon_routes(net::RouteTable& routes, const DoorPtr& door);
void add_bento_routes(net::RouteTable& routes, const DoorPtr& door);
// SageMaker's /models of containers: of a repository only.
void add_container_routes(net::RouteTable& routes, const DoorPtr& door);
void add_grpc_routes(net::RouteTable& routes, net::ErrorWriters& errors, const DoorPtr& door);

}  // namespace api::inference
