// Tables of src/traces: traces with their tags, metadata, spans, assessments and links; evaluation data sets; scorers;
// issues; label schemas; review queues.
#pragma once

#include "store/migration.h"

namespace traces {
store::ModuleMigrations migrations();
}
