// Outgoing connections of a server loop, as Streams: to a Unix socket or a port of this machine. Thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "base/fs.h"
#include "base/result.h"
#include "base/task.h"
#include "net/stream.h"

namespace net {

struct Backend {
  base::Path unix_socket;  // or, if empty,
  uint16_t port = 0;       // on 127.0.0.1
  bool operator==(const Backend&) const = default;
};

// kUnavailable: nobody listens there, or it did not accept in time; kCancelled.
base::Task<base::Result<std::unique_ptr<Stream>>> connect(Backend backend, std::stop_token cancelled);

}  // namespace net
