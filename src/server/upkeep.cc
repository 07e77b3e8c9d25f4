#include "server/upkeep.h"

#include <chrono>
#include <string_view>

#include "base/log.h"
#include "core/event.h"

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
  if (const auto collected = blob::collect_garbage(store_, blobs_, ctx, options_.grace_us); !collected) {
    report("blobs", collected.error());
  } else if (collected->removed > 0) {
    base::log::info("unused blobs removed", {{"blobs", collected->removed}, {"bytes", collected->bytes}});
  }
}

}  // namespace server
