// What the answer to a tensor request is made of, whichever wire carries it: the outputs asked for, Triton's
// classification, raw bytes. Thread: free functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/inference/core.h"
#include "api/inference/oip_request.h"

namespace api::inference {

// Before the model runs: are all outputs that the request names there?
base::Result<void> check_outputs(const serve::LiveEndpoint& endpoint, const OipRequest& wanted);

// The outputs asked for, in that order and classified where it was asked; all of them if none was named. Moves tensors
// out of the answer.
struct Output {
  serve::Tensor tensor;
  bool binary = false;
  SharedPart shared;  // where it is to be written, if anywhere
};
base::Result<std::vector<Output>> take_outputs(const serve::LiveEndpoint& endpoint, const OipRequest& wanted,
                                               Answer& answer);

// Dense little-endian elements; of BYTES each a 4-byte length and its bytes.
void append_raw(std::string& out, const serve::Tensor& tensor);
size_t raw_size(const serve::Tensor& tensor);
// The other way round; errors name the input and what its shape needs. `tensor` has name, type and shape.
base::Result<void> set_raw(serve::Tensor& tensor, std::string_view bytes);
base::Result<void> adopt_raw(serve::Tensor& tensor, std::string& bytes);  // takes the string, if it can

}  // namespace api::inference
