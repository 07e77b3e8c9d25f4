// One transaction of the engine: events of many runs go through the scheduler, and all that follows from them
// (decisions to skip, granted slots, new attempts with their tokens, results) is settled until nothing is left to
// settle; then the rows are written. Only what must happen outside (submit, cancel, release) is answered, to be done
// after the commit.
//
// The function may be run again, so it works on copies: whatever it changed is in its answer.
// Thread: on a transaction of the engine's thread.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flow/executor.h"
#include "flow/inputs.h"
#include "flow/live_run.h"
#include "flow/scheduler.h"

namespace flow {

inline constexpr size_t kBatchEvents = 256;  // events in one transaction

struct EngineOptions {
  std::string server_url;  // for stages: MLFLOW_TRACKING_URI, LATHE_SERVER
  std::string project_name = "default";
  base::Path binary_dir;                   // first in PATH, so that `lathe` is found
  std::map<std::string, std::string> env;  // base::allowed_environment()
  int64_t slots = 0;                       // 0: the machine's processors
  base::Tracer* tracer = nullptr;          // null: attempts are not traced
  NewestData newest_data;
};

struct Batch {
  std::vector<std::pair<int64_t, Event>> events;     // by run row
  std::map<std::string, std::vector<OutFile>> outs;  // of attempts whose success is among the events
  std::map<std::string, std::string> handles;        // attempts that the executor says it started
  std::vector<int64_t> inbox;                        // rows of flow_inbox that these events answer
};

struct Outside {  // to be done after the commit
  struct Adoption {
    AttemptSpec spec;
    std::string handle;
  };
  struct Release {
    std::string attempt;
    bool keep_workspace;
  };
  std::vector<AttemptSpec> submit;
  std::vector<Adoption> adopt;
  std::vector<std::pair<std::string, std::string>> cancel;  // attempt, why
  std::vector<Release> release;
  std::map<int64_t, int64_t> wake_at_us;  // run row → when it wants a Tick; 0: never
  size_t transitions = 0;
};

struct Advance {
  std::map<int64_t, LiveRun> runs;  // those that were touched, as they are now
  SlotPool pool{1};
  Outside outside;
};

using BundleCache = std::map<std::string, BundleFiles, std::less<>>;

base::Result<Advance> advance(store::Tx& tx, const std::map<int64_t, LiveRun>& live, const SlotPool& pool,
                              const Batch& batch, const EngineOptions& options, BundleCache& bundles);

}  // namespace flow
