#include "s3/signing.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/hash.h"

namespace s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string hex(std::string_view bytes) {
  return base::to_hex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// Outer blanks go, inner runs of blanks become one.
std::string canonical_value(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank) out += c;
    if (blank && !out.empty() && out.back() != ' ') out += ' ';
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string canonical_query(const Pairs& query) {
  Pairs encoded;
  for (const auto& [name, value] : query) encoded.emplace_back(uri_encode(name), uri_encode(value));
  std::ranges::sort(encoded);
  std::string out;
  for (const auto& [name, value] : encoded) out.append(out.empty() ? "" : "&").append(name).append("=").append(value);
  return out;
}

std::string signed_names(const Pairs& sorted) {
  std::string out;
  for (const auto& [name, value] : sorted) out.append(out.empty() ? "" : ";").append(name);
  return out;
}

std::string scope_text(const Scope& scope, int64_t now_us) {
  return amz_date(now_us).substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

// request.headers sorted by name.
std::string signature(const ToSign& request, const Scope& scope, const Credentials& credentials, int64_t now_us) {
  std::string canonical =
      request.method + "\n" + uri_encode(request.path, true) + "\n" + canonical_query(request.query) + "\n";
  for (const auto& [name, value] : request.headers) canonical += name + ":" + canonical_value(value) + "\n";
  canonical += "\n" + signed_names(request.headers) + "\n";
  canonical += request.payload_sha256;
  const std::string date = amz_date(now_us);
  const std::string to_sign =
      std::string(kAlgorithm) + "\n" + date + "\n" + scope_text(scope, now_us) + "\n" + base::sha256(canonical).hex();
  std::string key = "AWS4" + credentials.secret;
  for (const std::string& part : {date.substr(0, 8), scope.region, scope.service, std::string("aws4_request")})
    key = hmac_sha256(key, part);
  return hex(hmac_sha256(key, to_sign));
}

}  // namespace

std::string uri_encode(std::string_view text, bool keep_slash) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (letter || c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slash)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return out;
}

std::string query_string(const Pairs& query) {
  std::string out;
  for (const auto& [name, value] : query) {
    out.append(out.empty() ? "" : "&").append(uri_encode(name)).append("=").append(uri_encode(value));
  }
  return out;
}

std::string amz_date(int64_t wall_us) {
  const time_t seconds = wall_us / 1'000'000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc)};
}

std::string authorization(const ToSign& request, const Scope& scope, const Credentials& credentials, int64_t now_us) {
  ToSign sorted = request;
  std::ranges::sort(sorted.headers);
  return std::string(kAlgorithm) + " Credential=" + credentials.key_id + "/" + scope_text(scope, now_us) +
         ", SignedHeaders=" + signed_names(sorted.headers) +
         ", Signature=" + signature(sorted, scope, credentials, now_us);
}

Pairs sign(ToSign request, const Scope& scope, const Credentials& credentials, int64_t now_us) {
  Pairs added = {{"x-amz-date", amz_date(now_us)}, {"x-amz-content-sha256", std::string(request.payload_sha256)}};
  if (!credentials.session_token.empty()) added.emplace_back("x-amz-security-token", credentials.session_token);
  request.headers.insert(request.headers.end(), added.begin(), added.end());
  added.emplace_back("authorization", authorization(request, scope, credentials, now_us));
  return added;
}

std::string presign(ToSign request, const Scope& scope, const Credentials& credentials, int64_t now_us,
                    int64_t expires_s) {
  std::ranges::sort(request.headers);
  request.payload_sha256 = kUnsignedPayload;
  request.query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  request.query.emplace_back("X-Amz-Credential", credentials.key_id + "/" + scope_text(scope, now_us));
  request.query.emplace_back("X-Amz-Date", amz_date(now_us));
  request.query.emplace_back("X-Amz-Expires", std::to_string(expires_s));
  request.query.emplace_back("X-Amz-SignedHeaders", signed_names(request.headers));
  if (!credentials.session_token.empty()) request.query.emplace_back("X-Amz-Security-Token", credentials.session_token);
  const std::string signed_with = signature(request, scope, credentials, now_us);
  return query_string(request.query) + "&X-Amz-Signature=" + signed_with;
}

}  // namespace s3
