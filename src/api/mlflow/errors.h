// MLflow's words for our errors: {"error_code", "message"} and the status its client expects.
#pragma once

#include <string_view>

#include "base/result.h"
#include "net/http.h"
#include "net/router.h"

namespace api::mlflow {

inline constexpr std::string_view kSeeDocs = " See the API docs for more information about request parameters.";

// From a handler: a missing thing is RESOURCE_DOES_NOT_EXIST.
void fail(net::Response& response, const base::Error& error);
// From the server, before any handler: a missing thing is the route itself, ENDPOINT_NOT_FOUND, or the project.
void write_route_error(net::Response& response, const base::Error& error, std::string_view request_id);

}  // namespace api::mlflow
