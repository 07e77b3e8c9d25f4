// Reading everything of a project page by page, the deleted too, to hand it over to another server. What one page costs
// is bounded by its limit; what many rows hold (histories, files) is read by their own functions.
// Called by `lathe export`. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/experiments.h"
#include "track/import.h"
#include "track/models.h"
#include "track/runs.h"

namespace track {

// All in the order of their ids (names), those after the one that is given.
base::Result<std::vector<Experiment>> experiments_after(store::Tx& tx, int64_t id, size_t limit);
base::Result<std::vector<RunInfo>> runs_after(store::Tx& tx, std::string_view run_id, size_t limit);
base::Result<std::vector<ModelInfo>> models_after(store::Tx& tx, std::string_view model_id, size_t limit);
base::Result<std::vector<std::string>> registered_names_after(store::Tx& tx, std::string_view name, size_t limit);
// With every version, deleted ones marked: their numbers are not given again.
base::Result<ImportedRegistered> whole_registered(store::Tx& tx, std::string_view name);

}  // namespace track
