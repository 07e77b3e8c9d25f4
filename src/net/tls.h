// TLS: the certificate and key of a listener, and the Stream that speaks it over a connected socket.
//
// TlsIdentity holds what is in force. It is read again when its files change: new handshakes get the new pair, open
// connections keep what they began with, and a pair that does not fit, or cannot be read, leaves the old one in force.
// Thread: TlsIdentity is safe anywhere; a TlsStream belongs to its loop (stream.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "base/task.h"
#include "net/stream.h"

namespace net {

struct TlsFiles {
  base::Path certificate;  // PEM: the server's own first, then its issuers
  base::Path key;          // PEM, without a passphrase
  // PEM: authorities of clients' certificates. "": none is asked for. A certificate of another authority ends the
  // handshake; whether one must be shown is this, or else left to what is asked for (Peer::certified).
  base::Path client_ca;
  bool client_must = false;
  bool empty() const { return certificate.empty(); }
};

class TlsIdentity {
 public:
  static base::Result<std::unique_ptr<TlsIdentity>> load(TlsFiles files);
  ~TlsIdentity();

  // Reads the files again if they have changed since they were last looked at, or if the ticket keys are due for new
  // ones; `always` reads them in any case. False: the new pair was refused (and logged), the old one stays.
  bool refresh(bool always = false);

  // Called on the thread that refreshed, after another pair came into force. Set once, before anybody refreshes.
  void on_change(std::function<void()> listener);

  // Of the certificate in force.
  bool covers(std::string_view host) const;  // a name or an address
  std::string first_name() const;            // the first DNS name without a wildcard; "" if there is none
  bool is_self_made() const;                 // no authority of this system vouches for it: clients need its CA
  std::string authority_pem() const;         // the topmost certificate of the chain: what such clients have to trust

  struct Impl;
  Impl& impl() const { return *impl_; }  // tls.cc and tls_stream.cc

 private:
  explicit TlsIdentity(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// When the first certificate of a PEM file ends: wall clock, microseconds.
base::Result<int64_t> certificate_end_us(const base::Path& file);

// How a handshake ended.
enum class TlsHandshake : uint8_t {
  kDone,
  kPlainHttp,  // not TLS: the peer speaks HTTP, and is answered in the clear, once
  kFailed,     // not TLS, no protocol in common, a broken peer, or cancelled
};

// A Stream whose handshake is still to be made; nothing may be read or written before it is kDone.
class TlsStream : public Stream {
 public:
  virtual base::Task<TlsHandshake> handshake() = 0;
  virtual std::string_view protocol() const = 0;  // by ALPN: "http/1.1"; "" if the client named none
  virtual bool is_peer_certified() const = 0;     // it has shown a certificate, and the client authority vouches for it
};

// Takes a connected TCP socket, which becomes non-blocking; uses the pair that is in force now.
std::unique_ptr<TlsStream> make_tls_stream(EventLoop& loop, int connected_fd, const TlsIdentity& identity);

}  // namespace net
