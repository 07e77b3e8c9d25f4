// What the watcher reads: serve's capture and runtime in watch's words (siblings do not know each other).
#pragma once

#include <memory>

#include "serve/runtime.h"
#include "watch/watcher.h"

namespace server {

std::unique_ptr<watch::RequestSource> watch_source(serve::Runtime& runtime);  // which outlives it

}  // namespace server
