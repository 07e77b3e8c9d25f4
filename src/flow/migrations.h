#pragma once

#include "store/migration.h"

namespace flow {
store::ModuleMigrations migrations();
}
