// The roller carries rollouts (loop/rollout.h) out: one row each in `loop_rollouts`, begun in the transaction of the
// promotion that it belongs to, moved on by a thread that looks at the traffic, the labels and the clock.
//
//   running → done | reverted | stopped (somebody else changed the endpoint: the rollout is no longer about it)
//
// A restart goes on with what the rows say; a step is fenced by the endpoint's generation, so that a person's act is
// never undone. Every move leaves the event "rollout.advanced", "rollout.done", "rollout.reverted" or
// "rollout.stopped". Thread: the Roller has one of its own; its destructor joins it. The rest are functions on a Tx.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "loop/promote.h"
#include "loop/rollout.h"
#include "stats/compare.h"

namespace loop {

struct Rollout {
  int64_t id = 0;
  std::string endpoint, verdict;
  int64_t revision = 0, champion = 0;
  std::string state;  // running, done, reverted, stopped
  RolloutRule rule;
  RolloutState at;
  int64_t generation = 0;  // of the endpoint, after our last act
  std::string reason;      // of the last move
  std::string numbers;     // JSON: what both sides did in the last step, as last looked at
  int64_t started_us = 0, ended_us = 0;
};
// The rule of lathe.yaml becomes a row; another one that runs for the endpoint is stopped.
base::Result<void> begin_rollout(store::Tx& tx, const Rollout& rollout);
std::vector<Rollout> list_rollouts(store::Tx& tx, std::string_view endpoint, size_t limit = 20);  // newest first
base::Result<std::optional<Rollout>> running_rollout(store::Tx& tx, std::string_view endpoint);

// Labelled predictions of each revision, by the labels received since.
struct RevisionLabels {
  int64_t revision = 0;
  int64_t labelled = 0, correct = 0;
  stats::Moments error, reward;  // of labels that are numbers: their distance from the prediction, and themselves
};
base::Result<std::vector<RevisionLabels>> labels_by_revision(store::Store& store, serve::Runtime& runtime,
                                                             const base::Context& ctx, std::string_view endpoint,
                                                             int64_t since_us);

class Roller {
 public:
  struct Options {
    int64_t look_us = 2'000'000;  // while a rollout runs; 0: no thread, look() is called by hand
  };
  Roller(store::Store& store, blob::BlobStore& blobs, serve::Runtime& runtime, const base::Clock& clock,
         Options options);
  ~Roller();
  Roller(const Roller&) = delete;

  // One look at every running rollout and every bandit; answers how many there are.
  size_t look();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace loop
