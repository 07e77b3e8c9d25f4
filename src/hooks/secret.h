// What a hook's secret is for, and how it lies in the store: sealed with AES-256-GCM under a key of the server, bound
// to its hook's id, so that neither the database's file nor a row copied to another hook tells or uses it.
//
// The key is SHA-256 of MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY's text where that is set, else a file of 32 random bytes
// that the server makes for itself. Thread: a Sealer is immutable.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "base/ids.h"
#include "base/result.h"

namespace hooks {

// "v1,<base64>": HMAC-SHA256 over "<id>.<timestamp>.<body>", as Standard Webhooks and MLflow have it.
std::string sign(std::string_view secret, std::string_view id, std::string_view timestamp, std::string_view body);

class Sealer {
 public:
  // The file is made, readable by its owner only, when `key_text` is empty and it is not there.
  static base::Result<Sealer> make(std::string_view key_text, const base::Path& key_file);

  // "" stays "".
  base::Result<std::string> seal(std::string_view secret, std::string_view id, base::Random& random) const;
  // kInternal with what to do, when the key is another one than it was sealed with.
  base::Result<std::string> open(std::string_view sealed, std::string_view id) const;

 private:
  std::array<uint8_t, 32> key_{};
};

}  // namespace hooks
