// The loop's tables; see README.md for what each holds.
#pragma once

#include "store/migration.h"

namespace loop {
store::ModuleMigrations migrations();
}
