// The scheduler: `step(state, event, now) → effects`, pure. State is one run's, a value; what the world has to do comes
// out as effects, and what the world did goes in as events. No I/O, no clock, no randomness; new ids come in with the
// event that needs them. So a seeded simulator can delay, repeat and lose anything (tests/sim), and the engine
// (flow/engine.h) can run a step again after a conflict.
//
// A stage's way:  waiting → deciding → ready → running → done
//                                        ↑        │ (failed, tries left)
//                                        └ backoff ┘        running → killing → done (cancel, or past its time)
//
// Safety rests on one rule: an attempt's id is new with each Granted, and every later event carries it; events of
// another attempt than the stage's newest change nothing. So a repeated, late or stray event is harmless.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "flow/flow.h"

namespace flow {

enum class Phase : uint8_t {
  kWaiting,   // for upstream stages
  kDeciding,  // inputs are known: skip or run?
  kReady,     // wants slots
  kRunning,   // an attempt is committed; its process may not exist yet
  kKilling,   // told to end; the executor has not said yet that it did
  kBackoff,   // failed; the next try is due at not_before_us
  kDone,
};

enum class Outcome : uint8_t {
  kSucceeded,
  kFailed,  // exit code, or an out that was not made
  kTimedOut,
  kOutOfMemory,
  kKilled,      // on request: the run was cancelled, or `lathe down` ended all
  kLost,        // it was started and then vanished without a status: the machine or the warden died
  kNotStarted,  // the executor never heard of it
};
std::string_view name(Outcome outcome);

// A lost attempt is nobody's fault: it is tried again, this often, without counting as one of the stage's tries.
inline constexpr int kMaxLosses = 3;
// The executor enforces a timeout itself, also while no server runs. This much later the scheduler asks for the kill.
inline constexpr int64_t kTimeoutSlackUs = 30'000'000;

struct StageState {
  // Fixed for the run.
  std::vector<uint32_t> upstream;  // indices of the stages that must have succeeded
  int64_t slots = 1;
  int retries = 0;
  int64_t retry_delay_us = 1'000'000;
  int64_t timeout_us = 0;

  Phase phase = Phase::kWaiting;
  State result = State::kQueued;  // as people see it; final when phase is kDone
  std::string attempt;            // newest; for a skipped stage the earlier one whose results it takes
  std::string reason;
  int tries = 0;  // attempts that count
  int losses = 0;
  int64_t not_before_us = 0;
  int64_t started_us = 0;
  int64_t ended_us = 0;
};

struct RunState {
  State state = State::kQueued;
  bool cancelled = false;
  int64_t max_parallel = 0;  // 0: no limit of its own
  int64_t ended_us = 0;
  std::vector<StageState> stages;

  bool ended() const { return ended_us != 0; }
};

// What happened.
struct Resume {};  // the run was loaded: say again all that its state implies
struct CancelRun {};
struct Decided {
  enum class Verdict : uint8_t { kRun, kSkip, kFail };  // kFail: its inputs are not there
  uint32_t stage;
  Verdict verdict;
  std::string reason;
  std::string reuse;  // kSkip: the earlier attempt whose results it takes
};
struct Granted {
  uint32_t stage;
  std::string attempt;
};  // slots, and a new attempt's id
struct AttemptEnded {
  uint32_t stage;
  std::string attempt;
  Outcome outcome;
  std::string detail;
};
struct Tick {};  // time has passed
using Event = std::variant<Resume, CancelRun, Decided, Granted, AttemptEnded, Tick>;

// What the world has to do. Lists hold stage indices.
struct Effects {
  std::vector<uint32_t> changed;  // write these stages' rows
  std::vector<uint32_t> decide;   // look at the inputs, answer Decided
  std::vector<uint32_t> want;     // queue for slots, answer Granted
  std::vector<uint32_t> start;    // commit the attempt's row, then submit it
  std::vector<uint32_t> watch;    // ask the executor about an attempt that was committed earlier
  std::vector<uint32_t> kill;     // tell the executor to end the attempt
  struct Retired {
    uint32_t stage;
    std::string attempt;
    Outcome outcome;
  };
  std::vector<Retired> retired;  // ended attempts: their slots and tokens are free
  bool run_changed = false;      // the run's own row
  int64_t wake_at_us = 0;        // send Tick then; 0: no need
};

Effects step(RunState& run, const Event& event, int64_t now_us);

// The engine's slots, shared by all runs: first come, first served, so that a big stage is not starved by small ones.
class SlotPool {
 public:
  struct Request {
    int64_t run;
    uint32_t stage;
    int64_t slots;
  };  // run: the row's id

  explicit SlotPool(int64_t limit) : limit_(limit) {}
  void want(Request request);                            // a repeated request is ignored
  bool next(Request& out);                               // takes the first request if its slots are free
  void occupy(int64_t slots) { used_ += clamp(slots); }  // for attempts that run already
  void release(int64_t slots) { used_ -= clamp(slots); }
  int64_t used() const { return used_; }
  int64_t limit() const { return limit_; }

 private:
  int64_t clamp(int64_t slots) const { return slots < 1 ? 1 : slots > limit_ ? limit_ : slots; }
  int64_t limit_;
  int64_t used_ = 0;
  std::deque<Request> queue_;
  std::set<std::pair<int64_t, uint32_t>> queued_;
};

}  // namespace flow
