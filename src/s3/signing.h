// AWS Signature Version 4 ("Signing AWS API requests" in AWS's IAM guide), as S3 wants it: the path is percent-encoded
// once, the payload is named by its SHA-256. Pure functions; time is passed in. Thread: safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace s3 {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Credentials {
  std::string key_id;
  std::string secret;
  std::string session_token;  // temporary credentials; else ""
  int64_t expires_us = 0;     // 0: never
};

struct Scope {
  std::string region;
  std::string service = "s3";
};

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";  // in presigned URLs only
inline constexpr std::string_view kEmptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct ToSign {
  std::string method;
  std::string path;                                // "/bucket/key", not yet percent-encoded
  Pairs query;                                     // not yet percent-encoded
  Pairs headers;                                   // lower-case names; all are signed, "host" must be among them
  std::string_view payload_sha256 = kEmptySha256;  // hex, or kUnsignedPayload
};

// What RFC 3986 calls unreserved stays, all else becomes %XX; `keep_slash` for paths.
std::string uri_encode(std::string_view text, bool keep_slash = false);
std::string query_string(const Pairs& query);  // encoded, in the order given

// The value of the Authorization header. `now_us` must be the time that x-amz-date says, where it is among the headers.
std::string authorization(const ToSign& request, const Scope& scope, const Credentials& credentials, int64_t now_us);
// The headers that are to be added to `request` for S3: x-amz-date, x-amz-content-sha256, the token, authorization.
Pairs sign(ToSign request, const Scope& scope, const Credentials& credentials, int64_t now_us);
// The query string, with signature, of a URL that anybody may use for `expires_s` seconds.
std::string presign(ToSign request, const Scope& scope, const Credentials& credentials, int64_t now_us,
                    int64_t expires_s);

std::string amz_date(int64_t wall_us);  // 20130524T000000Z

}  // namespace s3
