// Runs numbered migrations and keeps their checksums in table schema_migrations. Thread: one at a time, before the
// store's own threads start.
#pragma once

#include <functional>
#include <span>

#include "base/result.h"
#include "store/migration.h"
#include "store/tx.h"

namespace store::detail {

using Transact = std::function<base::Result<void>(const std::function<base::Result<void>(Tx&)>&)>;

// Each migration in a transaction of its own. kConflict: a newer Lathe wrote this store, or a migration was edited.
base::Result<void> migrate(const Transact& transact, std::span<const ModuleMigrations> modules);

}  // namespace store::detail
