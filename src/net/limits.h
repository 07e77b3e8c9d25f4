// The limits of TLS, HTTP/2 and the proxy; those of connections and requests are in base/limits.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace net::limits {

inline constexpr size_t kHandshakes = 512;           // TLS handshakes under way; past it: closed
inline constexpr int64_t kHandshakeUs = 10'000'000;  // one of them; past it: closed
inline constexpr int64_t kTlsLookUs = 2'000'000;     // how often the certificate's files are looked at

// HTTP/2, per connection
inline constexpr uint32_t kH2Streams = 256;           // open, or closed with a handler still at work; past it: refused
inline constexpr uint32_t kH2StreamWindow = 1 << 20;  // of a body that nobody has read yet; past it the peer waits
inline constexpr uint32_t kH2Window = 4 << 20;        // of all of them together
inline constexpr size_t kH2UnsentBytes = 32u << 20;   // answers the peer does not take; past it nothing new begins
inline constexpr size_t kH2HoldBytes = 1 << 20;       // of a body, dropped while the answer waits for its end,
inline constexpr int64_t kH2HoldUs = 1'000'000;       //   and the time for that; past either: answered
inline constexpr uint64_t kH2Resets = 500;            // streams that the peer may take back in a burst,
inline constexpr uint64_t kH2ResetsPerS = 50;         //   and all the time; past it: GOAWAY (CVE-2023-44487)
inline constexpr int64_t kH2CheapFrames = 4000;       // PING, SETTINGS, PRIORITY, empty DATA, … in a burst,
inline constexpr int64_t kH2CheapFramesPerS = 1000;   //   and all the time; past it: GOAWAY
inline constexpr size_t kH2Continuations = 8;         // frames of one header block; past it: GOAWAY
inline constexpr size_t kH2HeaderExcess = 4;          // times header_bytes (431) until the connection ends, too
inline constexpr size_t kH2Acks = 256;                // PING and SETTINGS acknowledgements not taken; past it: closed
inline constexpr size_t kH2Spares = 64;               // ended streams whose memory is kept

inline constexpr size_t kProxyConnections = 1024;    // to all backends together, tunnels included; past it: 503
inline constexpr size_t kProxyIdle = 16;             // kept per backend and loop; more are closed after use
inline constexpr int64_t kProxyIdleUs = 60'000'000;  // kept this long at most
inline constexpr int64_t kConnectUs = 5'000'000;     // to a backend of this machine; past it: 503
inline constexpr int64_t kTunnelEndUs = 5'000'000;   // one side has ended: for the other to end, too

}  // namespace net::limits
