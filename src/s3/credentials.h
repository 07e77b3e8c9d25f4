// Where the keys come from, in the order of AWS's own tools: AWS_ACCESS_KEY_ID and its companions, the shared
// credentials file, and, only if the configuration says so, what the container's or instance's metadata service hands
// out (refreshed before it expires). Nothing of it is ever logged. Thread: safe anywhere; get() may block.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "s3/signing.h"

namespace s3 {

struct CredentialOptions {
  std::string profile;    // of the shared file, which is then the only source; "": AWS_PROFILE, else "default"
  bool metadata = false;  // may ask the metadata service
  std::function<std::string(const char*)> variable;  // reads the environment; null: this process's
};

class CredentialSource {
 public:
  CredentialSource(CredentialOptions options, const base::Clock& clock);
  base::Result<Credentials> get();               // kUnavailable with what was looked at
  void refused(const Credentials& credentials);  // expired, says S3: the next get() asks anew

 private:
  base::Result<Credentials> find();
  base::Result<Credentials> from_container();
  base::Result<Credentials> from_instance();

  const CredentialOptions options_;
  const base::Clock& clock_;
  std::mutex mutex_;
  Credentials cached_;  // key_id "": none
};

// One profile of a file such as ~/.aws/credentials. kNotFound without it or without a key in it.
base::Result<Credentials> parse_credentials_file(std::string_view text, std::string_view profile);
// What a metadata service answers.
base::Result<Credentials> parse_credentials_json(std::string_view text);

}  // namespace s3
