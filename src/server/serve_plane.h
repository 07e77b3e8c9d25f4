// The life of `lathe serve --control URL`: the inference doors over the endpoints of a control plane elsewhere
// (src/plane, docs/design/plane.md). No store; a folder of its own, with which it starts again when nobody answers.
#pragma once

#include <cstdint>
#include <string>

#include "base/fs.h"
#include "plane/control.h"
#include "server/serve_models.h"

namespace server {

struct PlaneOptions : ProcessOptions {  // listeners beyond loopback over TLS only
  plane::Control::Options control;
  base::Path dir;
  std::string name;
  int64_t cache_bytes = int64_t{10} << 30;  // of models' files
  size_t spool_bytes = size_t{1} << 30;     // of captured requests
  int64_t grace_us = 3'600'000'000;         // of callers' tokens, out of touch
  bool require_login = false;               // whatever the control plane says
};

// Answers the process's exit code. Called from main's thread before any other thread exists.
int serve_plane(const PlaneOptions& options);

}  // namespace server
