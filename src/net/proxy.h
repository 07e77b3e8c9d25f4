// Proxy: hands a request on to a backend of this machine and its answer back, streaming both ways with back-pressure,
// WebSockets and other upgrades included. Connections to backends are kept and used again, per loop.
//
// What a backend never sees: the client's own credentials (Authorization, our session cookies), hop-by-hop headers, and
// X-Forwarded-* that the client made up. What a client never sees: cookies of our names set by a backend.
//
// Thread: forward() on any server loop; forget() from anywhere. Ownership: outlives its requests; destroyed after the
// server has drained, before its loops go.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "base/task.h"
#include "net/connect.h"
#include "net/http.h"

namespace net {

class Proxy {
 public:
  explicit Proxy(base::Registry& metrics);
  ~Proxy();

  // An error: nothing was answered, and the caller says so in its own words (kUnavailable: no backend, or it spoke
  // nonsense; kTooMany; kTooLarge; kCancelled: the peer has gone or time is up, say nothing). `set` are headers for
  // the backend, in place of the client's own of that name.
  base::Task<base::Result<void>> forward(Request& request, Response& response, Backend backend,
                                         std::vector<Header> set);

  // The backend is going, or has gone: kept connections to it are closed.
  void forget(const Backend& backend);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
