// Api: how a command talks to its server. Finds it (--server, LATHE_SERVER, else the nearest .lathe/address upward), sends
// LATHE_TOKEN as bearer token if it is set, and turns whatever goes wrong into a Failure with the right exit code.
//
//   cli::Api api(common);
//   auto answer = api.get("/pipelines/" + net::percent_encode(name));   // paths are below /api/lathe/v1
//   print(answer.at("name").as_string());
//
// Thread: one.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "cli/command.h"
#include "net/client.h"

namespace boost::json {
class value;  // base/json.h in .cc files
}

namespace cli {

class Api {
 public:
  explicit Api(const Common& common);

  const std::string& server() const { return server_; }  // "http://127.0.0.1:8000"

  // JSON calls; a status of 400 or more is a Failure that carries the server's own message.
  boost::json::value get(std::string_view path);
  boost::json::value post(std::string_view path, const boost::json::value& body);

  // Anything else: `path` begins with '/' and is below /api/lathe/v1, or is a whole path when `absolute`.
  net::ClientResponse call(net::ClientRequest request, std::string_view path, bool absolute = false);
  // Streams an answer; false from `sink` stops.
  void stream(std::string_view path, const std::function<bool(std::string_view)>& sink);
  // Like call, but answers a status of 400 and more too (to look at it).
  net::ClientResponse try_call(net::ClientRequest request, std::string_view path, bool absolute = false);

 private:
  void prepare(net::ClientRequest& request, std::string_view path, bool absolute) const;

  std::string server_;
  net::Client client_;
};

// The server's address, or a Failure that says where it was looked for.
std::string find_server(const Common& common);

}  // namespace cli
