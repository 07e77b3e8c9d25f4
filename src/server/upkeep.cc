#include "server/upkeep.h"

#include <chrono>
#include <string_view>

#include "base/log.h"
#include "core/event.h"
#include "core/project.h"
#include "traces/purge.h"
#include "track/purge.h"

namespace server {
namespace {

// Trimming goes in steps of one transaction each, so that it never keeps writers waiting.
base::Result<int64_t> trim(store::Store& store, const base::Context& ctx, int64_t keep_us) {
  const auto step = [keep_us](store::Tx& tx) { return core::trim_events(tx, keep_us); };
  for (int64_t total = 0;;) {
    TRY_SET(const int64_t removed, store.write_blocking(ctx, step));
    if (removed == 0) return total;
    total += removed;
  }
}

base::Result<int64_t> purge(store::Store& store, const base::Context& ctx, int64_t before_ms,
                            const blob::PlainFolder* destination) {
  const auto list = [](store::Tx& tx) -> base::Result<std::vector<core::Project>> {
    auto projects = core::list_projects(tx);
    TRY(tx.status());
    return projects;
  };
  TRY_SET(const auto projects, store.read_blocking(ctx, list));
  int64_t runs = 0;
  for (const core::Project& project : projects) {
    base::Context inside = ctx;
    inside.project = project.id;
    const auto remove = [&](const std::vector<std::string>& folders) -> base::Result<void> {
      if (destination == nullptr) return {};
      for (const std::string& folder : folders) TRY(destination->remove(folder));
      return {};
    };
    const auto traces_step = [&](store::Tx& tx) { return traces::purge_step(tx, before_ms, {}); };
    for (bool more = true; more;) {
      TRY_SET(const traces::PurgeStep done, store.write_blocking(inside, traces_step));
      TRY(remove(done.folders));
      more = done.more;
    }
    const auto step = [&](store::Tx& tx) {
      return track::purge_step(tx, {.deleted_before_ms = before_ms, .run_ids = {}, .experiment_ids = {}});
    };
    for (bool more = true; more;) {
      TRY_SET(const track::Purged done, store.write_blocking(inside, step));
      runs += done.runs;
      TRY(remove(done.folders));
      more = done.more;
    }
  }
  return runs;
}

void report(std::string_view what, const base::Error& error) {
  if (error.code == base::Code::kCancelled) return;  // the server stops
  base::log::warn("upkeep failed; it is tried again", {{"what", what}, {"error", error.message}});
}

}  // namespace

Upkeep::Upkeep(store::Store& store, blob::BlobStore& blobs, const base::Clock& clock, const Options& options)
    : store_(store), blobs_(blobs), clock_(clock), options_(options), thread_([this](const std::stop_token& stop) {
        run(stop);
      }) {}

void Upkeep::run(const std::stop_token& stop) {
  for (int64_t wait_us = options_.first_us;; wait_us = options_.every_us) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, std::chrono::microseconds(wait_us), [] { return false; });
    }
    if (stop.stop_requested()) return;
    pass(stop);
  }
}

void Upkeep::pass(const std::stop_token& stop) {
  auto ctx = base::Context::system(clock_, "system:upkeep");
  ctx.cancelled = stop;
  if (const auto trimmed = trim(store_, ctx, options_.keep_events_us); !trimmed) {
    report("events", trimmed.error());
  } else if (*trimmed > 0) {
    base::log::info("old events trimmed", {{"events", *trimmed}});
  }
  if (options_.purge_deleted_us > 0) {
    const auto purged =
        purge(store_, ctx, (clock_.wall_us() - options_.purge_deleted_us) / 1000, options_.destination.get());
    if (!purged) {
      report("deleted runs", purged.error());
    } else if (*purged > 0) {
      base::log::info("deleted runs removed for good", {{"runs", *purged}});
    }
  }
  if (const auto collected = blob::collect_garbage(store_, blobs_, ctx, options_.grace_us); !collected) {
    report("blobs", collected.error());
  } else if (collected->removed > 0) {
    base::log::info("unused blobs removed", {{"blobs", collected->removed}, {"bytes", collected->bytes}});
  }
}

}  // namespace server
