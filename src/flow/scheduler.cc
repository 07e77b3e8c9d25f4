#include "flow/scheduler.h"

#include <algorithm>

namespace flow {

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSucceeded: return "succeeded";
    case Outcome::kFailed: return "failed";
    case Outcome::kTimedOut: return "timed-out";
    case Outcome::kOutOfMemory: return "out-of-memory";
    case Outcome::kKilled: return "killed";
    case Outcome::kLost: return "lost";
    case Outcome::kNotStarted: return "not-started";
  }
  return "?";
}

namespace {

bool succeeded(const StageState& stage) {
  return stage.phase == Phase::kDone && (stage.result == State::kSucceeded || stage.result == State::kSkipped);
}

class Step {
 public:
  Step(RunState& run, int64_t now_us) : run_(run), now_us_(now_us) {}

  void operator()(const Resume&);
  void operator()(const CancelRun&);
  void operator()(const Decided& event);
  void operator()(const Granted& event);
  void operator()(const AttemptEnded& event);
  void operator()(const Tick&) {}

  Effects finish();

 private:
  void finish_stage(uint32_t index, State result, std::string reason);
  void retry_or_fail(uint32_t index, Outcome outcome, std::string reason);
  void unblock();
  void request_slots();
  void check_times();
  void end_run();
  void changed(uint32_t index) { effects_.changed.push_back(index); }
  void wake_at(int64_t at_us) {
    if (effects_.wake_at_us == 0 || at_us < effects_.wake_at_us) effects_.wake_at_us = at_us;
  }
  uint32_t size() const { return static_cast<uint32_t>(run_.stages.size()); }

  RunState& run_;
  int64_t now_us_;
  Effects effects_;
  bool repeat_wants_ = false;
};

void Step::operator()(const Resume&) {
  repeat_wants_ = true;
  for (uint32_t i = 0; i < size(); ++i) {
    switch (run_.stages[i].phase) {
      case Phase::kDeciding: effects_.decide.push_back(i); break;
      case Phase::kRunning: effects_.watch.push_back(i); break;
      case Phase::kKilling:
        effects_.watch.push_back(i);
        effects_.kill.push_back(i);
        break;
      default: break;
    }
  }
}

void Step::operator()(const CancelRun&) {
  if (run_.cancelled || run_.ended()) return;
  run_.cancelled = true;
  effects_.run_changed = true;
  for (uint32_t i = 0; i < size(); ++i) {
    StageState& stage = run_.stages[i];
    if (stage.phase == Phase::kDone || stage.phase == Phase::kKilling) continue;
    if (stage.phase == Phase::kRunning) {
      stage.phase = Phase::kKilling;
      stage.reason = "the run was cancelled";
      effects_.kill.push_back(i);
      changed(i);
    } else {
      finish_stage(i, State::kCancelled, "the run was cancelled");
    }
  }
}

void Step::operator()(const Decided& event) {
  if (event.stage >= size()) return;
  StageState& stage = run_.stages[event.stage];
  if (stage.phase != Phase::kDeciding) return;
  switch (event.verdict) {
    case Decided::Verdict::kSkip:
      stage.attempt = event.reuse;
      return finish_stage(event.stage, State::kSkipped, event.reason);
    case Decided::Verdict::kFail: return finish_stage(event.stage, State::kFailed, event.reason);
    case Decided::Verdict::kRun:
      stage.phase = Phase::kReady;
      stage.reason = event.reason;
      return changed(event.stage);
  }
}

void Step::operator()(const Granted& event) {
  if (event.stage >= size()) return;
  StageState& stage = run_.stages[event.stage];
  if (stage.phase != Phase::kReady) return;
  stage.phase = Phase::kRunning;
  stage.result = State::kRunning;
  stage.attempt = event.attempt;
  stage.tries += 1;
  stage.started_us = now_us_;
  if (run_.state == State::kQueued) {
    run_.state = State::kRunning;
    effects_.run_changed = true;
  }
  effects_.start.push_back(event.stage);
  changed(event.stage);
}

void Step::operator()(const AttemptEnded& event) {
  if (event.stage >= size()) return;
  StageState& stage = run_.stages[event.stage];
  const bool live = stage.phase == Phase::kRunning || stage.phase == Phase::kKilling;
  if (!live || stage.attempt != event.attempt) return;  // a repeated or late report
  effects_.retired.push_back({event.stage, event.attempt, event.outcome});
  if (run_.cancelled) {  // whatever it made is not taken
    finish_stage(event.stage, State::kCancelled, "the run was cancelled");
  } else if (stage.phase == Phase::kKilling) {  // past its time: the only other reason for which we kill
    retry_or_fail(event.stage, Outcome::kTimedOut, stage.reason);
  } else if (event.outcome == Outcome::kSucceeded) {
    finish_stage(event.stage, State::kSucceeded, stage.reason);
  } else if (event.outcome == Outcome::kKilled) {  // not by this run: `lathe down` ends all that runs, for good
    finish_stage(event.stage, State::kCancelled, event.detail);
    (*this)(CancelRun{});
  } else {
    retry_or_fail(event.stage, event.outcome, event.detail);
  }
}

void Step::retry_or_fail(uint32_t index, Outcome outcome, std::string reason) {
  StageState& stage = run_.stages[index];
  int64_t delay_us = 0;
  if (outcome == Outcome::kLost || outcome == Outcome::kNotStarted) {
    stage.tries -= 1;
    stage.losses += 1;
    if (stage.losses > kMaxLosses) return finish_stage(index, State::kFailed, std::move(reason));
    delay_us = outcome == Outcome::kNotStarted && stage.losses == 1 ? 0 : stage.retry_delay_us;
  } else {
    if (stage.tries > stage.retries) return finish_stage(index, State::kFailed, std::move(reason));
    const int doublings = std::min(stage.tries - 1, 30);
    delay_us = std::min(stage.retry_delay_us << doublings, kMaxRetryDelayUs);
  }
  stage.phase = Phase::kBackoff;
  stage.result = State::kQueued;
  stage.reason = std::move(reason);
  stage.not_before_us = now_us_ + delay_us;
  changed(index);
}

void Step::finish_stage(uint32_t index, State result, std::string reason) {
  StageState& stage = run_.stages[index];
  stage.phase = Phase::kDone;
  stage.result = result;
  stage.reason = std::move(reason);
  stage.ended_us = now_us_;
  changed(index);
}

// Waiting stages whose upstream has ended: on to the decision, or upstream-failed. Repeats because that verdict travels
// down the graph, and stages may stand in any order.
void Step::unblock() {
  for (bool again = true; again;) {
    again = false;
    for (uint32_t i = 0; i < size(); ++i) {
      StageState& stage = run_.stages[i];
      if (stage.phase != Phase::kWaiting) continue;
      bool all = true, dead = false;
      for (const uint32_t up : stage.upstream) {
        all &= succeeded(run_.stages[up]);
        dead |= run_.stages[up].phase == Phase::kDone && !succeeded(run_.stages[up]);
      }
      if (dead) {
        finish_stage(i, State::kUpstreamFailed, "a stage that it needs did not succeed");
        again = true;
      } else if (all) {
        stage.phase = Phase::kDeciding;
        effects_.decide.push_back(i);
        changed(i);
      }
    }
  }
}

// Stages past their time are killed; stages whose backoff is over are ready again.
void Step::check_times() {
  for (uint32_t i = 0; i < size(); ++i) {
    StageState& stage = run_.stages[i];
    if (stage.phase == Phase::kBackoff) {
      // A wall clock that was set back must not stretch the wait.
      if (stage.not_before_us > now_us_ + kMaxRetryDelayUs) {
        stage.not_before_us = now_us_ + kMaxRetryDelayUs;
        changed(i);
      }
      if (stage.not_before_us <= now_us_) {
        stage.phase = Phase::kReady;
        changed(i);
      } else {
        wake_at(stage.not_before_us);
      }
    } else if (stage.phase == Phase::kRunning && stage.timeout_us > 0) {
      const int64_t deadline_us = stage.started_us + stage.timeout_us + kTimeoutSlackUs;
      if (deadline_us <= now_us_) {
        stage.phase = Phase::kKilling;
        stage.reason = "it ran longer than its timeout";
        effects_.kill.push_back(i);
        changed(i);
      } else {
        wake_at(deadline_us);
      }
    }
  }
}

// Ready stages queue for slots, within the run's own limit. Only those that became ready in this step are asked for,
// unless the limit held some back.
void Step::request_slots() {
  int64_t running = 0;
  for (const StageState& stage : run_.stages)
    running += stage.phase == Phase::kRunning || stage.phase == Phase::kKilling;
  for (uint32_t i = 0; i < size(); ++i) {
    if (run_.stages[i].phase != Phase::kReady) continue;
    if (run_.max_parallel > 0 && running >= run_.max_parallel) return;
    running += 1;
    const bool fresh = std::find(effects_.changed.begin(), effects_.changed.end(), i) != effects_.changed.end();
    if (fresh || repeat_wants_ || run_.max_parallel > 0) effects_.want.push_back(i);
  }
}

void Step::end_run() {
  if (run_.ended()) return;
  State result = State::kSucceeded;
  for (const StageState& stage : run_.stages) {
    if (stage.phase != Phase::kDone) return;
    if (stage.result == State::kFailed) result = State::kFailed;
  }
  if (run_.cancelled) result = State::kCancelled;
  run_.state = result;
  run_.ended_us = now_us_;
  effects_.run_changed = true;
}

Effects Step::finish() {
  if (!run_.ended()) {
    unblock();
    check_times();
    request_slots();
    end_run();
  }
  std::sort(effects_.changed.begin(), effects_.changed.end());
  effects_.changed.erase(std::unique(effects_.changed.begin(), effects_.changed.end()), effects_.changed.end());
  return std::move(effects_);
}

}  // namespace

Effects step(RunState& run, const Event& event, int64_t now_us) {
  Step step(run, now_us);
  std::visit(step, event);
  return step.finish();
}

void SlotPool::want(Request request) {
  if (queued_.emplace(request.run, request.stage).second) queue_.push_back(request);
}

bool SlotPool::next(Request& out) {
  if (queue_.empty() || used_ + clamp(queue_.front().slots) > limit_) return false;
  out = queue_.front();
  queue_.pop_front();
  queued_.erase({out.run, out.stage});
  used_ += clamp(out.slots);
  return true;
}

}  // namespace flow
