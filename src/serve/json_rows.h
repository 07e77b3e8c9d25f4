// Rows and tensors out of JSON values, as inference protocols and MLflow's example files write them. Errors say where.
// Include in .cc files only (base/json.h is heavy). Thread: free functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "serve/tensor.h"
#include "stats/table.h"

namespace serve {

// Nested lists as a tensor of `info`'s name and type; its shape is what the lists have. Numbers, true/false, text or
// {"b64": …} for BYTES; null, "NaN", "Infinity", "-Infinity" are numbers of the floating types.
base::Result<Tensor> tensor_from_json(const base::json::value& value, const TensorInfo& info);

// {"columns": […], "data": [[…]]}, as pandas' split orientation; without columns they are numbered.
base::Result<stats::Table> table_from_split(const base::json::object& split);
// [{"a": 1, "b": "x"}, …]: columns in the order of their first appearance; an absent field is missing.
base::Result<stats::Table> table_from_records(const base::json::array& records);
// {"a": [1, 2], "b": ["x", "y"]}
base::Result<stats::Table> table_from_columns(const base::json::object& columns);

}  // namespace serve
