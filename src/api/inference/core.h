// What the inference protocols share: finding the endpoint, running the rows, counting, capturing, and the headers of an
// answer. Everything between the request's last byte and its answer happens in one go on the loop that read it.
//
// Thread: any loop; functions that take a pinned endpoint must not suspend.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "net/router.h"
#include "serve/runtime.h"

namespace api::inference {

inline constexpr size_t kRowsBody = 16 * base::limits::kMiB;  // JSON rows and CSV: their parsed form is several times larger

struct Door {  // kept by its handlers
  serve::Runtime& runtime;
  net::ErrorWriters& errors;
  std::string version;  // the server's own
};
using DoorPtr = std::shared_ptr<const Door>;

// The endpoint that a request means, pinned. `name` "" is the default or only one; `version` "" is what is live.
struct Target {
  serve::Runtime::Pin pin;
  const serve::LiveEndpoint* endpoint = nullptr;
};
base::Result<Target> find_target(const Door& door, const net::Request& request, std::string_view name, std::string_view version);

struct Answer {
  std::vector<serve::Tensor> outputs;
  serve::Prediction prediction;
};

// Runs the tensors, captures rows and answers, counts, and sets X-Lathe-Prediction-Id and X-Lathe-Model-Version.
// `client_id` is the request's own id; "" falls back to X-Amzn-SageMaker-Inference-Id and X-Request-Id.
base::Result<Answer> run(const Door& door, const serve::LiveEndpoint& endpoint, std::span<const serve::Tensor> inputs,
                         const net::Request& request, std::string_view client_id, net::Response& response);

// Counts a request that never came as far as run().
void count_failure(const serve::LiveEndpoint& endpoint);

// A handler that reads the whole body, then answers without suspending; its error is written in the protocol's words.
using BodyHandler = std::function<base::Result<void>(const Door&, net::Request&, net::Response&, std::string& body)>;
net::Handler with_body(DoorPtr door, net::Protocol protocol, BodyHandler handler);
using PlainHandler = std::function<base::Result<void>(const Door&, net::Request&, net::Response&)>;
net::Handler without_body(DoorPtr door, net::Protocol protocol, PlainHandler handler);

// Appends the elements of a tensor as JSON: flat, or nested by its shape.
void append_flat(std::string& out, const serve::Tensor& tensor);
void append_nested(std::string& out, const serve::Tensor& tensor);
// One list of what the model predicts, as its users know it: labels or values if it has them, else its outputs.
void append_predictions(std::string& out, const Answer& answer);

// The protocols' files.
void add_oip_routes(net::RouteTable& routes, const DoorPtr& door);
void add_v1_routes(net::RouteTable& routes, const DoorPtr& door);
void add_scoring_routes(net::RouteTable& routes, const DoorPtr& door);

}  // namespace api::inference
