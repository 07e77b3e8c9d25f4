// Tables of this room: endpoints and their revisions.
#pragma once

#include "store/migration.h"

namespace serve {

store::ModuleMigrations migrations();

}  // namespace serve
