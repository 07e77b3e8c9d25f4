// An Open Inference Protocol request: JSON, or JSON followed by raw tensors (Triton's binary extension). Parsed with
// simdjson on demand, straight into tensors. Thread: free functions; the parser is the thread's own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serve/model.h"
#include "serve/tensor.h"

namespace api::inference {

// Where a tensor lies: in a region that was registered before (shared_memory.h). No name: in the message.
struct SharedPart {
  std::string region;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
// All of a part or none of it was told; an error says what is missing.
base::Result<SharedPart> make_part(std::optional<std::string> region, std::optional<uint64_t> offset,
                                   std::optional<uint64_t> bytes);

struct OipRequest {
  struct Output {
    std::string name;
    std::optional<bool> binary;
    int64_t classes = 0;  // classification: the N highest as text; 0: the tensor itself
    SharedPart shared;
  };
  std::string id;
  std::vector<serve::Tensor> inputs;
  std::vector<SharedPart> shared_inputs;  // empty, or one for each input: their tensors are still to be read
  std::vector<Output> outputs;            // empty: all
  bool has_outputs = false;
  bool binary_outputs = false;  // parameters.binary_data_output
  uint64_t timeout_us = 0;      // parameters.timeout; 0: none
  serve::Sequence sequence;     // parameters.sequence_id, sequence_start, sequence_end
};

// `json_bytes`: how much of the body is JSON (Inference-Header-Content-Length); nullopt: all.
// net::Request::kBodyPadding bytes behind the body may be read.
base::Result<OipRequest> parse_oip(std::string_view body, std::optional<size_t> json_bytes);

}  // namespace api::inference
