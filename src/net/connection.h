// What a server's loop knows of its connections, whichever version of HTTP they speak, and what they all share.
// Thread: a connection belongs to its loop.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/task.h"
#include "net/access.h"
#include "net/server.h"

namespace net {

// What all connections of a server share; immutable but for the counters.
struct ServerShared {
  ServerShared(const ServerLimits& l, const base::Clock& c, base::Registry& metrics, const std::string& listener = {});

  ServerLimits limits;
  const base::Clock& clock;
  const RouteTable* routes = nullptr;
  const ErrorWriters* errors = nullptr;
  Access* access = nullptr;
  std::atomic<size_t> connections{0};
  std::atomic<size_t> in_flight{0};
  std::atomic<bool> draining{false};
  base::Counter* answers[5];  // by class of status
  base::Counter& refused_connections;
  base::Counter& refused_requests;
  base::Histogram& seconds;
  base::Tracer* tracer = nullptr;
};

class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  virtual base::Task<void> run() = 0;      // until the connection has ended
  virtual void sweep(int64_t now_us) = 0;  // what has run out of time, or of its rights?
  virtual void abort() = 0;                // at the end of the drain's patience: cancels what runs
};

}  // namespace net
