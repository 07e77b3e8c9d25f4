// What a stage's result depends on, by name, so that an unchanged stage is skipped and a changed one says what changed;
// and the files that its workspace is made from. Both follow from the same reading of its deps.
//
// Names: "command", "folder", "outs", "file <path>", "data <name>", "parameter <key>", "run parameter <key>", "variable
// <key>". Thread: on a transaction.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flow/executor.h"
#include "flow/live_run.h"
#include "flow/spec_json.h"

namespace flow {

// The newest version of a data set, if it has one: passed in, because data is another room.
using NewestData = std::function<base::Result<std::string>(store::Tx& tx, std::string_view name)>;

using BundleFiles = std::shared_ptr<const std::vector<WorkFile>>;
base::Result<BundleFiles> read_bundle(store::Tx& tx, std::string_view bundle);

struct StageInputs {
  TextMap parts;                      // name → digest or value
  std::vector<WorkFile> files;        // outs of other stages and data
  std::vector<std::string> attempts;  // whose outs are used
  std::vector<std::string> versions;  // data versions used
};

// kNotFound, in words for people, if something that the stage needs is not there.
base::Result<StageInputs> read_inputs(store::Tx& tx, const RunFacts& facts, const RunState& state, uint32_t stage,
                                      const std::vector<WorkFile>& bundle, const NewestData& newest_data);

std::string input_key(const TextMap& parts);                            // SHA-256 over them all
std::string explain_change(const TextMap& before, const TextMap& now);  // "train.py changed"; "" if nothing did

// Skip, run or fail, and why.
Decided decide(store::Tx& tx, const RunFacts& facts, uint32_t stage, const base::Result<StageInputs>& inputs);

}  // namespace flow
