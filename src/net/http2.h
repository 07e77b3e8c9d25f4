// Http2Connection: one HTTP/2 connection (nghttp2), by prior knowledge or ALPN. Its streams are requests like any
// other: same routes, access, limits, errors and metrics as over HTTP/1.1 (exchange.h has what both share).
//
// Flow control is the handlers': a body is acknowledged when it has been read, an answer leaves as the peer takes it.
// So a slow reader costs what its windows hold and nothing more; net/limits.h names all limits. Time is watched by the
// loop's sweep, as in http1.h. Thread: its loop's. Ownership: lives in the frame of the coroutine that serves it; owns
// its stream.
#pragma once

#include <memory>
#include <string>

#include "net/connection.h"
#include "net/stream.h"

namespace net {

class Http2Connection final : public ServerConnection {
 public:
  // `read`: what has come already.
  Http2Connection(ServerShared& shared, std::unique_ptr<Stream> stream, Peer peer, std::string read);
  ~Http2Connection() override;
  base::Task<void> run() override;
  void sweep(int64_t now_us) override;
  void abort() override;

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
