// Bodies made of rows: KServe v1's and TensorFlow Serving's "instances" and "inputs", and pandas' shapes of MLflow.
// Thread: free functions.
#pragma once

#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "serve/model.h"

namespace api::inference {

// A list with one entry per row: rows of values, single values, or objects by input or column name.
base::Result<std::vector<serve::Tensor>> from_instances(const serve::Predictor& predictor, const base::json::value& instances);
// Whole tensors: one (nested lists) for the only input, or an object of them by input or column name.
base::Result<std::vector<serve::Tensor>> from_inputs(const serve::Predictor& predictor, const base::json::value& inputs);

}  // namespace api::inference
