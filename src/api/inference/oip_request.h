// An Open Inference Protocol request: JSON, or JSON followed by raw tensors (Triton's binary extension). Parsed with
// simdjson on demand, straight into tensors. Thread: free functions; the parser is the thread's own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serve/tensor.h"

namespace api::inference {

struct OipRequest {
  struct Output {
    std::string name;
    std::optional<bool> binary;
    int64_t classes = 0;  // classification: the N highest as text; 0: the tensor itself
  };
  std::string id;
  std::vector<serve::Tensor> inputs;
  std::vector<Output> outputs;   // empty: all
  bool has_outputs = false;
  bool binary_outputs = false;   // parameters.binary_data_output
};

// `json_bytes`: how much of the body is JSON (Inference-Header-Content-Length); nullopt: all. The body may get a longer
// capacity: simdjson reads a few bytes past the end.
base::Result<OipRequest> parse_oip(std::string& body, std::optional<size_t> json_bytes);

}  // namespace api::inference
