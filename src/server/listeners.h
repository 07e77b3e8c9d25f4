// Listeners: the ports on which one process answers, each with all protocols or a named group of them, in the clear or
// over TLS. What lies outside a listener's group is not in its table of routes: there it does not exist.
//
// Thread: the owner's; start and drain are called once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "net/access.h"
#include "net/router.h"
#include "net/server.h"
#include "net/tls.h"

namespace server {

struct Listener {
  std::string text;   // as it was given
  std::string group;  // "" is all
  std::string address;
  uint16_t port = 0;
  net::ProtocolSet protocols = net::ProtocolSet::all();
  bool tls = false;
};

// "ADDRESS:PORT[=GROUP]", with https:// or http:// before it where `tls` (there is a certificate) is not the answer.
base::Result<Listener> parse_listener(std::string_view text, bool tls);

std::string shown(const Listener& listener);  // "https://ADDRESS:PORT=GROUP"

class Listeners {
 public:
  // Bound, not answering yet. `common` gives threads, proxies, tracer and the TLS identity for those that want it.
  static base::Result<std::unique_ptr<Listeners>> open(std::vector<Listener> wanted, const net::ServerOptions& common,
                                                       const base::Clock& clock, base::Registry& metrics);
  // Each asks `access` under a policy of its own: `policy`, with what is true of the listener filled in.
  void start(const net::RouteTable& routes, const net::ErrorWriters& errors, net::Access& access,
             const net::AccessPolicy& policy);
  bool drain(int64_t patience_us);  // all at once; false: some request did not end
  size_t connections() const;

  const std::vector<Listener>& all() const { return listeners_; }  // with the ports that the kernel chose
  // Where `protocols` are all served, the first; null: nowhere.
  const Listener* serving(net::ProtocolSet protocols) const;

 private:
  struct Part {
    std::unique_ptr<net::RouteTable> routes;
    std::unique_ptr<net::Access> access;
    std::unique_ptr<net::Server> server;  // first to go
  };
  std::vector<Listener> listeners_;
  std::vector<Part> parts_;
};

// What several listeners' policies have in common, for what is asked behind them.
net::AccessPolicy loosest(const std::vector<Listener>& listeners, net::AccessPolicy policy);

}  // namespace server
