// The life of `lathe serve`: the inference doors over a folder of models. No store, no folder of state, no users: who
// may ask is decided by where he asks from (docs/design/access.md).
#pragma once

#include <string>
#include <vector>

#include "base/fs.h"
#include "base/log.h"
#include "repository/repository.h"
#include "server/listeners.h"

namespace server {

enum class NetworkAccess : uint8_t { kNone, kInfer, kControl };  // what other machines may do

// Of every process that serves models and nothing else.
struct ProcessOptions {
  std::vector<Listener> listeners;
  size_t threads = 1;
  std::string health_route, predict_route;  // as Vertex AI names them; "": those that are there anyway
  base::Path tls_cert;                      // both or neither; for listeners that want it
  base::Path tls_key;
  std::vector<std::string> allowed_hosts;  // names under which browsers may reach us; "*": any
  base::log::Level log_level = base::log::Level::kInfo;
  bool log_json = false;
};

struct ServeOptions : ProcessOptions {         // listeners beyond loopback only if `network` is not kNone
  repository::Repository::Options repository;  // without `self`
  NetworkAccess network = NetworkAccess::kNone;
};

// Answers the process's exit code. Called from main's thread before any other thread exists.
int serve_models(const ServeOptions& options);

}  // namespace server
