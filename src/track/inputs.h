// Inputs and outputs of runs: datasets (unique by name and digest within an experiment) and logged models. The public
// functions are in runs.h; this is what runs.cc needs of inputs.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/tx.h"
#include "track/runs.h"

namespace track {

// Runs, found by their row, so that one query per kind of child row fills many. They stay where they are meanwhile.
class RunsByRow {
 public:
  static constexpr size_t kRunsAtOnce = 256;

  void add(Run& run) {
    rows_.push_back(run.info.row);
    runs_[run.info.row] = &run;
  }
  // Of "<before> (run, …)<after>", whose first parameter is the project and whose first column is the run. The texts
  // are few, and so cached: a list is as long as a power of two.
  void each(store::Tx& tx, std::string_view before, std::string_view after,
            const std::function<void(Run&, store::Rows&)>& read) const;

 private:
  std::vector<int64_t> rows_;
  std::unordered_map<int64_t, Run*> runs_;
};

// Metrics, params, tags, inputs and outputs of many runs, in a handful of queries for all of them.
std::vector<Run> load_runs(store::Tx& tx, std::vector<RunInfo> infos);

void load_run_inputs(store::Tx& tx, const RunsByRow& runs);

}  // namespace track
