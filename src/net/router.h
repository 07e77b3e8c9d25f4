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
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "net/http.h"

namespace net {

enum class Protocol : uint8_t {
  kLathe,
  kMlflow,
  kMlflowText,
  kAirflow,
  kInference,
  kGrpc,
  kKserveV1,
  kMlflowScoring,
  kSeldon,
  kBento,
  kHub,
  kPage,
  kOps,      // is it alive: on every listener
  kMetrics,  // numbers of all projects
  kPlane,    // what data planes ask
};

inline constexpr size_t kProtocols = static_cast<size_t>(Protocol::kPlane) + 1;

std::string_view name(Protocol protocol);            // "lathe", "mlflow", …
std::string_view name(base::Permission permission);  // "none", "read", …

class ProtocolSet {
 public:
  constexpr ProtocolSet() = default;
  constexpr ProtocolSet(std::initializer_list<Protocol> protocols) {
    for (const Protocol p : protocols) bits_ |= uint32_t{1} << static_cast<unsigned>(p);
  }
  static constexpr ProtocolSet all() { return ProtocolSet((uint32_t{1} << kProtocols) - 1); }
  constexpr bool contains(Protocol p) const { return (bits_ >> static_cast<unsigned>(p) & 1) != 0; }
  constexpr bool contains(ProtocolSet other) const { return (bits_ & other.bits_) == other.bits_; }
  constexpr ProtocolSet operator|(ProtocolSet other) const { return ProtocolSet(bits_ | other.bits_); }
  bool operator==(const ProtocolSet&) const = default;

 private:
  constexpr explicit ProtocolSet(uint32_t bits) : bits_(bits) {}
  uint32_t bits_ = 0;
};

// What a listener may be limited to, by name: "all", "inference", "tracking", …; several joined by '+'. Each has the
// probes of health. One table.
base::Result<ProtocolSet> parse_group(std::string_view text);

struct RouteLimits {
  size_t body_bytes = base::limits::kSmallBody;
  int64_t deadline_us = base::limits::kRequestUs;  // 0: none (streams)
};

// Of what a permission is asked: of the request's project; of nothing, so that a login alone will do; or of the server.
enum class Scope : uint8_t { kProject, kSelf, kServer };

struct Route {
  Method method;
  std::string pattern;
  Protocol protocol;
  base::Permission permission;
  RouteLimits limits;
  Handler handler;
  Scope scope = Scope::kProject;
  bool checks_resources = false;  // the handler looks at Grant::resources, if there are

  bool is_open() const { return permission == base::Permission::kNone && scope == Scope::kProject; }
  std::string_view asks() const;  // "none", "read", …, "self", "server"
};

class RouteTable {
 public:
  RouteTable();
  ~RouteTable();
  RouteTable(RouteTable&&) noexcept;

  void add(Route route);  // asserts on a duplicate (method, pattern)
  // What answers a path that no route serves by any method and no protocol claims (kPage): the browser's pages with
  // "/{path...}", a service's own routes with "/{api}" (one segment). It makes no path known to other methods. Once
  // for a method.
  void add_fallback(Route route);
  const std::vector<Route>& routes() const;
  // The same table without what belongs to other protocols: to it their paths are unknown.
  RouteTable only(ProtocolSet protocols) const;

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
inline constexpr std::string_view kNothingServed =
    "nothing is served at ";  // how the message begins when no route is there
class ErrorWriters {
 public:
  void set(Protocol protocol, ErrorWriter writer);
  void write(Protocol protocol, Response& response, const base::Error& error, std::string_view request_id) const;

 private:
  std::map<Protocol, ErrorWriter> writers_;  // default: {"error": {"code", "message", "request_id"}}
};

}  // namespace net
