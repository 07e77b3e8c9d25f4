#include "flow/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "flow/attempt_trace.h"
#include "flow/cron.h"

namespace flow {
namespace {

constexpr int64_t kLongestSleepUs = 60'000'000;  // a wall clock that was set is noticed within this
constexpr int64_t kFirstBackoffUs = 100'000, kLastBackoffUs = 5'000'000;  // while the store does not take writes
constexpr size_t kInboxRows = 256;
constexpr int64_t kInboxRestUs = 20'000;

struct InboxRow {
  int64_t id, project, run;
};

struct Due {
  int64_t project;
  std::string pipeline;
};

base::Result<std::vector<InboxRow>> read_inbox(store::Tx& tx) {
  std::vector<InboxRow> out;
  store::Rows rows = tx.query("SELECT id, project, run FROM flow_inbox ORDER BY id LIMIT ?", kInboxRows);
  while (rows.next()) out.push_back({rows.i64(0), rows.i64(1), rows.i64(2)});
  TRY(tx.status());
  return out;
}

// Starts a run and moves the pipeline's next time on. A time that passed while no server ran fires once.
base::Result<void> fire_cron(store::Tx& tx, const std::string& pipeline) {
  const auto due_us =
      tx.query_i64("SELECT cron_next_us FROM flow_pipelines WHERE project = ? AND name = ?", tx.project(), pipeline);
  if (!due_us || *due_us > tx.now_us()) return tx.status();
  TRY_SET(const PipelineSpec spec, get_pipeline(tx, pipeline));
  std::optional<int64_t> next_us;
  if (const auto cron = Cron::parse(spec.cron)) next_us = cron->next_after(tx.now_us());
  tx.exec("UPDATE flow_pipelines SET cron_next_us = ? WHERE project = ? AND name = ?", next_us, tx.project(), pipeline);
  // A pipeline that cannot run now must not be tried again at once, and again: its next time is the next time.
  const auto run = create_run(tx, {.pipeline = pipeline, .bundle = "", .cause = "cron", .params = spec.cron_params});
  TRY(tx.status());
  if (!run) base::log::error("a scheduled run cannot start", {{"pipeline", pipeline}, {"error", run.error().message}});
  return tx.status();
}

}  // namespace

struct Engine::Impl {
  Impl(store::Store& store_in, const base::Clock& clock_in, std::unique_ptr<Executor> executor_in,
       EngineOptions options_in, base::Registry* metrics)
      : store(store_in),
        clock(clock_in),
        executor(std::move(executor_in)),
        options(std::move(options_in)),
        pool(slots()) {
    if (!metrics) return;
    transitions = &metrics->counter("lathe_flow_transitions_total", "changes of a stage's state");
    running = &metrics->gauge("lathe_flow_slots_used", "slots taken by running stages");
    live_runs = &metrics->gauge("lathe_flow_live_runs", "pipeline runs that are not over");
  }

  int64_t slots() const {
    return options.slots > 0 ? options.slots : std::max(1U, std::thread::hardware_concurrency());
  }

  base::Context context(int64_t project) const {
    base::Context ctx = base::Context::system(clock, "system:flow");
    ctx.project = project;
    return ctx;
  }

  base::Result<void> load();
  void run();
  bool wait();
  void take_news();
  void take_inbox();
  void look_again();
  void take_cron();
  void take_ticks();
  void commit_all();
  bool commit(int64_t project);
  void settle(Advance done);
  void trace_ended(const Advance& done);
  void forget_and_reload();
  void go_outside(Outside outside);
  void schedule(int64_t row, int64_t at_us);
  void post(AttemptNews news);

  store::Store& store;
  const base::Clock& clock;
  std::unique_ptr<Executor> executor;
  EngineOptions options;

  // The engine's thread only.
  std::map<int64_t, LiveRun> live;
  std::unordered_map<std::string, std::pair<int64_t, uint32_t>> attempts;  // running → where it belongs
  SlotPool pool;
  BundleCache bundles;
  std::map<int64_t, Batch> pending;             // by project: not committed yet
  std::map<int64_t, int64_t> tick_of;           // run → when
  std::set<std::pair<int64_t, int64_t>> ticks;  // (when, run)
  int64_t cron_at_us = 0;                       // 0: none
  int64_t looked_us = 0;                        // into the inbox, monotonic
  int64_t backoff_us = 0;
  bool failed = false;  // in this round

  // Shared with the executor's and the store's threads.
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<AttemptNews> news;
  bool store_changed = true;
  bool stop = false;

  uint64_t listener = 0;
  std::thread thread;
  base::Counter* transitions = nullptr;
  base::Gauge* running = nullptr;
  base::Gauge* live_runs = nullptr;
};

base::Result<void> Engine::Impl::load() {
  live.clear(), attempts.clear(), ticks.clear(), tick_of.clear();
  pool = SlotPool(slots());
  TRY_SET(const std::vector<int64_t> rows,
          store.read_blocking(context(base::kDefaultProject), [](store::Tx& tx) { return live_run_rows(tx); }));
  for (const int64_t row : rows) {
    TRY_SET(LiveRun run,
            store.read_blocking(context(base::kDefaultProject), [row](store::Tx& tx) { return load_run(tx, row); }));
    for (uint32_t i = 0; i < run.state.stages.size(); ++i) {
      const StageState& stage = run.state.stages[i];
      if (stage.phase != Phase::kRunning && stage.phase != Phase::kKilling) continue;
      pool.occupy(stage.slots);
      attempts[stage.attempt] = {row, i};
    }
    Batch& batch = pending[run.facts->project];
    batch.events.emplace_back(row, Resume{});
    if (run.cancel_asked) batch.events.emplace_back(row, CancelRun{});
    live.emplace(row, std::move(run));
  }
  return {};
}

void Engine::Impl::run() {
  while (wait()) {
    failed = false;
    take_news();
    take_inbox();
    take_cron();
    take_ticks();
    commit_all();
    backoff_us = failed ? std::clamp(backoff_us * 2, kFirstBackoffUs, kLastBackoffUs) : 0;
  }
}

bool Engine::Impl::wait() {
  std::unique_lock lock(mutex);
  const int64_t now = clock.wall_us();
  int64_t sleep_us = kLongestSleepUs;
  if (!ticks.empty()) sleep_us = std::min(sleep_us, ticks.begin()->first - now);
  if (cron_at_us > 0) sleep_us = std::min(sleep_us, cron_at_us - now);
  if (backoff_us > 0) sleep_us = backoff_us;  // the store said no: again after a pause, not at the next wake-up
  if (sleep_us > 0)
    wake.wait_for(lock, std::chrono::microseconds(sleep_us),
                  [this] { return stop || (backoff_us == 0 && (store_changed || !news.empty())); });
  // Under a stream of commits that are nothing to us: a look at the inbox per so long, not one each.
  const int64_t rest_us = std::min(looked_us + kInboxRestUs - clock.mono_us(), kInboxRestUs);
  if (store_changed && backoff_us == 0 && rest_us > 0)
    wake.wait_for(lock, std::chrono::microseconds(rest_us), [this] { return stop || !news.empty(); });
  return !stop;
}

void Engine::Impl::take_news() {
  std::vector<AttemptNews> taken;
  {
    std::lock_guard lock(mutex);
    taken.swap(news);
  }
  for (AttemptNews& item : taken) {
    const auto found = attempts.find(item.attempt);
    if (found == attempts.end()) continue;  // settled already
    const auto [row, stage] = found->second;
    Batch& batch = pending[live.at(row).facts->project];
    if (item.kind == AttemptNews::Kind::kStarted) {
      batch.handles[item.attempt] = item.handle;
      continue;
    }
    if (item.outcome == Outcome::kSucceeded) batch.outs[item.attempt] = std::move(item.outs);
    batch.events.emplace_back(
        row, AttemptEnded{
                 .stage = stage, .attempt = item.attempt, .outcome = item.outcome, .detail = std::move(item.detail)});
  }
}

// New and cancelled runs.
void Engine::Impl::take_inbox() {
  {
    std::lock_guard lock(mutex);
    if (!std::exchange(store_changed, false)) return;
  }
  looked_us = clock.mono_us();
  int64_t cron = 0;
  const auto rows = store.read_blocking(context(base::kDefaultProject), [&cron](store::Tx& tx) {
    cron = tx.query_i64("SELECT min(cron_next_us) FROM flow_pipelines WHERE cron_next_us IS NOT NULL").value_or(0);
    return read_inbox(tx);
  });
  if (!rows) {
    base::log::warn("the flow engine cannot read the store; trying again", {{"error", rows.error().message}});
    look_again();
    return;
  }
  cron_at_us = cron;
  for (const InboxRow& row : *rows) {
    Batch& batch = pending[row.project];
    if (std::ranges::find(batch.inbox, row.id) != batch.inbox.end()) continue;  // taken, not committed yet
    auto loaded = store.read_blocking(context(row.project), [&](store::Tx& tx) { return load_run(tx, row.run); });
    if (!loaded && loaded.error().code != base::Code::kNotFound) return look_again();
    batch.inbox.push_back(row.id);
    if (!loaded || loaded->state.ended()) continue;
    const bool cancel = loaded->cancel_asked;
    if (live.try_emplace(row.run, std::move(*loaded)).second) batch.events.emplace_back(row.run, Resume{});
    if (cancel) batch.events.emplace_back(row.run, CancelRun{});
  }
  if (rows->size() == kInboxRows) {
    std::lock_guard lock(mutex);
    store_changed = true;
  }
}

void Engine::Impl::look_again() {
  failed = true;
  std::lock_guard lock(mutex);
  store_changed = true;
}

void Engine::Impl::take_cron() {
  const int64_t now = clock.wall_us();
  if (cron_at_us == 0 || cron_at_us > now) return;
  const auto due =
      store.read_blocking(context(base::kDefaultProject), [now](store::Tx& tx) -> base::Result<std::vector<Due>> {
        std::vector<Due> out;
        store::Rows rows =
            tx.query("SELECT project, name FROM flow_pipelines WHERE cron_next_us <= ? ORDER BY id", now);
        while (rows.next()) out.push_back({rows.i64(0), rows.str(1)});
        TRY(tx.status());
        return out;
      });
  cron_at_us = 0;  // read anew: the write wakes us
  if (!due) return;
  for (const Due& item : *due) {
    const auto fired =
        store.write_blocking(context(item.project), [&](store::Tx& tx) { return fire_cron(tx, item.pipeline); });
    if (fired) continue;
    failed = true;
    base::log::warn("a scheduled run could not be stored; trying again",
                    {{"pipeline", item.pipeline}, {"error", fired.error().message}});
  }
  std::lock_guard lock(mutex);
  store_changed = true;
}

void Engine::Impl::take_ticks() {
  const int64_t now = clock.wall_us();
  while (!ticks.empty() && ticks.begin()->first <= now) {
    const int64_t row = ticks.begin()->second;
    schedule(row, 0);
    if (const auto run = live.find(row); run != live.end())
      pending[run->second.facts->project].events.emplace_back(row, Tick{});
  }
}

void Engine::Impl::commit_all() {
  std::vector<int64_t> projects;
  for (const auto& [project, batch] : pending) projects.push_back(project);
  for (const int64_t project : projects)
    while (pending.contains(project))
      if (!commit(project)) return;
}

// One transaction of at most kBatchEvents events; what does not fit follows in the next.
bool Engine::Impl::commit(int64_t project) {
  Batch batch = std::move(pending[project]);
  pending.erase(project);
  std::vector<std::pair<int64_t, Event>> later;
  if (batch.events.size() > kBatchEvents) {
    later.assign(std::make_move_iterator(batch.events.begin() + kBatchEvents),
                 std::make_move_iterator(batch.events.end()));
    batch.events.resize(kBatchEvents);
  }
  auto done = store.write_blocking(context(project),
                                   [&](store::Tx& tx) { return advance(tx, live, pool, batch, options, bundles); });
  if (!done) {
    batch.events.insert(batch.events.end(), std::make_move_iterator(later.begin()),
                        std::make_move_iterator(later.end()));
    pending[project] = std::move(batch);
    base::log::warn("the flow engine's transaction failed; trying again", {{"error", done.error().message}});
    if (done.error().code == base::Code::kConflict) forget_and_reload();
    failed = true;
    return false;
  }
  if (!later.empty()) {
    Batch& rest = pending[project];
    rest.events = std::move(later);
    rest.outs = std::move(batch.outs);
  }
  settle(std::move(*done));
  return true;
}

void Engine::Impl::settle(Advance done) {
  pool = std::move(done.pool);
  if (options.tracer != nullptr) trace_ended(done);
  for (auto& [row, run] : done.runs) {
    const bool ended = run.state.ended();
    const int64_t at_us = ended ? 0 : done.outside.wake_at_us[row];
    for (uint32_t i = 0; i < run.state.stages.size(); ++i) {
      const StageState& stage = run.state.stages[i];
      if (stage.phase == Phase::kRunning || stage.phase == Phase::kKilling) attempts[stage.attempt] = {row, i};
    }
    schedule(row, at_us);
    if (ended)
      live.erase(row);
    else
      live.insert_or_assign(row, std::move(run));
  }
  for (const auto& release : done.outside.release) attempts.erase(release.attempt);
  if (transitions) {
    transitions->add(done.outside.transitions);
    running->set(pool.used());
    live_runs->set(static_cast<int64_t>(live.size()));
  }
  go_outside(std::move(done.outside));
}

void Engine::Impl::trace_ended(const Advance& done) {
  for (const auto& release : done.outside.release) {
    const auto place = attempts.find(release.attempt);
    if (place == attempts.end()) continue;
    const auto [row, stage] = place->second;
    const auto before = live.find(row);
    const auto after = done.runs.find(row);
    if (before == live.end() || after == done.runs.end()) continue;
    const RunFacts& facts = *before->second.facts;
    record_attempt(options.tracer, facts, facts.spec.stages[stage], before->second.state.stages[stage],
                   after->second.state.stages[stage], clock.wall_us());
  }
}

void Engine::Impl::go_outside(Outside outside) {
  for (AttemptSpec& spec : outside.submit) executor->submit(std::move(spec));
  for (auto& adoption : outside.adopt) executor->adopt(std::move(adoption.spec), adoption.handle);
  for (const auto& [attempt, why] : outside.cancel) executor->cancel(attempt, why);
  for (const auto& release : outside.release) executor->release(release.attempt, release.keep_workspace);
}

// Somebody else moved a run: what is in the rows is true, what we remember is not. Events stay: those of attempts that
// are not the newest any more change nothing.
void Engine::Impl::forget_and_reload() {
  if (const auto loaded = load(); !loaded)
    base::log::error("the flow engine cannot load its runs", {{"error", loaded.error().message}});
}

void Engine::Impl::schedule(int64_t row, int64_t at_us) {
  if (const auto old = tick_of.find(row); old != tick_of.end()) {
    ticks.erase({old->second, row});
    tick_of.erase(old);
  }
  if (at_us == 0) return;
  ticks.emplace(at_us, row);
  tick_of[row] = at_us;
}

void Engine::Impl::post(AttemptNews item) {
  {
    std::lock_guard lock(mutex);
    news.push_back(std::move(item));
  }
  wake.notify_one();
}

Engine::Engine(store::Store& store, const base::Clock& clock, std::unique_ptr<Executor> executor, EngineOptions options,
               base::Registry* metrics)
    : impl_(std::make_unique<Impl>(store, clock, std::move(executor), std::move(options), metrics)) {}

base::Result<void> Engine::start() {
  TRY(impl_->load());
  impl_->executor->observe([impl = impl_.get()](AttemptNews news) { impl->post(std::move(news)); });
  impl_->listener = impl_->store.add_event_listener([impl = impl_.get()] {
    {
      std::lock_guard lock(impl->mutex);
      if (std::exchange(impl->store_changed, true)) return;  // told already
    }
    impl->wake.notify_one();
  });
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
  return {};
}

Engine::~Engine() {
  if (impl_->listener) impl_->store.remove_event_listener(impl_->listener);
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_one();
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->executor.reset();  // before what its news would reach
}

}  // namespace flow
