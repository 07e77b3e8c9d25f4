#include "loop/roller.h"

#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/json.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "core/event.h"
#include "loop/bandit.h"
#include "serve/traffic.h"
#include "stats/metrics.h"
#include "watch/watch.h"

namespace loop {
namespace {

constexpr size_t kMaxJoinedLabels = 5000;  // newest ones of a step: enough to tell, bounded to read

constexpr std::string_view kSelect =
    "SELECT id, endpoint, verdict, revision, champion, state, rule, step, since_us, generation, reason, numbers, "
    "started_us, ended_us FROM loop_rollouts ";

std::string rule_json(const RolloutRule& rule) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("steps").begin_array();
  for (const uint32_t step : rule.steps) w.value(static_cast<int64_t>(step));
  w.end_array().field("wait_us", rule.wait_us).field("bake_us", rule.bake_us).field("max_errors", rule.max_errors);
  w.field("max_slowdown", rule.max_slowdown).field("min_requests", rule.min_requests);
  w.field("max_regression", rule.max_regression).field("confidence", rule.confidence).end_object();
  return out;
}

RolloutRule parse_rule(const std::string& text) {
  RolloutRule rule;
  const auto value = base::parse_json(text);
  const auto* object = value ? value->if_object() : nullptr;
  if (!object) return rule;
  const auto number = [&](std::string_view key, double fallback) {
    const auto* found = object->if_contains(key);
    return found && found->is_number() ? found->to_number<double>() : fallback;
  };
  if (const auto* steps = object->if_contains("steps"); steps && steps->is_array())
    for (const auto& step : steps->get_array())
      if (step.is_number()) rule.steps.push_back(step.to_number<uint32_t>());
  rule.wait_us = static_cast<int64_t>(number("wait_us", 0));
  rule.bake_us = static_cast<int64_t>(number("bake_us", 0));
  rule.max_errors = number("max_errors", rule.max_errors);
  rule.max_slowdown = number("max_slowdown", rule.max_slowdown);
  rule.min_requests = static_cast<int64_t>(number("min_requests", 50));
  rule.max_regression = number("max_regression", rule.max_regression);
  rule.confidence = number("confidence", rule.confidence);
  return rule;
}

Rollout read_row(store::Rows& rows) {
  return {.id = rows.i64(0),
          .endpoint = rows.str(1),
          .verdict = rows.str(2),
          .revision = rows.i64(3),
          .champion = rows.i64(4),
          .state = rows.str(5),
          .rule = parse_rule(rows.str(6)),
          .at = {.step = static_cast<size_t>(rows.i64(7)), .since_us = rows.i64(8)},
          .generation = rows.i64(9),
          .reason = rows.str(10),
          .numbers = rows.str(11),
          .started_us = rows.i64(12),
          .ended_us = rows.i64(13)};
}

std::string side_json(const RolloutSide& challenger, const RolloutSide& champion) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object();
  for (const auto& [name, side] : {std::pair("challenger", &challenger), std::pair("champion", &champion)}) {
    w.key(name).begin_object().field("requests", side->requests).field("faults", side->faults).key("p95");
    side->p95 ? w.value(*side->p95) : w.null();
    w.field("labelled", side->labelled).field("correct", side->correct).end_object();
  }
  w.end_object();
  return out;
}

std::optional<double> number_of(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

// Welford's: the variance holds the sum of squared distances until the end.
void add(stats::Moments& sample, double x) {
  const double before = x - sample.mean;
  sample.mean += before / static_cast<double>(++sample.rows);
  sample.variance += before * (x - sample.mean);
}

// Ends or moves a rollout that still is as it was read; false: somebody was quicker.
bool move(store::Tx& tx, const Rollout& was, std::string_view state, size_t step, int64_t generation,
          const std::string& reason) {
  const bool ends = state != "running";
  const int64_t moved = tx.exec(
      "UPDATE loop_rollouts SET state = ?, step = ?, since_us = ?, generation = ?, reason = ?, ended_us = ? WHERE "
      "project = ? AND id = ? AND state = 'running' AND step = ?",
      state, static_cast<int64_t>(step), tx.now_us(), generation, reason, ends ? tx.now_us() : int64_t{0}, tx.project(),
      was.id, static_cast<int64_t>(was.at.step));
  if (moved == 0) return false;
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().field("revision", was.revision).field("champion", was.champion);
  w.field("step", static_cast<int64_t>(step)).field("reason", reason).end_object();
  core::emit(tx, ends ? "rollout." + std::string(state) : "rollout.advanced", "endpoint", was.endpoint, body);
  return true;
}

}  // namespace

base::Result<void> begin_rollout(store::Tx& tx, const Rollout& r) {
  tx.exec(
      "UPDATE loop_rollouts SET state = CASE WHEN verdict = ? AND revision = ? THEN 'done' ELSE 'stopped' END, reason "
      "= "
      "'another promotion began', ended_us = ? WHERE project = ? AND endpoint = ? AND ended_us = 0",
      r.verdict, r.revision, tx.now_us(), tx.project(), r.endpoint);
  tx.exec(
      "INSERT INTO loop_rollouts (project, endpoint, verdict, revision, champion, state, rule, step, since_us, "
      "generation, reason, numbers, started_us, ended_us) VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, '', '', ?, 0)",
      tx.project(), r.endpoint, r.verdict, r.revision, r.champion, rule_json(r.rule), static_cast<int64_t>(r.at.step),
      r.at.since_us, r.generation, tx.now_us());
  core::emit(tx, "rollout.started", "endpoint", r.endpoint);
  return tx.status();
}

std::vector<Rollout> list_rollouts(store::Tx& tx, std::string_view endpoint, size_t limit) {
  std::vector<Rollout> out;
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND endpoint = ? ORDER BY id DESC LIMIT ?",
                       tx.project(), endpoint, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(read_row(rows));
  return out;
}

base::Result<std::optional<Rollout>> running_rollout(store::Tx& tx, std::string_view endpoint) {
  auto rows =
      tx.query(std::string(kSelect) + "WHERE project = ? AND endpoint = ? AND ended_us = 0", tx.project(), endpoint);
  std::optional<Rollout> out;
  if (rows.next()) out = read_row(rows);
  TRY(tx.status());
  return out;
}

base::Result<std::vector<RevisionLabels>> labels_by_revision(store::Store& store, serve::Runtime& runtime,
                                                             const base::Context& ctx, std::string_view endpoint,
                                                             int64_t since_us) {
  TRY_SET(const auto labels, store.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<std::vector<watch::Feedback>> {
    auto found = watch::labels_since(tx, endpoint, since_us, kMaxJoinedLabels);
    TRY(tx.status());
    return found;
  }));
  std::vector<std::string> ids;
  ids.reserve(labels.size());
  for (const auto& label : labels) ids.push_back(label.prediction);
  std::map<int64_t, RevisionLabels> sums;
  if (ids.empty()) return std::vector<RevisionLabels>();
  TRY_SET(const auto captured, runtime.capture().find(ids));
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto& request = captured[i];
    const auto row = static_cast<size_t>(labels[i].row);
    // Another project's prediction may be named in feedback; it says nothing here.
    if (!request || request->project != ctx.project || request->endpoint != endpoint || row >= request->labels.size())
      continue;
    RevisionLabels& sum = sums[request->revision];
    sum.revision = request->revision;
    ++sum.labelled;
    sum.correct += stats::canonical_label(std::string_view(request->labels[row])) == labels[i].label;
    const auto truth = number_of(labels[i].label), predicted = number_of(request->labels[row]);
    if (truth) add(sum.reward, *truth);
    if (truth && predicted) add(sum.error, std::abs(*truth - *predicted));
  }
  std::vector<RevisionLabels> out;
  for (auto& [revision, sum] : sums) {
    for (stats::Moments* sample : {&sum.error, &sum.reward})
      sample->variance = sample->rows > 1 ? sample->variance / static_cast<double>(sample->rows - 1) : 0;
    out.push_back(sum);
  }
  return out;
}

struct Roller::Impl {
  Impl(store::Store& s, blob::BlobStore& b, serve::Runtime& r, const base::Clock& c, Options o)
      : store(s), runtime(r), clock(c), options(o), promoter(s, b, r) {}

  base::Context context(int64_t project) const {
    auto ctx = base::Context::system(clock, "system:rollout");
    ctx.project = project;
    return ctx;
  }

  struct Found {
    int64_t project = 0;
    Rollout rollout;
  };
  base::Result<std::vector<Found>> running();
  base::Result<void> judge(const Found& found);
  base::Result<void> sides(const Found& found, RolloutSide& challenger, RolloutSide& champion);
  base::Result<void> act(const Found& found, const RolloutDecision& decision);
  base::Result<void> advance(const Found& found, const std::string& reason);
  base::Result<void> revert(const Found& found, const std::string& reason);
  void run(const std::stop_token& stop);

  store::Store& store;
  serve::Runtime& runtime;
  const base::Clock& clock;
  const Options options;
  Promoter promoter;
  std::mutex mutex;
  std::condition_variable_any changed;
  bool committed = true;
  uint64_t listener = 0;
  std::jthread thread;
};

base::Result<std::vector<Roller::Impl::Found>> Roller::Impl::running() {
  return store.read_blocking(context(base::kDefaultProject), [](store::Tx& tx) -> base::Result<std::vector<Found>> {
    std::vector<std::pair<int64_t, int64_t>> rows;
    {
      auto all = tx.query("SELECT project, id FROM loop_rollouts WHERE ended_us = 0");
      while (all.next()) rows.emplace_back(all.i64(0), all.i64(1));
    }
    std::vector<Found> out;
    for (const auto& [project, id] : rows) {
      auto one = tx.query(std::string(kSelect) + "WHERE project = ? AND id = ?", project, id);
      if (one.next()) out.push_back({project, read_row(one)});
    }
    TRY(tx.status());
    return out;
  });
}

base::Result<void> Roller::Impl::sides(const Found& found, RolloutSide& challenger, RolloutSide& champion) {
  const Rollout& r = found.rollout;
  const int64_t now_us = clock.wall_us(), since_us = r.at.since_us;
  // In a bake the champion no longer answers: as long a time before is what it is compared with.
  const bool bakes = r.at.phase(r.rule) == RolloutPhase::kBake;
  const int64_t before_us = bakes ? since_us - std::max(r.rule.bake_us, int64_t{60'000'000}) : since_us;
  const auto step = [](int64_t at_us) { return at_us / serve::kTrafficStepUs * serve::kTrafficStepUs; };
  TRY_SET(const auto points, store.read_blocking(context(found.project), [&](store::Tx& tx) {
    const int64_t from_us = step(before_us);
    const int64_t fit = (now_us - from_us) / 1000 / serve::kTrafficStepUs * serve::kTrafficStepUs;
    return serve::traffic(tx, {r.endpoint, from_us, now_us, std::max(fit, serve::kTrafficStepUs), true});
  }));
  serve::TrafficPoint of_challenger, of_champion;
  for (const auto& point : points) {
    if (point.revision == r.revision && point.at_us >= step(since_us)) of_challenger.add(point);
    if (point.revision == r.champion) of_champion.add(point);
  }
  const auto fill = [](RolloutSide& side, const serve::TrafficPoint& point) {
    side.requests = point.requests;
    side.faults = point.faults;
    side.p95 = point.latency.quantile(0.95);
  };
  fill(challenger, of_challenger);
  fill(champion, of_champion);
  TRY_SET(const auto labels, labels_by_revision(store, runtime, context(found.project), r.endpoint, before_us));
  for (const auto& sum : labels) {
    if (sum.revision == r.revision) challenger.labelled = sum.labelled, challenger.correct = sum.correct;
    if (sum.revision == r.champion) champion.labelled = sum.labelled, champion.correct = sum.correct;
  }
  return {};
}

base::Result<void> Roller::Impl::judge(const Found& found) {
  const Rollout& r = found.rollout;
  const auto ctx = context(found.project);
  TRY_SET(const auto endpoint,
          store.read_blocking(ctx, [&](store::Tx& tx) { return serve::get_endpoint(tx, r.endpoint); }));
  if (endpoint.generation != r.generation) {  // by a person, or by us before a crash
    const bool bakes = r.at.phase(r.rule) == RolloutPhase::kBake;
    return store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
      if (!bakes && endpoint.live_revision == r.revision)
        move(tx, r, "done", r.at.step, endpoint.generation, "all of the traffic is its now");
      else if (bakes && endpoint.live_revision == r.champion)
        move(tx, r, "reverted", r.at.step, endpoint.generation, "the endpoint was rolled back");
      else
        move(tx, r, "stopped", r.at.step, endpoint.generation, "the endpoint's traffic was changed by somebody else");
      return tx.status();
    });
  }
  RolloutSide challenger, champion;
  TRY(sides(found, challenger, champion));
  if (std::string numbers = side_json(challenger, champion); numbers != r.numbers) {
    TRY(store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
      tx.exec("UPDATE loop_rollouts SET numbers = ? WHERE project = ? AND id = ? AND state = 'running'", numbers,
              tx.project(), r.id);
      return tx.status();
    }));
  }
  return act(found, decide(r.rule, r.at, challenger, champion, clock.wall_us()));
}

base::Result<void> Roller::Impl::act(const Found& found, const RolloutDecision& decision) {
  switch (decision.act) {
    case RolloutAct::kWait: return {};
    case RolloutAct::kAdvance: return advance(found, decision.reason);
    case RolloutAct::kRevert: return revert(found, decision.reason);
    case RolloutAct::kFinish:
      return store.write_blocking(context(found.project), [&](store::Tx& tx) -> base::Result<void> {
        move(tx, found.rollout, "done", found.rollout.at.step, found.rollout.generation, decision.reason);
        return tx.status();
      });
  }
  return {};
}

// The next share, or all of it. The act and the row's move are two transactions; between them the endpoint's generation
// tells which of the two a restart finds done.
base::Result<void> Roller::Impl::advance(const Found& found, const std::string& reason) {
  const Rollout& r = found.rollout;
  const auto ctx = context(found.project);
  const size_t next = r.at.step + 1;
  if (next >= r.rule.steps.size()) {
    // Whoever began the rollout might run its code. The commit begins the bake's own row, in one transaction with the
    // flip.
    TRY(promoter.promote(ctx, {.verdict = r.verdict, .share = serve::kWholeShare, .may_run_code = true}));
    return store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
      move(tx, r, "done", next, r.generation, reason + "; all of the traffic is its now");
      return tx.status();
    });
  }
  // Whoever began the rollout might run its code.
  TRY(runtime.prepare(found.project, r.endpoint, r.revision, serve::Runtime::Code::kMayRun));
  TRY(store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
    TRY_SET(const auto now, serve::get_endpoint(tx, r.endpoint));
    serve::TrafficPlan plan = now.traffic;
    plan.parts = {{r.champion, serve::kWholeShare - r.rule.steps[next]}, {r.revision, r.rule.steps[next]}};
    TRY_SET(const auto done, serve::set_traffic(tx, r.endpoint, plan, r.generation));
    move(tx, r, "running", next, done.generation, reason);
    return tx.status();
  }));
  base::log::info("rollout: the next step", {{"endpoint", r.endpoint}, {"revision", r.revision}, {"reason", reason}});
  return runtime.refresh();
}

base::Result<void> Roller::Impl::revert(const Found& found, const std::string& reason) {
  const Rollout& r = found.rollout;
  const auto ctx = context(found.project);
  base::log::warn("rollout: the endpoint goes back",
                  {{"endpoint", r.endpoint}, {"revision", r.revision}, {"reason", reason}});
  if (r.at.phase(r.rule) == RolloutPhase::kBake) {
    TRY(promoter.rollback(ctx, r.endpoint, r.generation));
    return store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
      move(tx, r, "reverted", r.at.step, r.generation, reason);
      return tx.status();
    });
  }
  TRY(store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
    TRY_SET(const auto now, serve::get_endpoint(tx, r.endpoint));
    serve::TrafficPlan plan = now.traffic;
    plan.parts.clear();
    TRY_SET(const auto done, serve::set_traffic(tx, r.endpoint, plan, r.generation));
    TRY(record_withdrawal(tx, r.endpoint, r.revision, r.champion, r.verdict));
    move(tx, r, "reverted", r.at.step, done.generation, reason);
    return tx.status();
  }));
  return runtime.refresh();
}

void Roller::Impl::run(const std::stop_token& stop) {
  size_t rolling = 1;  // one look at the start: what an earlier server left
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex);
      if (rolling > 0)
        changed.wait_for(lock, stop, std::chrono::microseconds(options.look_us), [] { return false; });
      else
        changed.wait(lock, stop, [&] { return committed; });
      committed = false;
    }
    if (stop.stop_requested()) break;
    const auto found = running();
    rolling = (found ? found->size() : 1) + look_at_bandits(store, runtime, clock);
    if (!found) continue;
    for (const Found& one : *found) {
      if (const auto done = judge(one); !done && done.error().code != base::Code::kCancelled)
        base::log::warn("rollout: cannot go on; it is tried again",
                        {{"endpoint", one.rollout.endpoint}, {"error", done.error().message}});
    }
    // However many commits there are: a look a second is enough to notice a new rollout.
    std::unique_lock lock(mutex);
    if (rolling == 0) changed.wait_for(lock, stop, std::chrono::seconds(1), [] { return false; });
  }
}

Roller::Roller(store::Store& store, blob::BlobStore& blobs, serve::Runtime& runtime, const base::Clock& clock,
               Options options)
    : impl_(std::make_unique<Impl>(store, blobs, runtime, clock, options)) {
  if (options.look_us <= 0) return;
  impl_->listener = store.add_event_listener([impl = impl_.get()] {
    std::lock_guard lock(impl->mutex);
    impl->committed = true;
    impl->changed.notify_one();
  });
  impl_->thread = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
}

Roller::~Roller() {
  if (!impl_->thread.joinable()) return;
  impl_->store.remove_event_listener(impl_->listener);
  impl_->thread.request_stop();
  impl_->thread.join();
}

size_t Roller::look() {
  const auto found = impl_->running();
  if (!found) return 0;
  for (const auto& one : *found) {
    if (const auto done = impl_->judge(one); !done)
      base::log::warn("rollout: cannot go on", {{"error", done.error().message}});
  }
  return found->size() + look_at_bandits(impl_->store, impl_->runtime, impl_->clock);
}

}  // namespace loop
