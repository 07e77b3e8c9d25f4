// The gate: a pure function from the per-row predictions of challenger and champion to a verdict with its numbers.
//
//   first       no champion: the frozen test, its interval, and the absolute bound if one is declared
//   update      a champion serves, the run is no retraining: no loss beyond max_regression on the frozen test
//   retraining  (a) as update, and (b) significantly better on the recent rows, which neither model trained on
//
// Loss: the lower end of the paired bootstrap interval of (challenger − champion). Better: the one-sided p of the
// paired bootstrap is at most 1 − confidence; McNemar's test on the same rows stands beside it. Thread: plain
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "loop/config.h"

namespace loop {

inline constexpr int kGateResamples = 10'000;

enum class GateKind : uint8_t { kFirst, kUpdate, kRetraining };
std::string_view name(GateKind kind);

// Named rows, judged by one model or by both.
struct GateRows {
  std::string data_version;
  std::string part;
  std::string digest;  // SHA-256 of the part's bytes: which rows these are
  std::vector<std::string> truth;
  std::vector<std::string> challenger;
  std::vector<std::string> champion;  // empty without one
  std::string challenger_evaluation, champion_evaluation;
};

struct GateInput {
  GateKind kind = GateKind::kFirst;
  GateConfig rule;
  std::string metric;
  std::string challenger;  // names, for the sentence
  std::string champion;
  GateRows test;
  std::optional<GateRows> recent;
};

struct GateResult {
  bool passed = false;
  std::string reason;   // one sentence for people
  std::string numbers;  // JSON (docs/formats/verdict.md)
};

base::Result<GateResult> judge(const GateInput& input);

}  // namespace loop
