// Rollout: what happens between "the gate passed" and "it serves for good". A new revision gets its share in steps
// (canary), then all of it, and bakes; when its errors, its latency or its accuracy by feedback fall outside the
// bounds, the endpoint goes back by itself. Who judges is one pure function; the rows and the thread are
// loop/roller.h's.
//
//   canary steps  beside the champion, on the same traffic at the same time
//   bake          alone, against what the champion did in as long a time before
//
// A step ends when its time is over and it saw `min_requests`; a bake ends with its time. What chance alone could have
// done moves nothing: before a step's end the endpoint goes back on what is beyond doubt (p <= 0.001), at its end on
// what is significant (1 - confidence). Thread: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loop {

inline constexpr int64_t kMinJudgedLabels = 30;         // of each side, before accuracies are compared
inline constexpr double kLeastSlowdownSeconds = 0.001;  // a slowdown below that is nobody's business
inline constexpr size_t kMaxRolloutSteps = 10;

struct RolloutRule {
  std::vector<uint32_t> steps;  // shares in hundredths of a percent, rising; none: at once
  int64_t wait_us = 0;          // of each step
  int64_t bake_us = 0;          // after all of the traffic is its; 0: none
  double max_errors = 0.01;     // share of requests that the model fails
  double max_slowdown = 2;      // its 95th percentile, as a multiple of the champion's
  int64_t min_requests = 50;
  double max_regression = 0.02;  // accuracy, as the gate says
  double confidence = 0.95;
  bool active() const { return !steps.empty() || bake_us > 0; }
};

// What one side did within the step.
struct RolloutSide {
  int64_t requests = 0;
  int64_t faults = 0;         // answers that failed, and not by the client's fault
  std::optional<double> p95;  // seconds
  int64_t labelled = 0, correct = 0;
};

enum class RolloutPhase : uint8_t { kCanary, kBake };

struct RolloutState {
  size_t step = 0;       // index into the steps; == their number: all of the traffic
  int64_t since_us = 0;  // when this step began
  RolloutPhase phase(const RolloutRule& rule) const {
    return step < rule.steps.size() ? RolloutPhase::kCanary : RolloutPhase::kBake;
  }
};

enum class RolloutAct : uint8_t { kWait, kAdvance, kFinish, kRevert };
struct RolloutDecision {
  RolloutAct act = RolloutAct::kWait;
  std::string reason;         // one sentence
  int64_t look_again_us = 0;  // kWait: the time decides then, if nothing happens before
};
RolloutDecision decide(const RolloutRule& rule, const RolloutState& state, const RolloutSide& challenger,
                       const RolloutSide& champion, int64_t now_us);

}  // namespace loop
