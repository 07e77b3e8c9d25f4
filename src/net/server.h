// Server: the listening port. One loop and one SO_REUSEPORT socket per thread; a connection stays on its loop.
//
//   auto server = Server::listen(options, clock, metrics);   // bound: port() is known, connections wait in the backlog
//   server->start(routes, errors, access);                   // answers from now on; all three outlive the server
//   server->drain(10 s);                                     // no new work, running requests end, everything closes
//
// Thread: listen, start and drain from the thread that owns the server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/result.h"
#include "net/access.h"
#include "net/address.h"
#include "net/limits.h"
#include "net/router.h"

namespace net {

struct ServerLimits {  // base/limits.h says what happens past each; tests shorten them
  size_t connections = base::limits::kConnections;
  size_t requests_in_flight = base::limits::kRequestsInFlight;
  size_t header_bytes = base::limits::kHeaderBytes;
  size_t header_count = base::limits::kHeaderCount;
  size_t target_bytes = base::limits::kTargetBytes;
  int64_t idle_us = base::limits::kIdleUs;
  int64_t header_read_us = base::limits::kHeaderReadUs;
  int64_t body_stall_us = base::limits::kBodyStallUs;
  int64_t write_stall_us = base::limits::kWriteStallUs;
  int64_t linger_us = base::limits::kLingerUs;
  size_t linger_bytes = base::limits::kLingerBytes;
  int64_t sweep_us = base::limits::kSweepUs;
  size_t handshakes = limits::kHandshakes;
  int64_t handshake_us = limits::kHandshakeUs;
};

class TlsIdentity;  // tls.h

struct ServerOptions {
  std::string address = "127.0.0.1";  // a literal of IPv4 or IPv6
  uint16_t port = 0;                  // 0: the kernel chooses
  size_t threads = 1;
  TlsIdentity* tls = nullptr;         // outlives the server; null: HTTP in the clear
  bool plane_certificates = false;    // data planes are taken with a client certificate only (Peer::certified)
  std::vector<AddressRange> proxies;  // whose X-Forwarded-* headers are believed (Peer::is_proxy)
  ServerLimits limits;
  base::Tracer* tracer = nullptr;  // null: requests are not traced
  std::string label;               // of its numbers, where there are several listeners
};

class Server {
 public:
  // kConflict when the port is taken; kInvalid when the address is not one of this machine's.
  static base::Result<std::unique_ptr<Server>> listen(const ServerOptions& options, const base::Clock& clock,
                                                      base::Registry& metrics);
  ~Server();  // drains with no patience if drain() was not called

  uint16_t port() const;
  void start(const RouteTable& routes, const ErrorWriters& errors, Access& access);

  // Answers true when every connection has ended within the time; false: some handler did not, and its coroutine is
  // left suspended (the process is expected to end).
  bool drain(int64_t patience_us);

  size_t connections() const;

  struct Impl;

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
