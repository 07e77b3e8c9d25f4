// TensorFlow Serving's words, over REST and gRPC alike: signatures, labels and types. Thread: free functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/inference/core.h"

namespace api::inference {

inline constexpr std::string_view kSignature = "serving_default";  // the only one that a model has here
inline constexpr std::string_view kPredictMethod = "tensorflow/serving/predict";

base::Result<void> check_signature(std::string_view name);  // "" is the default
// The endpoint that the route's {model}, {version} and {label} mean.
base::Result<Target> find_labelled(const Door& door, const net::Request& request, Purpose purpose = Purpose::kRun);
// A label is the name of the endpoint's environment ("production"), or "live": there is one version of each.
base::Result<void> check_label(const serve::LiveEndpoint& endpoint, std::string_view label);

int tensorflow_type(serve::DataType type);                    // DT_FLOAT = 1 …
std::string_view tensorflow_type_name(serve::DataType type);  // "DT_FLOAT"

// The row format: the only output's rows, or objects by output name. Fails if an output has no rows.
base::Result<void> append_rows(std::string& out, const std::vector<serve::Tensor>& outputs);

}  // namespace api::inference
