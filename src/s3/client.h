// A client of one S3 bucket. Every request is signed with the SHA-256 of its payload, also over TLS: the server then
// refuses bytes that changed on their way, and a blob's digest is at hand anyway (UNSIGNED-PAYLOAD: presigned URLs
// only).
//
// Sent again, with full jitter and within RetryPolicy: no answer, 5xx, 429, SlowDown, RequestTimeout, a clock that is
// off (corrected by the server's), expired credentials (fetched anew). A download goes on where it broke off.
//
// Errors: kNotFound no such key; kConflict a condition that does not hold; kUnavailable all that an operator must see
// to (unreachable, refused, wrong region, no such bucket): a user of Lathe can do nothing about it.
// Thread: safe anywhere; calls block, each on a connection of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/metrics.h"
#include "base/result.h"
#include "net/client.h"
#include "s3/credentials.h"
#include "s3/retry.h"
#include "s3/signing.h"

namespace s3 {

enum class Addressing : uint8_t { kAuto, kPath, kVirtualHost };  // kAuto: path for an endpoint that is not AWS's

struct Options {
  std::string bucket;
  std::string endpoint;  // "http[s]://host[:port]"; "": AWS's of the region
  std::string region = "us-east-1";
  Addressing addressing = Addressing::kAuto;
  CredentialOptions credentials;
  base::Path ca_file;  // PEM; "": the system's authorities
  RetryPolicy retry;
  int64_t stall_us = 30'000'000;             // no byte for so long: the attempt has failed
  size_t connections = 32;                   // at once; more calls wait
  uint64_t part_bytes = uint64_t{16} << 20;  // of a multipart upload; S3 wants 5 MiB at least
  size_t parallel_parts = 4;
};

struct Object {
  std::string key;
  int64_t size = 0;
  int64_t modified_us = 0;
};

struct Body {  // bytes, or a part of a file
  std::string_view bytes;
  base::Path file;
  uint64_t offset = 0, size = 0;  // of the file
  std::string sha256;             // hex; "": computed
};

class Client {
 public:
  static base::Result<std::unique_ptr<Client>> make(Options options, const base::Clock& clock,
                                                    base::Registry* metrics = nullptr);
  ~Client();

  base::Result<Object> head(const std::string& key);
  // False: there is something under the key, which stays (only with `if_absent`).
  base::Result<bool> put(const std::string& key, const Body& body, bool if_absent = false);
  // By multipart, several parts at once; nothing of it remains after a failure.
  base::Result<void> put_file_in_parts(const std::string& key, const base::Path& file, uint64_t size);
  // A multipart upload whose parts somebody else PUTs, each to the URL of its number (from 1). begin_parts answers its
  // id. complete_parts: `etags` in the order of the numbers; `size` as far as it is known; kInvalid: S3 does not take
  // these parts; kNotFound: there is no such upload.
  base::Result<std::string> begin_parts(const std::string& key);
  base::Result<std::string> presigned_part(const std::string& key, const std::string& upload, int64_t number,
                                           int64_t expires_s);
  base::Result<void> complete_parts(const std::string& key, const std::string& upload,
                                    const std::vector<std::string>& etags, std::optional<uint64_t> size);
  base::Result<void> abort_parts(const std::string& key, const std::string& upload);  // absent is fine
  // Within the bucket: the bytes do not come here. `size` is the source's.
  base::Result<void> copy(const std::string& from, const std::string& to, uint64_t size);
  using Sink = std::function<base::Result<void>(std::string_view)>;  // its failure ends the download
  // `length` bytes from `first`, or to the end. All of them have gone to the sink when it succeeds.
  base::Result<void> get(const std::string& key, uint64_t first, std::optional<uint64_t> length, const Sink& sink);
  base::Result<std::string> get_text(const std::string& key, size_t max_bytes);
  base::Result<void> remove(const std::string& key);  // absent is fine
  base::Result<void> for_each(const std::string& prefix, const std::function<void(const Object&)>& visit);
  // Multipart uploads under the prefix that nobody has ended since `before_us`.
  base::Result<int64_t> abort_stale_uploads(const std::string& prefix, int64_t before_us);
  base::Result<void> check();  // bucket there, credentials good: asks for one key
  // A URL by which anybody can GET or PUT this object for a while.
  base::Result<std::string> presigned(std::string_view method, const std::string& key, int64_t expires_s);

  // The server goes down: what waits to be sent again fails at once, and nothing is sent again.
  void no_more_retries();
  const Options& options() const { return options_; }
  std::string address() const;  // for people: endpoint and bucket

 private:
  struct Request;
  struct Refusal;
  struct Meters;
  class Connection;
  Client(Options options, const base::Clock& clock, base::Registry* metrics);
  base::Result<net::ClientResponse> run(const std::function<Request()>& make, Backoff& backoff);
  base::Result<net::ClientResponse> run(const Request& request);
  base::Result<net::ClientResponse> send(const Request& request, const Credentials& credentials);
  std::optional<int64_t> wait_of(const base::Result<net::ClientResponse>& answer, const Credentials& used,
                                 int64_t elapsed_us, Backoff& backoff);
  base::Error explain(const Request& request, const net::ClientResponse& answer) const;
  bool sleep(int64_t us);
  ToSign to_sign(const Request& request) const;
  std::string path_of(std::string_view key) const;
  base::Result<std::string> put_part(const std::string& key, const std::string& upload, size_t number,
                                     const Body& body);
  base::Result<std::string> copy_part(const std::string& from, const std::string& key, const std::string& upload,
                                      size_t number, uint64_t first, uint64_t size);
  // Makes a key of parts that `part` puts, several at once; aborts if one fails.
  using PutPart = std::function<base::Result<std::string>(const std::string& upload, size_t index)>;
  base::Result<void> put_in_parts(const std::string& key, size_t parts, uint64_t size, const PutPart& part);
  base::Result<std::string> presigned(ToSign signing, int64_t expires_s);

  const Options options_;
  const base::Clock& clock_;
  std::string origin_;  // "https://host[:port]"
  std::string host_;    // what is signed
  CredentialSource credentials_;
  std::atomic<int64_t> skew_us_ = 0;  // server's clock less ours, once it complained
  std::unique_ptr<Meters> meters_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<net::Client>> idle_;
  size_t busy_ = 0;
  bool stopping_ = false;
};

}  // namespace s3
