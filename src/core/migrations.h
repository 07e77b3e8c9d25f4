// Tables of src/core: projects, events and their consumers, edges, principals with their tokens, users, roles
// and sessions, audit.
#pragma once

#include "store/migration.h"

namespace core {
store::ModuleMigrations migrations();
}
