// How much there is, for a page that says so in a word. Thread: a function on a Tx.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr int64_t kCountedRuns = 100'000;  // counting stops there: "100,000 or more"

struct Census {
  int64_t experiments = 0, runs = 0, models = 0;
};
base::Result<Census> census(store::Tx& tx);

}  // namespace track
