// Bodies made of rows: KServe v1's and TensorFlow Serving's "instances" and "inputs", pandas' shapes of MLflow, CSV.
// Thread: free functions.
#pragma once

#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "serve/model.h"

namespace api::inference {

// A list with one entry per row: rows of values, single values, or objects by input or column name.
base::Result<std::vector<serve::Tensor>> from_instances(const serve::Predictor& predictor,
                                                        const base::json::value& instances);
// Whole tensors: one (nested lists) for the only input, or an object of them by input or column name.
base::Result<std::vector<serve::Tensor>> from_inputs(const serve::Predictor& predictor,
                                                     const base::json::value& inputs);
// MLflow's scoring body: exactly one of dataframe_split, dataframe_records, instances and inputs; and params, if any,
// as an object (the models here take none, as MLflow's own without a params schema do not).
base::Result<std::vector<serve::Tensor>> from_scoring(const serve::Predictor& predictor,
                                                      const base::json::object& body);
// CSV whose first line names the columns, or (`with_header` false) whose columns are the model's, in order.
base::Result<std::vector<serve::Tensor>> from_csv(const serve::Predictor& predictor, std::string_view text,
                                                  bool with_header = true);

}  // namespace api::inference
