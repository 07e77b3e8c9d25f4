// The tables of data: see migrations.cc.
#pragma once

#include "store/migration.h"

namespace data {
store::ModuleMigrations migrations();
}
