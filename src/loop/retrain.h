// Retraining: an open alert about what serves now → one pipeline run, after the cooldown and with enough labels.
//
//   once per alert       loop_retrainings has one row per alert, written in the transaction that creates the run
//   cooldown             since the endpoint's last retraining began
//   minimum of labels    on rows since the alert's first crossing window
// A retraining whose gate says no is a recorded outcome; only another alert begins another one.
//
// The consumer reacts to "alert.raised" and "feedback.received"; what only waits for its cooldown is looked at again
// when that ends. Cron is the flow engine's (PipelineSpec.cron). Thread: two of its own; the destructor joins them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/store.h"

namespace loop {

struct RetrainCheck {
  std::vector<std::string> started;  // pipeline runs
  int64_t look_again_us = 0;         // wall time; 0: only an event can change the answer
};
// Every endpoint of the Tx's project. Called by the Retrainer; a plain function for tests.
base::Result<RetrainCheck> check_retraining(store::Tx& tx);

struct Retraining {
  std::string alert, endpoint, run;
  int64_t labels = 0;
  int64_t at_us = 0;
};
std::vector<Retraining> list_retrainings(store::Tx& tx, std::string_view endpoint, size_t limit = 50);  // newest first

inline constexpr std::string_view kRetrainConsumer = "retrain";  // its position in the log of events

class Retrainer {
 public:
  Retrainer(store::Store& store, const base::Clock& clock);
  ~Retrainer();
  Retrainer(const Retrainer&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace loop
