// Our own error body: {"error": {"code", "message", "request_id"}}; the status comes from the code.
#pragma once

#include "base/json_writer.h"
#include "net/http.h"

namespace api::lathe {

inline void fail(net::Response& response, const net::Request& request, const base::Error& error) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("error").begin_object();
  json.field("code", base::name(error.code))
      .field("message", error.message)
      .field("request_id", request.ctx.request_id);
  json.end_object().end_object();
  response.send_json(std::move(body), net::http_status(error.code));
}

}  // namespace api::lathe
