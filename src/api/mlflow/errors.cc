#include "api/mlflow/errors.h"

#include "base/json_writer.h"

namespace api::mlflow {

namespace {

std::string_view error_code(base::Code code) {
  switch (code) {
    case base::Code::kInvalid:
    case base::Code::kTooLarge: return "INVALID_PARAMETER_VALUE";
    case base::Code::kUnauthenticated: return "UNAUTHENTICATED";
    case base::Code::kForbidden: return "PERMISSION_DENIED";
    case base::Code::kNotFound: return "RESOURCE_DOES_NOT_EXIST";
    case base::Code::kConflict: return "RESOURCE_CONFLICT";
    case base::Code::kAlreadyExists: return "RESOURCE_ALREADY_EXISTS";
    case base::Code::kTooMany: return "REQUEST_LIMIT_EXCEEDED";
    case base::Code::kUnsupported: return "NOT_IMPLEMENTED";
    case base::Code::kUnavailable: return "TEMPORARILY_UNAVAILABLE";
    case base::Code::kDeadline: return "DEADLINE_EXCEEDED";
    case base::Code::kCancelled: return "CANCELLED";
    case base::Code::kInternal: return "INTERNAL_ERROR";
  }
  return "INTERNAL_ERROR";
}

void write(net::Response& response, std::string_view code, std::string_view message, int status) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("error_code", code).field("message", message).end_object();
  response.send_json(std::move(body), status);
}

}  // namespace

void fail(net::Response& response, const base::Error& error) {
  // A name that is taken is 400 in MLflow, where the rest of the world says 409.
  const int status = error.code == base::Code::kAlreadyExists ? 400 : net::http_status(error.code);
  write(response, error_code(error.code), error.message, status);
}

void write_route_error(net::Response& response, const base::Error& error, std::string_view) {
  if (error.message.starts_with(net::kNothingServed)) return write(response, "ENDPOINT_NOT_FOUND", error.message, 404);
  fail(response, error);
}

}  // namespace api::mlflow
