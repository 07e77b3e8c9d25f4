// What tls.cc and tls_stream.cc share: OpenSSL's objects with their ownership. Heavy; for these two only.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <mutex>
#include <string>

#include "net/tls.h"

namespace net {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using SslContext = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Freed<SSL_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

struct TlsPair {  // a certificate with its key, in force for the handshakes that begin while it is
  SslContext context;
  X509* certificate = nullptr;  // the context's
  bool self_made = false;
  std::string authority_pem;
};

struct TlsIdentity::Impl {
  TlsFiles files;
  mutable std::mutex mutex;             // of what follows; never held over a wait
  std::shared_ptr<const TlsPair> pair;  // never null
  std::string looked_at;                // which states of the files were read last, whether or not they were taken
  int64_t loaded_us = 0;                // monotonic
  std::function<void()> changed;

  std::shared_ptr<const TlsPair> current() const {
    std::lock_guard guard(mutex);
    return pair;
  }
};

// The first reason that OpenSSL has on this thread, in its words; takes all of them away.
std::string openssl_reason();

}  // namespace net
