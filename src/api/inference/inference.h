// The inference door: every protocol that asks an endpoint for answers, each one small file over one core (core.h).
//   oip.cc      Open Inference Protocol v2 (KServe, Triton) with Triton's binary tensors and classification
//   v1.cc, tfserving.cc  KServe v1 and TensorFlow Serving
//   grpc_inference.cc, grpc_tfserving.cc, grpc_health.cc, grpc_reflection.cc  the same over gRPC (grpc.h)
//   explain.cc  KServe v1 :explain
//   scoring.cc, sagemaker.cc  MLflow's and SageMaker's /invocations, /ping, /endpoints/NAME/invocations
//   seldon.cc, bento.cc  Seldon v1 and BentoML
#pragma once

#include <string>

#include "net/router.h"
#include "repository/control.h"
#include "serve/outlier.h"
#include "serve/routes.h"

namespace api::inference {

struct Extras {
  repository::ModelControl* control = nullptr;  // of a repository; null: what is served changes by promotion
  serve::ProfileSource profiles;                // for explanations and outlier scores; may be empty
};
// All outlive the routes. `version` is the server's own, for metadata.
void add_inference_routes(net::RouteTable& routes, net::ErrorWriters& errors, serve::Routes& runtime,
                          std::string version, Extras extras = {});

}  // namespace api::inference
