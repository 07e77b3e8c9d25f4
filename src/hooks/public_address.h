// Which addresses a webhook may reach: the public ones. Whoever may name a URL must not reach through us what he cannot
// reach himself: loopback, private networks, a cloud's metadata service. Thread: pure, but for resolve_publicly.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

struct sockaddr;

namespace hooks {

// By IANA's registries of special-purpose addresses; an IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) counts
// as itself. Multicast, and whatever is neither IPv4 nor IPv6, is not public.
bool is_public(const sockaddr& address);

// Looks the name up, which blocks. kInvalid when one of its addresses is not public, or it has none. A convenience for
// whoever types a URL: what protects is that each connection's own address is asked is_public().
base::Result<void> check_host_is_public(const std::string& host);

}  // namespace hooks
