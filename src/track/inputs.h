// Inputs and outputs of runs: datasets (unique by name and digest within an experiment) and logged models. The public
// functions are in runs.h; this is what runs.cc needs of inputs.cc.
#pragma once

#include "store/tx.h"
#include "track/runs.h"

namespace track {

void load_run_inputs(store::Tx& tx, Run& run);

}  // namespace track
