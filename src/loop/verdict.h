// Verdicts: the gate's answer for one pipeline run and endpoint; stored once, immutable, with its numbers.
//
// plan (what must be measured) → gate_input (which evaluations) → judge (loop/gate.h, pure) → store_verdict.
// Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "blob/blob.h"
#include "loop/evaluation.h"
#include "loop/gate.h"
#include "store/tx.h"

namespace loop {

struct Verdict {
  std::string id;  // "vd_…"
  std::string run, pipeline;
  std::string environment, endpoint;
  std::string model;              // registered model's name
  std::string challenger;         // logged model id
  std::string artifact_root;      // its files
  std::string transform_digest;   // its preparation
  std::string champion;           // version "name/3", or "" at the first promotion
  int64_t champion_revision = 0;  // live revision that it was judged against; 0: none
  std::string kind;               // first, update, retraining, unchanged
  bool passed = false;
  std::string reason;   // one sentence for people
  std::string numbers;  // JSON: rows named, values with intervals, differences, tests, checks
  int64_t at_us = 0;
};

// The per-row predictions that the plan's evaluations kept, read into the gate's input. kConflict while something is
// still to be measured. Blocks on the blob store.
base::Result<GateInput> gate_input(const EvaluationPlan& plan, blob::BlobStore& blobs);

// What a run says whose picked model serves already: nothing to compare, nothing to promote.
GateResult unchanged_result(const EvaluationPlan& plan);

// Idempotent by (run, endpoint): a second call answers the stored one.
base::Result<Verdict> store_verdict(store::Tx& tx, const EvaluationPlan& plan, std::string_view kind,
                                    const GateResult& result, std::string_view attempt);
base::Result<Verdict> get_verdict(store::Tx& tx, std::string_view id);
base::Result<std::optional<Verdict>> verdict_of_run(store::Tx& tx, std::string_view run);
std::vector<Verdict> list_verdicts(store::Tx& tx, std::string_view pipeline,
                                   size_t limit = 50);                                        // newest first; "": all
std::vector<Verdict> verdicts_of_model(store::Tx& tx, std::string_view model, size_t limit);  // newest first
std::vector<Verdict> verdicts_of_challenger(store::Tx& tx, std::string_view challenger, size_t limit);  // newest first

}  // namespace loop
