#include "s3/credentials.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/fs.h"
#include "base/json.h"
#include "net/client.h"

namespace s3 {
namespace {

constexpr size_t kFileBytes = 1 << 20;
constexpr int64_t kRefreshUs = 5 * 60'000'000;  // so long before they expire
constexpr int64_t kMetadataUs = 2'000'000;      // for one question
constexpr std::string_view kInstance = "http://169.254.169.254";
constexpr std::string_view kContainer = "http://169.254.170.2";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const size_t from = text.find_first_not_of(kBlanks);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

base::Result<std::string> ask(const std::string& method, const std::string& url, Pairs headers) {
  net::Client client;
  net::ClientRequest request{.method = method, .url = url, .headers = std::move(headers), .timeout_us = kMetadataUs};
  request.max_answer_bytes = kFileBytes;
  TRY_SET(auto answer, client.call(request));
  if (answer.status == 200) return std::move(answer.body);
  return base::fail(base::Code::kUnavailable, url + " answered " + std::to_string(answer.status));
}

// In the clear only to the addresses that a machine's own agents have.
bool is_local_agent(std::string_view url) {
  for (const std::string_view host : {"http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]",
                                      "http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    if (url.starts_with(host) && (url.size() == host.size() || url[host.size()] == '/' || url[host.size()] == ':'))
      return true;
  }
  return url.starts_with("https://");
}

}  // namespace

base::Result<Credentials> parse_credentials_file(std::string_view text, std::string_view profile) {
  Credentials found;
  bool inside = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      inside = line.back() == ']' && trimmed(line.substr(1, line.size() - 2)) == profile;
      continue;
    }
    const size_t equals = line.find('=');
    if (!inside || equals == line.npos) continue;
    const std::string_view name = trimmed(line.substr(0, equals)), value = trimmed(line.substr(equals + 1));
    if (name == "aws_access_key_id") found.key_id = value;
    if (name == "aws_secret_access_key") found.secret = value;
    if (name == "aws_session_token") found.session_token = value;
  }
  if (!found.key_id.empty() && !found.secret.empty()) return found;
  return base::not_found("no profile [" + std::string(profile) + "] with aws_access_key_id and aws_secret_access_key");
}

base::Result<Credentials> parse_credentials_json(std::string_view text) {
  TRY_SET(const auto value, base::parse_json(text));
  TRY_SET(const auto* const object, base::as_object(value, "the metadata service's answer"));
  Credentials found;
  TRY_SET(found.key_id, base::required_string(*object, "AccessKeyId"));
  TRY_SET(found.secret, base::required_string(*object, "SecretAccessKey"));
  TRY_SET(found.session_token, base::required_string(*object, "Token"));
  TRY_SET(const std::string expires, base::required_string(*object, "Expiration"));
  TRY_SET(found.expires_us, base::parse_iso8601(expires));
  return found;
}

CredentialSource::CredentialSource(CredentialOptions options, const base::Clock& clock)
    : options_([&] {
        if (!options.variable) {
          options.variable = [](const char* name) {
            const char* value = std::getenv(name);
            return std::string(value == nullptr ? "" : value);
          };
        }
        return std::move(options);
      }()),
      clock_(clock) {}

base::Result<Credentials> CredentialSource::get() {
  std::lock_guard lock(mutex_);
  const bool good =
      !cached_.key_id.empty() && (cached_.expires_us == 0 || clock_.wall_us() < cached_.expires_us - kRefreshUs);
  if (good) return cached_;
  auto found = find();
  if (found) {
    cached_ = *found;
    return cached_;
  }
  // The service is away for a moment: what is valid still serves.
  if (!cached_.key_id.empty() && clock_.wall_us() < cached_.expires_us) return cached_;
  return found;
}

void CredentialSource::refused(const Credentials& credentials) {
  std::lock_guard lock(mutex_);
  if (cached_.key_id == credentials.key_id && cached_.session_token == credentials.session_token) cached_ = {};
}

base::Result<Credentials> CredentialSource::find() {
  const auto& variable = options_.variable;
  Credentials named{.key_id = variable("AWS_ACCESS_KEY_ID"),
                    .secret = variable("AWS_SECRET_ACCESS_KEY"),
                    .session_token = variable("AWS_SESSION_TOKEN")};
  if (options_.profile.empty() && !named.key_id.empty() && !named.secret.empty()) return named;

  std::string looked = options_.profile.empty() ? "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY; " : "";
  std::string profile = options_.profile.empty() ? variable("AWS_PROFILE") : options_.profile;
  if (profile.empty()) profile = "default";
  base::Path file = variable("AWS_SHARED_CREDENTIALS_FILE");
  if (file.empty() && !variable("HOME").empty()) file = base::Path(variable("HOME")) / ".aws" / "credentials";
  if (!file.empty()) {
    const auto text = base::read_file(file, kFileBytes);
    auto found =
        text ? parse_credentials_file(*text, profile) : base::Result<Credentials>(std::unexpected(text.error()));
    if (found) return found;
    looked += file.string() + " (" + found.error().message + "); ";
  }
  if (!options_.metadata || !options_.profile.empty()) {
    return base::fail(base::Code::kUnavailable, "no credentials for S3; looked at: " + looked +
                                                    "the metadata service is asked only with s3_metadata: 1");
  }
  const bool container = !variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").empty() ||
                         !variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").empty();
  auto found = container ? from_container() : from_instance();
  if (found) return found;
  return base::fail(base::Code::kUnavailable, "no credentials for S3; looked at: " + looked + found.error().message);
}

base::Result<Credentials> CredentialSource::from_container() {
  const auto& variable = options_.variable;
  std::string url = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (const std::string relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); !relative.empty())
    url = std::string(kContainer) + relative;
  if (!is_local_agent(url))
    return base::invalid("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor the address of a local agent");
  Pairs headers;
  std::string token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
    TRY_SET(token, base::read_file(file, kFileBytes));
    token = trimmed(token.substr(0, token.find('\n')));
  }
  if (!token.empty()) headers.emplace_back("Authorization", token);
  TRY_SET(const std::string answer, ask("GET", url, std::move(headers)));
  return parse_credentials_json(answer);
}

// IMDSv2 only: a token by PUT, which a request smuggled through some other program cannot get.
base::Result<Credentials> CredentialSource::from_instance() {
  std::string base_url = options_.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (base_url.empty()) base_url = kInstance;
  while (base_url.ends_with('/')) base_url.pop_back();
  TRY_SET(const std::string token,
          ask("PUT", base_url + "/latest/api/token", {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}}));
  const Pairs with_token = {{"X-aws-ec2-metadata-token", token}};
  const std::string roles = base_url + "/latest/meta-data/iam/security-credentials/";
  TRY_SET(const std::string role, ask("GET", roles, with_token));
  TRY_SET(const std::string answer,
          ask("GET", roles + uri_encode(trimmed(role.substr(0, role.find('\n')))), with_token));
  return parse_credentials_json(answer);
}

}  // namespace s3
