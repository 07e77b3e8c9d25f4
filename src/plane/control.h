// Control: what a data plane asks of its control plane, over HTTP with the plane's own token. Errors carry the control
// plane's own words; kUnavailable and kDeadline mean that it could not be asked, everything else that it said no.
//
// Thread: safe anywhere; every call blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/hash.h"
#include "base/result.h"
#include "net/client.h"
#include "plane/caller.h"
#include "plane/planes.h"
#include "plane/snapshot.h"

namespace plane {

class Control {
 public:
  struct Options {
    std::string url;      // "https://lathe.example.org:8000"
    std::string token;    // of a service with the role plane
    std::string project;  // "": the token's, else default
    base::Path ca_file;   // "": the system's authorities
    net::ClientCertificate certificate;
  };
  explicit Control(Options options) : options_(std::move(options)) {}

  base::Result<Snapshot> snapshot();
  base::Result<uint16_t> report(const std::string& id, const Report& report);  // answers the plane's writer number
  base::Result<std::vector<std::optional<Caller>>> callers(std::span<const std::string> hashes);  // raw bytes
  // The bytes of a file, piece by piece; whether they are the digest's is for the caller to see.
  base::Result<void> fetch(const base::Digest& sha256, const std::function<base::Result<void>(std::string_view)>& sink);
  // Durable there when it answers.
  base::Result<void> send_captures(const std::string& id, std::string_view endpoint, std::string packed);

  // Follows the events after `after` until the stream breaks, which is the error, or `stop`. kConflict: they are not
  // all kept there any more, and a new snapshot is needed. A heartbeat (kind "") comes once a second.
  struct Heard {
    core::EventPosition position;
    std::string kind, subject;
  };
  base::Result<void> follow(core::EventPosition after, const std::function<void(const Heard&)>& listener,
                            const std::stop_token& stop);

  static bool is_unreachable(const base::Error& error) {
    return error.code == base::Code::kUnavailable || error.code == base::Code::kDeadline;
  }

 private:
  class Lent;  // a client of the pool, for one call
  net::ClientRequest request(std::string method, std::string_view path) const;
  base::Result<std::string> call(const net::ClientRequest& request);
  base::Result<std::string> post(std::string_view path, std::string body, const char* method = "POST");

  const Options options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<net::Client>> idle_;
};

}  // namespace plane
