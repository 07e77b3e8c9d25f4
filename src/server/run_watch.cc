#include "server/run_watch.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "track/lost.h"

namespace server {

namespace {

constexpr size_t kMaxWatched = 200'000;  // runs; more are not watched
constexpr size_t kEventsAtOnce = 2000;
constexpr int64_t kRunsAtOnce = 5000;
constexpr int64_t kMostWaitUs = 10'000'000;
constexpr int64_t kLeastWaitUs = 100'000;

base::Context of(const base::Context& ctx, int64_t project) {
  base::Context out = ctx;
  out.project = project;
  return out;
}

}  // namespace

RunWatch::RunWatch(store::Store& store, const base::Clock& clock, int64_t after_us)
    : store_(store), clock_(clock), after_us_(after_us), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void RunWatch::run(const std::stop_token& stop) {
  const int64_t wait_us = std::clamp(after_us_ / 4, kLeastWaitUs, kMostWaitUs);
  while (!stop.stop_requested()) {
    auto ctx = base::Context::system(clock_, "system:run-watch");
    ctx.cancelled = stop;
    const auto pass = [&]() -> base::Result<void> {
      if (!begun_) TRY(begin(ctx));
      TRY(follow(ctx));
      return mark_silent(ctx);
    };
    if (const auto done = pass(); !done && done.error().code != base::Code::kCancelled) {
      base::log::warn("watching over runs failed; it is tried again", {{"error", done.error().message}});
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, std::chrono::microseconds(wait_us), [] { return false; });
  }
}

base::Result<void> RunWatch::begin(const base::Context& ctx) {
  const auto newest = [](store::Tx& tx) { return core::newest_position(tx); };
  TRY_SET(position_, store_.read_blocking(ctx, newest));
  for (int64_t row = 0;;) {
    const auto page = [row](store::Tx& tx) { return track::running_runs(tx, row, kRunsAtOnce); };
    TRY_SET(const auto runs, store_.read_blocking(ctx, page));
    for (const track::RunningRun& run : runs) {
      if (heard_us_.size() < kMaxWatched) heard_us_[{run.project, run.run_id}] = ctx.now_us;
      row = run.row;
    }
    if (static_cast<int64_t>(runs.size()) < kRunsAtOnce) break;
  }
  begun_ = true;
  return {};
}

base::Result<void> RunWatch::follow(const base::Context& ctx) {
  while (true) {
    const auto next = [this](store::Tx& tx) { return core::read_events(tx, position_, kEventsAtOnce); };
    TRY_SET(const auto events, store_.read_blocking(ctx, next));
    for (const core::Event& event : events) {
      if (event.subject_kind == "run") TRY(hear(ctx, event));
      position_ = event.position;
    }
    if (events.size() < kEventsAtOnce) return {};
  }
}

base::Result<void> RunWatch::hear(const base::Context& ctx, const core::Event& event) {
  const Key key{event.project, event.subject};
  if (event.kind == "run.lost" || event.kind == "run.deleted" || event.kind == "run.purged") {
    heard_us_.erase(key);
    return {};
  }
  const auto known = heard_us_.find(key);
  if (known != heard_us_.end() && event.kind != "run.updated") {
    known->second = std::max(known->second, event.at_us);
    return {};
  }
  const auto look = [&](store::Tx& tx) { return track::liveness(tx, event.subject); };
  TRY_SET(track::Liveness now, store_.read_blocking(of(ctx, event.project), look));
  if (now == track::Liveness::kLost && event.kind != "run.restored") {
    const auto found = [&](store::Tx& tx) { return track::mark_found(tx, event.subject); };
    TRY(store_.write_blocking(of(ctx, event.project), found));
    TRY_SET(now, store_.read_blocking(of(ctx, event.project), look));
  }
  if (now != track::Liveness::kRunning) {
    heard_us_.erase(key);
  } else if (heard_us_.size() < kMaxWatched) {
    heard_us_[key] = std::max(heard_us_[key], event.at_us);
  }
  return {};
}

base::Result<void> RunWatch::mark_silent(const base::Context& ctx) {
  for (auto one = heard_us_.begin(); one != heard_us_.end();) {
    if (one->second + after_us_ > ctx.now_us) {
      ++one;
      continue;
    }
    const auto mark = [&](store::Tx& tx) { return track::mark_lost(tx, one->first.second); };
    TRY(store_.write_blocking(of(ctx, one->first.first), mark));
    base::log::info("a run is silent and marked lost", {{"run", one->first.second}});
    one = heard_us_.erase(one);
  }
  return {};
}

}  // namespace server
