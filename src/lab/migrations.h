// The tables of lab: see its README.
#pragma once

#include "store/migration.h"

namespace lab {
store::ModuleMigrations migrations();
}
