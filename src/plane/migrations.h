// The tables of src/plane, on the control plane.
#pragma once

#include "store/store.h"

namespace plane {

store::ModuleMigrations migrations();

}  // namespace plane
