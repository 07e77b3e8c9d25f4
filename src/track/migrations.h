// The tables of tracking and the registry; docs/design/tracking.md says why they look so.
#pragma once

#include "store/migration.h"

namespace track {

store::ModuleMigrations migrations();

}  // namespace track
