// MLflow's scoring requests, as SageMaker's runtime (sagemaker.cc) shares their route. Thread: free functions.
#pragma once

#include "api/inference/core.h"

namespace api::inference {

// What a Content-Type says, or does not: MLflow takes JSON and CSV in UTF-8 and no other parameter.
struct MediaType {
  std::string type;     // lower case, without parameters
  std::string header;   // CSV's own parameter of RFC 4180: "present", "absent" or ""
  std::string problem;  // why it is none that MLflow takes
};
MediaType read_media_type(std::string_view content_type);

// Answers MLflow's /invocations for the endpoint `name` ("": the default or only one).
base::Result<void> answer_scoring(const Door& door, std::string_view name, net::Request& request,
                                  net::Response& response, std::string_view body);

// InvokeEndpoint of SageMaker's runtime: told by the signature that only its clients send.
bool is_sagemaker(const net::Request& request);
base::Result<void> answer_sagemaker(const Door& door, net::Request& request, net::Response& response,
                                    std::string_view body);

}  // namespace api::inference
