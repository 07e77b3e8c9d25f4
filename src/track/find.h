// Objects of tracking by a piece of their name or the beginning of their id, for a search box: quick, bounded, newest
// first. Thread: a function on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr int64_t kFindRuns = 50'000;  // newest runs whose names are looked at; ids are found among all

struct Found {
  std::string kind;  // run, experiment, registered_model, logged_model
  std::string id, name;
  std::string detail;  // a run's experiment
  int64_t at_ms = 0;
};
base::Result<std::vector<Found>> find(store::Tx& tx, std::string_view text, size_t limit);

}  // namespace track
