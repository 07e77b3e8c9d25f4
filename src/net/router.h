// The route table: data, printable, testable. A route is (method, pattern, protocol, permission, limits, handler).
// Which protocol a path belongs to is one table of prefixes (protocol_of), so that a path nobody serves is refused in
// the words of the protocol that its client speaks.
//
// Patterns: literal segments and {name} for one segment, {name...} for the rest (last only), "{name}:predict" for a
// suffix. Literals win over captures. Thread: built at start-up, then immutable and read by all loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "net/http.h"

namespace net {

enum class Protocol : uint8_t { kLathe, kMlflow, kMlflowText, kAirflow, kInference, kKserveV1, kMlflowScoring,
                                kSeldon, kHub, kPage, kOps };

std::string_view name(Protocol protocol);            // "lathe", "mlflow", …
std::string_view name(base::Permission permission);  // "none", "read", …

struct RouteLimits {
  size_t body_bytes = base::limits::kSmallBody;
  int64_t deadline_us = base::limits::kRequestUs;  // 0: none (streams)
};

struct Route {
  Method method;
  std::string pattern;
  Protocol protocol;
  base::Permission permission;
  RouteLimits limits;
  Handler handler;
};

class RouteTable {
 public:
  RouteTable();
  ~RouteTable();
  RouteTable(RouteTable&&) noexcept;

  void add(Route route);  // asserts on a duplicate (method, pattern)
  const std::vector<Route>& routes() const;

  struct Match {
    const Route* route = nullptr;  // null: see path_known
    bool path_known = false;       // another method is served here (405)
    std::vector<std::pair<std::string, std::string>> params;
  };
  Match find(Method method, std::string_view decoded_path) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// By the longest prefix of one table; everything reserved in ARCHITECTURE.md is in it.
Protocol protocol_of(std::string_view path);

// How each protocol writes an error body; a door registers its own. Used for what fails before or outside a handler
// (404, 405, 413, 401, a thrown exception) and by doors through fail().
using ErrorWriter = std::function<void(Response&, const base::Error&, std::string_view request_id)>;
class ErrorWriters {
 public:
  void set(Protocol protocol, ErrorWriter writer);
  void write(Protocol protocol, Response& response, const base::Error& error, std::string_view request_id) const;

 private:
  std::map<Protocol, ErrorWriter> writers_;  // default: {"error": {"code", "message", "request_id"}}
};

}  // namespace net
