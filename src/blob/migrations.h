// Tables of src/blob: blobs that are known, who holds them, artifacts.
#pragma once

#include "store/migration.h"

namespace blob {
store::ModuleMigrations migrations();
}
