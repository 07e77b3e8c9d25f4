// Who is at the other end of a local connection. Thread: safe anywhere (system calls only).
#pragma once

#include "net/http.h"

namespace net {

Peer describe_peer(int connected_fd);  // address and loopback; same_user is left false

// True if the peer's socket of this loopback TCP connection is open and belongs to our user or to root: asked of the
// kernel by sock_diag, or of /proc/net/tcp where netlink is closed. A Unix socket tells by SO_PEERCRED.
bool peer_is_same_user(int connected_fd);

}  // namespace net
