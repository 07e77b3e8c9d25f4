#include "world.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <tuple>
#include <vector>

#include "base/ids.h"
#include "flow/scheduler.h"

namespace sim {
namespace {

using namespace flow;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kWallStart = 1'700'000'000 * kSecond;
constexpr int64_t kFaultsEnd = 600 * kSecond;
constexpr int64_t kLongestSleep = 60 * kSecond;  // as the engine's
constexpr uint64_t kMostSteps = 200'000;         // a world that needs more does not end

struct StoredRun {
  RunState state;
  int64_t version = 1;
  bool cancel_asked = false;
};

struct Attempt {
  int64_t run = 0;
  uint32_t stage = 0;
  int starts = 0;
  bool fenced = false;  // asked about before it was started: never to be started
  bool running = false;
  bool ended = false;
  Outcome outcome = Outcome::kLost;
};

// What an engine's side of the executor remembers; dies with it.
struct Ordered {
  bool adopt = false;
  bool kill = false;
};

struct Engine {
  bool alive = true;
  std::map<int64_t, std::pair<RunState, int64_t>> live;  // state, version
  SlotPool pool{1};
  std::map<std::string, Ordered> orders;
  std::map<int64_t, int64_t> wake;  // run → wall time
};
using EnginePtr = std::shared_ptr<Engine>;

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}
  Report run();

 private:
  // chance and time
  uint64_t below(uint64_t n) { return random_.below(n); }
  bool faulty(uint64_t one_in) { return now_ < kFaultsEnd && below(one_in) == 0; }
  int64_t delay() { return static_cast<int64_t>(below(faulty(8) ? 20 * kSecond : 50'000)); }
  int64_t wall() const { return kWallStart + now_ + wall_offset_; }
  void at(int64_t when, std::function<void()> what) { agenda_.push({when, ++sequence_, std::move(what)}); }
  void fail(const std::string& what) {
    if (report_.violation.empty()) report_.violation = what + " (at " + std::to_string(now_) + " us)";
  }

  // the store and who asks for what
  void make_run();
  void cancel_some();
  bool commit(const EnginePtr& engine, std::map<int64_t, std::pair<RunState, int64_t>>& touched);
  void check_commit(int64_t run, const RunState& before, const RunState& after);

  // an engine
  void start_engine();
  void crash(const EnginePtr& engine);
  void look_at_inbox(const EnginePtr& engine);
  void process(const EnginePtr& engine, std::vector<std::pair<int64_t, Event>> events);
  Decided decide(uint32_t stage);
  void set_timer(const EnginePtr& engine);
  void on_timer(const EnginePtr& engine);

  // the executor
  void order(const EnginePtr& engine, const std::string& attempt);
  void deliver(const EnginePtr& engine, const std::string& attempt);
  void start_attempt(const std::string& attempt);
  void end_attempt(const std::string& attempt, Outcome outcome);
  void tell(const EnginePtr& engine, const std::string& attempt, Outcome outcome);
  void say_again(const EnginePtr& engine);
  void reboot();

  void check_end();

  struct Entry {
    int64_t when;
    uint64_t sequence;
    std::function<void()> what;
    bool operator<(const Entry& other) const { return std::tie(when, sequence) > std::tie(other.when, other.sequence); }
  };

  base::SeededRandom random_;
  int64_t now_ = 0, wall_offset_ = 0;
  uint64_t sequence_ = 0, next_attempt_ = 0;
  std::priority_queue<Entry> agenda_;
  std::map<int64_t, StoredRun> store_;
  std::map<std::string, Attempt> attempts_;  // committed ones
  EnginePtr engine_;
  int64_t slots_ = 1;
  Report report_;
};

Report World::run() {
  slots_ = 1 + static_cast<int64_t>(below(4));
  const uint64_t runs = 1 + below(5);
  for (uint64_t i = 0; i < runs; ++i) at(static_cast<int64_t>(below(300)) * kSecond, [this] { make_run(); });
  for (uint64_t i = 0; i < below(4); ++i) at(static_cast<int64_t>(below(500)) * kSecond, [this] { cancel_some(); });
  for (uint64_t i = 0; i < below(8); ++i) at(static_cast<int64_t>(below(600)) * kSecond, [this] { crash(engine_); });
  for (uint64_t i = 0; i < below(3); ++i) at(static_cast<int64_t>(below(600)) * kSecond, [this] { reboot(); });
  for (uint64_t i = 0; i < below(4); ++i)
    at(static_cast<int64_t>(below(600)) * kSecond,
       [this] { wall_offset_ += (static_cast<int64_t>(below(7200)) - 3600) * kSecond; });
  start_engine();
  while (!agenda_.empty() && report_.violation.empty()) {
    if (++report_.steps > kMostSteps) {
      fail("the world does not come to rest");
      break;
    }
    Entry entry = agenda_.top();
    agenda_.pop();
    now_ = std::max(now_, entry.when);
    entry.what();
    const bool over =
        now_ > kFaultsEnd && std::ranges::all_of(store_, [](const auto& item) { return item.second.state.ended(); });
    if (over) break;
  }
  check_end();
  return report_;
}

void World::make_run() {
  const int64_t id = static_cast<int64_t>(store_.size()) + 1;
  RunState run;
  const uint64_t n = 1 + below(7);
  run.max_parallel = static_cast<int64_t>(below(3));
  for (uint64_t i = 0; i < n; ++i) {
    StageState stage;
    for (uint64_t up = 0; up < i; ++up)
      if (below(3) == 0) stage.upstream.push_back(static_cast<uint32_t>(up));
    stage.slots = 1 + static_cast<int64_t>(below(3));
    stage.retries = static_cast<int>(below(4));
    stage.retry_delay_us = static_cast<int64_t>(below(5)) * kSecond;
    stage.timeout_us = below(2) ? 30 * kSecond : 0;
    run.stages.push_back(std::move(stage));
  }
  store_[id] = {.state = std::move(run)};
  at(now_ + delay(), [this] { look_at_inbox(engine_); });  // the wake-up may come late; a restart looks anyway
}

void World::cancel_some() {
  if (store_.empty()) return;
  StoredRun& run = store_.at(1 + static_cast<int64_t>(below(store_.size())));
  if (run.state.ended()) return;
  run.cancel_asked = true;
  at(now_ + delay(), [this] { look_at_inbox(engine_); });
}

void World::start_engine() {
  engine_ = std::make_shared<Engine>();
  engine_->pool = SlotPool(slots_);
  std::vector<std::pair<int64_t, Event>> events;
  for (auto& [id, stored] : store_) {
    if (stored.state.ended()) continue;
    engine_->live[id] = {stored.state, stored.version};
    for (const StageState& stage : stored.state.stages)
      if (stage.phase == Phase::kRunning || stage.phase == Phase::kKilling) engine_->pool.occupy(stage.slots);
    events.emplace_back(id, Resume{});
    if (stored.cancel_asked && !stored.state.cancelled) events.emplace_back(id, CancelRun{});
  }
  at(now_ + 5 * kSecond, [this, engine = engine_] { say_again(engine); });
  process(engine_, std::move(events));
}

// The process goes; sometimes it was only paused, and a zombie goes on beside its successor.
void World::crash(const EnginePtr& engine) {
  if (!engine->alive || engine != engine_) return;
  ++report_.crashes;
  const bool zombie = below(4) == 0;
  if (!zombie)
    engine->alive = false;
  else
    at(now_ + static_cast<int64_t>(below(30)) * kSecond, [engine] { engine->alive = false; });
  engine_ = std::make_shared<Engine>();
  engine_->alive = false;  // until it is up
  at(now_ + static_cast<int64_t>(below(20)) * kSecond, [this] { start_engine(); });
}

void World::look_at_inbox(const EnginePtr& engine) {
  if (!engine->alive) return;
  std::vector<std::pair<int64_t, Event>> events;
  for (auto& [id, stored] : store_) {
    if (stored.state.ended()) continue;
    if (!engine->live.contains(id)) {
      engine->live[id] = {stored.state, stored.version};
      events.emplace_back(id, Resume{});
    }
    if (stored.cancel_asked && !stored.state.cancelled) events.emplace_back(id, CancelRun{});
  }
  process(engine, std::move(events));
}

Decided World::decide(uint32_t stage) {
  const uint64_t dice = below(20);
  if (dice == 0) return {.stage = stage, .verdict = Decided::Verdict::kFail, .reason = "no input", .reuse = ""};
  if (dice < 4) return {.stage = stage, .verdict = Decided::Verdict::kSkip, .reason = "unchanged", .reuse = "old"};
  return {.stage = stage, .verdict = Decided::Verdict::kRun, .reason = "changed", .reuse = ""};
}

// As flow/advance.cc: to a fixed point on copies, one commit, then the outside. It may die before or after the commit.
void World::process(const EnginePtr& engine, std::vector<std::pair<int64_t, Event>> events) {
  if (!engine->alive) return;
  std::map<int64_t, std::pair<RunState, int64_t>> touched;
  SlotPool pool = engine->pool;
  std::deque<std::pair<int64_t, Event>> queue(events.begin(), events.end());
  std::vector<std::string> orders, kills, adoptions, releases;
  std::map<std::string, Attempt> begun;
  std::map<int64_t, int64_t> wake;
  const auto touch = [&](int64_t id) -> RunState* {
    if (const auto mine = touched.find(id); mine != touched.end()) return &mine->second.first;
    const auto known = engine->live.find(id);
    return known == engine->live.end() ? nullptr : &touched.emplace(id, known->second).first->second.first;
  };
  const auto apply = [&](int64_t id, const Event& event) {
    RunState* run = touch(id);
    if (!run) return;
    const Effects effects = step(*run, event, wall());
    for (const auto& retired : effects.retired) {
      pool.release(run->stages[retired.stage].slots);
      releases.push_back(retired.attempt);
    }
    for (const uint32_t i : effects.decide) queue.emplace_back(id, decide(i));
    for (const uint32_t i : effects.want) pool.want({id, i, run->stages[i].slots});
    for (const uint32_t i : effects.start) {
      begun[run->stages[i].attempt] = {.run = id, .stage = i};
      orders.push_back(run->stages[i].attempt);
    }
    for (const uint32_t i : effects.watch) adoptions.push_back(run->stages[i].attempt);
    for (const uint32_t i : effects.kill) kills.push_back(run->stages[i].attempt);
    wake[id] = effects.wake_at_us;
  };
  do {
    while (!queue.empty()) {
      const auto [id, event] = queue.front();
      queue.pop_front();
      apply(id, event);
    }
    for (SlotPool::Request request{}; pool.next(request);) {
      RunState* run = touch(request.run);
      if (!run || run->stages[request.stage].phase != Phase::kReady)
        pool.release(request.slots);
      else
        apply(request.run, Granted{request.stage, "at_" + std::to_string(++next_attempt_)});
    }
  } while (!queue.empty());
  if (touched.empty()) return;
  if (faulty(200)) return crash(engine);
  if (!commit(engine, touched)) return;
  attempts_.insert(begun.begin(), begun.end());
  if (faulty(200)) return crash(engine);
  engine->pool = pool;
  for (auto& [id, pair] : touched) {
    engine->wake[id] = pair.first.ended() ? 0 : wake[id];
    if (pair.first.ended())
      engine->live.erase(id);
    else
      engine->live[id] = pair;
  }
  for (const std::string& attempt : orders) engine->orders[attempt] = {};
  for (const std::string& attempt : adoptions) engine->orders.try_emplace(attempt, Ordered{.adopt = true});
  for (const std::string& attempt : kills)
    if (const auto found = engine->orders.find(attempt); found != engine->orders.end()) found->second.kill = true;
  for (const auto* list : {&orders, &adoptions, &kills})
    for (const std::string& attempt : *list) order(engine, attempt);
  for (const std::string& attempt : releases) engine->orders.erase(attempt);
  set_timer(engine);
}

bool World::commit(const EnginePtr& engine, std::map<int64_t, std::pair<RunState, int64_t>>& touched) {
  for (const auto& [id, pair] : touched)
    if (store_.at(id).version != pair.second) {
      ++report_.conflicts;
      engine->alive = false;  // it was not the owner any more
      if (engine == engine_) fail("the owner met a conflict");
      return false;
    }
  for (auto& [id, pair] : touched) {
    StoredRun& stored = store_.at(id);
    check_commit(id, stored.state, pair.first);
    stored.state = pair.first;
    stored.version = ++pair.second;
  }
  return true;
}

void World::check_commit(int64_t id, const RunState& before, const RunState& after) {
  const std::string who = "run " + std::to_string(id);
  if (before.ended() && (after.state != before.state || after.ended_us != before.ended_us))
    fail(who + " changed after its end");
  if (before.cancelled && !after.cancelled) fail(who + " forgot its cancel");
  for (size_t i = 0; i < after.stages.size(); ++i) {
    const StageState& was = before.stages[i];
    const StageState& is = after.stages[i];
    const std::string what = who + " stage " + std::to_string(i);
    if (was.phase == Phase::kDone && (is.phase != Phase::kDone || is.result != was.result || is.attempt != was.attempt))
      fail(what + " changed after its end");
    if (before.cancelled && is.attempt != was.attempt && is.phase != Phase::kDone)
      fail(what + " began an attempt after the cancel");
    if (before.cancelled && was.phase != Phase::kDone && is.result == State::kSucceeded)
      fail(what + " succeeded after the cancel");
    if (is.tries > 1 + is.retries || is.losses > kMaxLosses + 1) fail(what + " is tried too often");
    if (is.phase == Phase::kRunning && was.attempt != is.attempt)
      for (const uint32_t up : is.upstream)
        if (after.stages[up].phase != Phase::kDone ||
            (after.stages[up].result != State::kSucceeded && after.stages[up].result != State::kSkipped))
          fail(what + " began before stage " + std::to_string(up));
    if (is.phase == Phase::kDone && is.result == State::kSucceeded && was.phase != Phase::kDone) {
      const auto attempt = attempts_.find(is.attempt);
      if (attempt == attempts_.end() || !attempt->second.ended || attempt->second.outcome != Outcome::kSucceeded)
        fail(what + " succeeded without an attempt that did");
    }
  }
}

void World::set_timer(const EnginePtr& engine) {
  int64_t sleep = kLongestSleep;
  for (const auto& [id, when] : engine->wake)
    if (when > 0) sleep = std::clamp<int64_t>(when - wall(), 0, sleep);
  at(now_ + sleep, [this, engine] { on_timer(engine); });
}

void World::on_timer(const EnginePtr& engine) {
  if (!engine->alive) return;
  std::vector<std::pair<int64_t, Event>> events;
  for (auto& [id, when] : engine->wake)
    if (when > 0 && when <= wall()) {
      when = 0;
      events.emplace_back(id, Tick{});
    }
  if (events.empty() && now_ < 10 * kFaultsEnd && !engine->live.empty())
    return at(now_ + kSecond, [this, engine] { on_timer(engine); });
  process(engine, std::move(events));
}

// A command travels: late, twice, or not at all (then it is said again, see say_again).
void World::order(const EnginePtr& engine, const std::string& attempt) {
  if (!faulty(10)) at(now_ + delay(), [this, engine, attempt] { deliver(engine, attempt); });
  if (faulty(10)) at(now_ + delay(), [this, engine, attempt] { deliver(engine, attempt); });
}

// At the executor. Commands of a dead engine may still arrive: they were on their way.
void World::deliver(const EnginePtr& engine, const std::string& id) {
  const auto order = engine->orders.find(id);
  if (order == engine->orders.end()) return;
  Attempt& attempt = attempts_.at(id);
  if (attempt.ended) return tell(engine, id, attempt.outcome);
  if (attempt.running) {
    if (order->second.kill) end_attempt(id, Outcome::kKilled);
    return;
  }
  if (attempt.fenced) return tell(engine, id, Outcome::kNotStarted);
  if (order->second.adopt || order->second.kill) {
    attempt.fenced = true;
    return tell(engine, id, order->second.adopt ? Outcome::kNotStarted : Outcome::kKilled);
  }
  start_attempt(id);
}

void World::start_attempt(const std::string& id) {
  Attempt& attempt = attempts_.at(id);
  ++report_.attempts;
  if (++attempt.starts > 1) fail("attempt " + id + " was started twice");
  attempt.running = true;
  int64_t used = 0;
  for (const auto& [other, state] : attempts_) {
    if (!state.running) continue;
    used += std::clamp<int64_t>(store_.at(state.run).state.stages[state.stage].slots, 1, slots_);
    if (other != id && state.run == attempt.run && state.stage == attempt.stage)
      fail("stage " + std::to_string(attempt.stage) + " of run " + std::to_string(attempt.run) +
           " runs twice: " + other + ", " + id);
  }
  if (used > slots_) fail(std::to_string(used) + " slots are used of " + std::to_string(slots_));
  const StageState& stage = store_.at(attempt.run).state.stages[attempt.stage];
  int64_t takes = static_cast<int64_t>(below(20'000'000));
  Outcome outcome = below(4) ? Outcome::kSucceeded : below(5) ? Outcome::kFailed : Outcome::kOutOfMemory;
  if (below(30) == 0 && stage.timeout_us > 0)
    takes = 400 * kSecond;  // hangs, and the executor does not notice
  else if (stage.timeout_us > 0 && takes > stage.timeout_us)
    takes = stage.timeout_us, outcome = Outcome::kTimedOut;
  at(now_ + takes, [this, id, outcome] { end_attempt(id, outcome); });
}

void World::end_attempt(const std::string& id, Outcome outcome) {
  Attempt& attempt = attempts_.at(id);
  if (!attempt.running) return;
  attempt.running = false;
  attempt.ended = true;
  attempt.outcome = outcome;
  tell(engine_, id, outcome);
}

// News travels: late, twice, or not at all; also after it was settled, for the scheduler to know better.
void World::tell(const EnginePtr& engine, const std::string& id, Outcome outcome) {
  const auto news = [this, engine, id, outcome] {
    const Attempt& attempt = attempts_.at(id);
    process(engine, {{attempt.run, AttemptEnded{attempt.stage, id, outcome, "news"}}});
  };
  if (!faulty(10)) at(now_ + delay(), news);
  if (faulty(10)) at(now_ + delay(), news);
}

// The connection is made anew now and then, and everything that is not settled is said again.
void World::say_again(const EnginePtr& engine) {
  if (!engine->alive) return;
  for (const auto& [attempt, order] : engine->orders) deliver(engine, attempt);
  if (now_ < 10 * kFaultsEnd)
    at(now_ + (2 + static_cast<int64_t>(below(8))) * kSecond, [this, engine] { say_again(engine); });
}

void World::reboot() {
  std::vector<std::string> running;
  for (const auto& [id, attempt] : attempts_)
    if (attempt.running) running.push_back(id);
  for (const std::string& id : running) end_attempt(id, Outcome::kLost);
}

void World::check_end() {
  for (const auto& [id, stored] : store_) {
    if (!stored.state.ended()) return fail("run " + std::to_string(id) + " did not end");
    if (stored.state.cancelled && stored.state.state != State::kCancelled)
      fail("run " + std::to_string(id) + " was cancelled and ended otherwise");
  }
  for (const auto& [id, attempt] : attempts_)
    if (attempt.running) fail("attempt " + id + " still runs after all is over");
}

}  // namespace

Report run_world(uint64_t seed) { return World(seed).run(); }

}  // namespace sim
