// The server's life: lock, warden, store, doors, listen; until SIGTERM or SIGINT; drain, and down in reverse order.
#pragma once

#include "server/config.h"

namespace server {

// Answers the process's exit code; what went wrong is logged. Called from main's thread before any other thread exists.
int run(const Config& config);

}  // namespace server
