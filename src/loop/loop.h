// The loop: acts that span domains, each one transaction or a preparation followed by one.
//   apply     lathe.yaml + bundle → data definitions, pipeline, model, gate, endpoint, monitor, triggers
//   evaluate  rows × versions → metrics, intervals, slices, per-row predictions (made by a worker through the core)
//   gate      evaluations → verdict, immutable, with its numbers
//   promote   verdict → alias + revision + baseline + edge + audit + event; then the flip. rollback is its mirror
//   retrain   alert or time → pipeline run, with cooldown and a minimum of labels
//   lineage   id → what it came from and what it touched
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace loop {

struct Verdict {
  std::string id;             // "vd_…"
  std::string model;
  std::string challenger;     // logged model id
  std::string champion;       // version "name/3" or "" at the first promotion
  bool passed = false;
  std::string reason;         // one sentence for people
  std::string numbers;        // JSON: rows named, metrics with intervals, differences, tests
  int64_t at_us = 0;
};

}  // namespace loop
