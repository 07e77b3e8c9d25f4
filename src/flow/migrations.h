// The tables of flow: see its README.
#pragma once

#include "store/migration.h"

namespace flow {
store::ModuleMigrations migrations();
}
