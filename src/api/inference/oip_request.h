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

// What a request says of its turn, in Triton's words.
struct Wish {
  uint64_t priority = 0;    // 1 is the highest; 0: the model's default
  uint64_t timeout_us = 0;  // not to be run when its turn comes later; 0: whenever
  serve::Sequence sequence; // the conversation that it belongs to
};

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
  Wish wish;                    // parameters.priority, timeout and sequence_…
};

// `json_bytes`: how much of the body is JSON (Inference-Header-Content-Length); nullopt: all.
// net::Request::kBodyPadding bytes behind the body may be read.
// parameters.priority alone, of a body that nobody has parsed yet; 0: none.
uint64_t priority_in(std::string_view body, std::optional<size_t> json_bytes);
base::Result<OipRequest> parse_oip(std::string_view body, std::optional<size_t> json_bytes);

}  // namespace api::inference
