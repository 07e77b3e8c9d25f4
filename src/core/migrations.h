// Tables of src/core: projects, events and their consumers, edges, principals and tokens, audit.
#pragma once

#include "store/migration.h"

namespace core {
store::ModuleMigrations migrations();
}
