// Access: who speaks, for which project, and what they may do. This side knows headers and connections; who is who is
// asked of an `Access` (src/gate), and its answer, a Grant, is kept by the connection: as long as the next request
// presents the same and the grant is current, nothing is looked up and no lock is taken.
//
// Order of a request: read_presented (Host, Origin, the proxies' headers) → route → Grant → permission. A browser must
// not be talked into speaking for its user: Host must be a name of ours (DNS rebinding), Origin must be this very
// server (CSRF). Headers that a proxy sets are believed from a proxy that was announced, and refused else.
//
// Thread: Access is called on every loop; a Presented lives as long as its request's headers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/permissions.h"
#include "base/resource_access.h"
#include "base/result.h"
#include "base/task.h"
#include "net/router.h"

namespace net {

struct AccessPolicy {
  bool loopback_only = true;               // the listener: no other machine reaches it
  bool encrypted = false;                  // the listener speaks TLS; else other machines need a proxy that does
  bool require_login = false;              // the server's own user on loopback must log in, too
  std::vector<std::string> allowed_hosts;  // lower-case names, "*.example.org" for those below; "*": any
};

// "https://host:port" as the client sees this server: its Host header, or what our proxy says of both.
std::string origin_of_server(const Request& request);

// Whether a browser may reach this server under the name of `host` ("name", "name:port", "[v6]:port").
bool is_allowed_host(const AccessPolicy& policy, std::string_view host);

// What a request says of its sender.
struct Presented {
  enum class Kind : uint8_t { kNothing, kBearer, kBasic, kSession };
  Kind kind = Kind::kNothing;
  std::string_view secret;     // token; base64 of user:password; session
  std::string project;         // as named by the request; "": not named
  std::string_view address;    // of the client: the peer's, or what our proxy says; without a port
  bool secure = false;         // the browser sees https
  bool same_origin = false;    // a browser vouches that a page of ours sent it
  bool asks_for_page = false;  // the user navigates; nothing was fetched by a script
};

// kForbidden with what was found and what is allowed, kInvalid for what can be read in two ways.
base::Result<Presented> read_presented(const AccessPolicy& policy, const Request& request);

inline constexpr std::string_view kSessionCookie = "lathe_session";
inline constexpr std::string_view kSecureSessionCookie = "__Host-lathe_session";  // over TLS; cannot be set by others
// Set-Cookie's value; an empty secret takes the cookie away.
std::string session_cookie(std::string_view secret, bool secure, int64_t max_age_s);

// What somebody may do in one project. Immutable, but that it may be revoked.
struct Grant {
  base::Actor actor;
  int64_t project = base::kDefaultProject;
  std::string project_name;       // of `project`, or the one asked for when it is not the caller's
  bool project_known = true;      // false: it does not exist, or is nothing of the caller's; both look the same
  base::Permissions permissions;  // in the project
  bool rules_server = false;
  // His rights are by experiment and model: then `resources` says which, and only routes that look at it are open to
  // him, and what only reads where he may read every experiment and model. They are swapped when he gets more; less
  // revokes the grant.
  bool limited = false;
  std::atomic<std::shared_ptr<const base::ResourceAccess>> resources;
  std::atomic<bool> revoked{false};
};

struct Fingerprint {  // of all that decides about a grant, keyed: tells equal from different, not what it was
  uint64_t a = 0;
  uint64_t b = 0;
  bool operator==(const Fingerprint&) const = default;
};

class Access {
 public:
  virtual ~Access() = default;
  const AccessPolicy& policy() const { return policy_; }

  virtual Fingerprint fingerprint(const Presented& presented) const = 0;
  // Whether a grant that was given for the same fingerprint still holds, without waiting.
  virtual bool is_current(const Grant& grant) const = 0;
  // kUnauthenticated: nobody we know. kTooMany: too many attempts. `request.peer.same_user` has been asked for.
  virtual base::Task<base::Result<std::shared_ptr<const Grant>>> admit(const Request& request,
                                                                       const Presented& presented) = 0;

 protected:
  AccessPolicy policy_;
};

// Whether the grant covers the permission in its project; the error says what is missing and leaks no project's name.
base::Result<void> check_permission(const Grant& grant, base::Permission permission, Scope scope);
// The same of a route, for callers with limits too.
base::Result<void> check_permission(const Grant& grant, const Route& route);

}  // namespace net
