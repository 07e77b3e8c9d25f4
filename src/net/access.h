// Access, first half: who may speak to a server that listens on loopback.
//
// Local mode needs no login, but only for connections whose peer socket belongs to the server's own user or to root; and
// a browser must not be talked into speaking for its user: Host must be a loopback name (DNS rebinding), Origin must be
// this very server (CSRF), and a request that a proxy forwarded is refused. A bearer token says who is asking in any case.
//
// Thread: immutable after start; called on every loop.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "base/task.h"
#include "net/http.h"

namespace net {

struct Caller {
  base::Actor actor;
  int64_t project = base::kDefaultProject;
};

struct Access {
  // Whose live token this is; nullopt: nobody's. Errors: the store could not be asked.
  std::function<base::Task<base::Result<std::optional<Caller>>>(std::string secret)> find_token;
  std::function<bool(base::ActorKind, base::Permission)> may;
};

// Host, Origin, Sec-Fetch-Site and the proxies' headers. kForbidden with what was found and what is allowed.
base::Result<void> check_local_headers(const Request& request);

// The secret of "Authorization: Bearer …"; empty when there is none.
std::string_view bearer_secret(const Request& request);

// The rest, once the headers have passed: who asks (ctx.actor, ctx.project), and whether they may. Without a token only
// `same_user` counts, a question to the kernel that the caller asks once per connection.
base::Result<void> authorise_local(const Access& access, Request& request, base::Permission permission, bool same_user);
base::Task<base::Result<void>> authorise_token(const Access& access, Request& request, base::Permission permission);

}  // namespace net
