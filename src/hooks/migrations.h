// The tables of hooks: see its README.
#pragma once

#include "store/migration.h"

namespace hooks {
store::ModuleMigrations migrations();
}
