#include "server/metric_watch.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"

namespace server {

using base::Result;

namespace {

constexpr size_t kEventsAtOnce = 2000;
constexpr size_t kRunsAtOnce = 200;        // looked at in one read transaction
constexpr size_t kMaxHeard = 100'000;      // runs of a project; past it their own times count alone
constexpr int64_t kReloadUs = 30'000'000;  // rules that another server has changed
constexpr int64_t kLeastStalledUs = 250'000, kMostStalledUs = 10'000'000;  // between two looks for silent runs
constexpr auto kPause = std::chrono::milliseconds(200);  // points of many batches are looked at together

base::Context of(const base::Context& ctx, int64_t project) {
  base::Context out = ctx;
  out.project = project;
  return out;
}

bool has_points(const core::Event& event) {
  if (event.kind == "run.copied" || event.kind == "run.imported") return true;
  return event.kind == "run.logged" && !event.body.starts_with("{\"metrics\":0,");
}

}  // namespace

MetricWatch::MetricWatch(store::Store& store, const base::Clock& clock) : store_(store), clock_(clock) {
  listener_ = store_.add_event_listener([this] {
    if (!follows_.load(std::memory_order_relaxed)) return;
    {
      const std::lock_guard lock(mutex_);
      if (written_) return;
      written_ = true;
    }
    wake_.notify_one();
  });
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

MetricWatch::~MetricWatch() {
  store_.remove_event_listener(listener_);
  thread_.request_stop();
}

void MetricWatch::changed() {
  {
    const std::lock_guard lock(mutex_);
    changed_ = true;
  }
  wake_.notify_one();
}

void MetricWatch::wait(const std::stop_token& stop) {
  int64_t until_us = loaded_us_ + kReloadUs;
  for (const auto& [id, project] : projects_) {
    if (project.next_stalled_us > 0) until_us = std::min(until_us, project.next_stalled_us);
  }
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, stop, kPause, [] { return false; });
  const auto left = std::chrono::microseconds(std::max<int64_t>(until_us - clock_.wall_us(), 0));
  wake_.wait_for(lock, stop, left, [this] { return written_ || changed_; });
}

void MetricWatch::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    auto ctx = base::Context::system(clock_, "system:metric-watch");
    ctx.cancelled = stop;
    bool reload = ctx.now_us >= loaded_us_ + kReloadUs;
    {
      const std::lock_guard lock(mutex_);
      reload |= changed_;
      changed_ = written_ = false;
    }
    const auto pass = [&]() -> Result<void> {
      if (reload) TRY(load(ctx));
      for (auto& [id, project] : projects_) {
        TRY(follow(of(ctx, id), project));
        TRY(find_stalled(of(ctx, id), project));
      }
      return {};
    };
    if (const auto done = pass(); !done && done.error().code != base::Code::kCancelled) {
      base::log::warn("looking at rules on metrics failed; it is tried again", {{"error", done.error().message}});
      const std::lock_guard lock(mutex_);
      changed_ = true;
    }
    wait(stop);
  }
}

Result<void> MetricWatch::load(const base::Context& ctx) {
  struct Loaded {
    std::map<int64_t, std::vector<track::MetricRule>> rules;
    core::EventPosition newest;
  };
  const auto list = [](store::Tx& tx) -> Result<std::vector<int64_t>> {
    auto projects = track::projects_with_rules(tx);
    TRY(tx.status());
    return projects;
  };
  TRY_SET(const auto ids, store_.read_blocking(ctx, list));
  std::erase_if(projects_, [&](const auto& one) { return !std::ranges::binary_search(ids, one.first); });
  follows_ = !ids.empty();
  for (const int64_t id : ids) {
    const bool known = projects_.contains(id);
    if (!known) {  // from here on its events are followed; what was before is looked at below
      const auto newest = [](store::Tx& tx) { return core::newest_position(tx); };
      TRY_SET(const auto position, store_.read_blocking(ctx, newest));
      projects_[id].position = position;
    }
    Project& project = projects_[id];
    const auto rules = [](store::Tx& tx) -> Result<std::vector<track::MetricRule>> {
      auto all = track::list_metric_rules(tx, std::nullopt);
      TRY(tx.status());
      return all;
    };
    TRY_SET(project.rules, store_.read_blocking(of(ctx, id), rules));
    project.next_stalled_us = 0;
    for (const track::MetricRule& rule : project.rules) {
      if (rule.kind == track::RuleKind::kStalled) project.next_stalled_us = ctx.now_us;
      if (project.seen.contains(rule.row)) continue;
      TRY(look_back(of(ctx, id), project, rule));
      project.seen.insert(rule.row);
    }
  }
  loaded_us_ = ctx.now_us;
  return {};
}

Result<void> MetricWatch::look_back(const base::Context& ctx, Project& project, const track::MetricRule& rule) {
  if (rule.kind == track::RuleKind::kStalled) return {};
  const int64_t since_ms = ctx.now_us / 1000 - track::kLookedBackMs;
  const auto recent = [&](store::Tx& tx) { return track::recent_runs(tx, rule.experiment, since_ms); };
  TRY_SET(const auto runs, store_.read_blocking(ctx, recent));
  return look_at(ctx, project, {runs.begin(), runs.end()});
}

Result<void> MetricWatch::follow(const base::Context& ctx, Project& project) {
  while (true) {
    const auto next = [&](store::Tx& tx) {
      return core::read_events(tx, project.position, kEventsAtOnce, ctx.project);
    };
    TRY_SET(const auto events, store_.read_blocking(ctx, next));
    std::set<std::string> runs;
    for (const core::Event& event : events) {
      if (event.subject_kind == "run" && has_points(event)) {
        runs.insert(event.subject);
        if (project.heard_us.size() >= kMaxHeard) project.heard_us.clear();
        project.heard_us[event.subject] = event.at_us;
      }
    }
    TRY(look_at(ctx, project, runs));
    if (!events.empty()) project.position = events.back().position;
    if (events.size() < kEventsAtOnce) return {};
  }
}

Result<void> MetricWatch::look_at(const base::Context& ctx, Project& project, const std::set<std::string>& runs) {
  struct Found {
    std::string run;
    std::vector<track::Crossing> crossings;
  };
  for (auto at = runs.begin(); at != runs.end();) {
    const auto look = [&](store::Tx& tx) -> Result<std::vector<Found>> {
      std::vector<Found> out;
      auto one = at;
      for (size_t n = 0; n < kRunsAtOnce && one != runs.end(); ++n, ++one) {
        TRY_SET(auto crossed, track::crossings(tx, *one, project.rules));
        if (!crossed.empty()) out.push_back({*one, std::move(crossed)});
      }
      return out;
    };
    TRY_SET(const auto found, store_.read_blocking(ctx, look));
    for (const Found& crossed : found) {
      const auto raise = [&](store::Tx& tx) { return track::raise_alerts(tx, crossed.run, crossed.crossings); };
      TRY(store_.write_blocking(ctx, raise));
    }
    for (size_t n = 0; n < kRunsAtOnce && at != runs.end(); ++n) ++at;
  }
  return {};
}

Result<void> MetricWatch::find_stalled(const base::Context& ctx, Project& project) {
  if (project.next_stalled_us == 0 || ctx.now_us < project.next_stalled_us) return {};
  int64_t every_us = kMostStalledUs;
  for (const track::MetricRule& rule : project.rules) {
    if (rule.kind != track::RuleKind::kStalled) continue;
    every_us = std::clamp(rule.silent_ms * 1000 / 4, kLeastStalledUs, every_us);
    const auto look = [&](store::Tx& tx) { return track::silent_runs(tx, rule, ctx.now_us / 1000); };
    TRY_SET(const auto silent, store_.read_blocking(ctx, look));
    for (const track::SilentRun& run : silent) {
      // A client that logs old points, with their own times, is not silent.
      const auto heard = project.heard_us.find(run.run_id);
      if (rule.metric.empty() && heard != project.heard_us.end() && heard->second + rule.silent_ms * 1000 > ctx.now_us)
        continue;
      const auto raise = [&](store::Tx& tx) { return track::raise_stalled(tx, rule, run); };
      if (const auto raised = store_.write_blocking(ctx, raise);
          !raised && raised.error().code != base::Code::kNotFound)  // the rule is gone
        return std::unexpected(raised.error());
    }
  }
  project.next_stalled_us = ctx.now_us + every_us;
  return {};
}

}  // namespace server
