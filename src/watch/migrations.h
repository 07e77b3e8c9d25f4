// Tables of src/watch: monitors, baselines, windows and their details, feedback, alerts.
#pragma once

#include "store/migration.h"

namespace watch {
store::ModuleMigrations migrations();
}
