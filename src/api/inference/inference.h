// The inference door: every protocol that asks an endpoint for answers, each one small file over one core (core.h).
//   oip.cc      Open Inference Protocol v2 (KServe, Triton) with Triton's binary tensors and classification
//   v1.cc       KServe v1 and TensorFlow Serving :predict
//   scoring.cc  MLflow's and SageMaker's /invocations, /ping, /endpoints/NAME/invocations
#pragma once

#include <string>

#include "net/router.h"
#include "serve/runtime.h"

namespace api::inference {

// All outlive the routes. `version` is the server's own, for metadata.
void add_inference_routes(net::RouteTable& routes, net::ErrorWriters& errors, serve::Runtime& runtime, std::string version);

}  // namespace api::inference
