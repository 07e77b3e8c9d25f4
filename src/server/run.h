// The server's life: lock, warden, store, doors, listen; until SIGTERM or SIGINT; drain, and down in reverse order.
#pragma once

#include <span>

#include "server/config.h"
#include "store/migration.h"

namespace server {

// Answers the process's exit code; what went wrong is logged. Called from main's thread before any other thread exists.
int run(const Config& config);

// Every room's tables, in their order.
std::span<const store::ModuleMigrations> store_modules();

}  // namespace server
