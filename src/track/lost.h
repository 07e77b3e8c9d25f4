// Runs whose client has vanished: RUNNING, and silent for too long. They are marked FAILED with the tag lathe.lost (the
// milliseconds of that moment), and RUNNING again when the client turns out to be alive. Who watches:
// server/run_watch.h. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr std::string_view kLostTag = "lathe.lost";

struct RunningRun {
  int64_t row = 0;
  int64_t project = 0;
  std::string run_id;
};
// Of all projects, by row, after `row`.
base::Result<std::vector<RunningRun>> running_runs(store::Tx& tx, int64_t row, int64_t limit);

enum class Liveness : uint8_t { kRunning, kEnded, kLost };
base::Result<Liveness> liveness(store::Tx& tx, std::string_view run_id);  // kEnded: also if it is not there

base::Result<void> mark_lost(store::Tx& tx, std::string_view run_id);   // nothing unless it is RUNNING
base::Result<void> mark_found(store::Tx& tx, std::string_view run_id);  // nothing unless it is lost

}  // namespace track
