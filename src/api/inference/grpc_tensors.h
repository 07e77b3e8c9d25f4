// Open Inference Protocol messages ↔ tensors. Thread: free functions; a request's strings are moved out of it.
#pragma once

#include "api/inference/oip_request.h"
#include "api/inference/outputs.h"
#include "grpc_service.pb.h"

namespace api::inference {

// Raw or typed contents, as the published definition says which type goes where.
// parameters.priority alone; 0: none.
uint64_t priority_in(const ::inference::ModelInferRequest& message);
base::Result<OipRequest> read_infer_request(::inference::ModelInferRequest& message);

// Outputs are raw, as Triton's are: tensors are moved into the message.
void write_infer_response(const serve::LiveEndpoint& endpoint, std::string_view id, std::vector<Output> outputs,
                          ::inference::ModelInferResponse& message);

}  // namespace api::inference
