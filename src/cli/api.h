// Api: how a command talks to its server. Finds it (--server, LATHE_SERVER, else the nearest .lathe/address upward),
// sends LATHE_TOKEN, or what `lathe login` kept for it, as bearer token, and turns whatever goes wrong into a Failure
// with the right exit code.
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
class object;  // base/json.h in .cc files
class value;
}  // namespace boost::json

namespace cli {

class Api {
 public:
  explicit Api(const Common& common);

  const std::string& server() const { return server_; }  // "http://127.0.0.1:8000"

  // JSON calls; a status of 400 or more is a Failure that carries the server's own message.
  boost::json::value get(std::string_view path);
  boost::json::value patch(std::string_view path, const boost::json::value& body);
  boost::json::value post(std::string_view path, const boost::json::value& body);

  // JSON as text; waits five minutes: a large model is loaded and tried.
  boost::json::value send_slowly(const char* method, std::string_view path, std::string body);

  void use_password(std::string_view user, std::string_view password);  // instead of a token, from now on

  // Anything else: `path` begins with '/' and is below /api/lathe/v1, or is a whole path when `absolute`.
  net::ClientResponse call(net::ClientRequest request, std::string_view path, bool absolute = false);
  // Streams an answer; false from `sink` stops.
  void stream(std::string_view path, const std::function<bool(std::string_view)>& sink);
  // Like call, but answers a status of 400 and more too (to look at it).
  net::ClientResponse try_call(net::ClientRequest request, std::string_view path, bool absolute = false);

 private:
  void prepare(net::ClientRequest& request, std::string_view path, bool absolute) const;

  boost::json::value send(const char* method, std::string_view path, const boost::json::value& body);

  std::string server_;
  std::string project_;
  std::string authorization_;
  net::Client client_;
};

// A text of an answer; "" without it.
std::string text_of(const boost::json::object& from, std::string_view key);

// The server's address, or a Failure that says where it was looked for.
std::string find_server(const Common& common);
// Whether one was named, or answers for the nearest folder: else what a command needs may be done on the store itself.
bool has_server(const Common& common);

}  // namespace cli
