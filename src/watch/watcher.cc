#include "watch/watcher.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/log.h"
#include "watch/record.h"

namespace watch {
namespace {

constexpr size_t kReadBatch = 256;      // requests
constexpr size_t kBatchesPerPass = 64;  // of one endpoint, before the others have their turn
constexpr size_t kLabelBatch = 500;     // labels joined in one transaction
constexpr int64_t kErrorPauseUs = 1'000'000;

// One endpoint's reading: a cursor ahead of the stored position, and the window that fills between the two.
struct Reading {
  MonitorState monitor;  // .position: as stored
  ReadPosition cursor;
  int64_t revision = 0;                    // whose rows the window holds; 0: none yet
  std::shared_ptr<const Profile> profile;  // of that revision; null: it has no baseline
  std::unique_ptr<WindowRows> window;
  int64_t refused_until_us = 0;  // monotonic: after an error, not before

  void begin_window() { window = std::make_unique<WindowRows>(profile); }
  std::optional<AccuracyBaseline> accuracy() const {
    if (!profile || profile->truth.labelled == 0) return std::nullopt;
    return AccuracyBaseline{revision, profile->truth, profile->regression};
  }
};

}  // namespace

struct Watcher::Impl {
  Impl(store::Store& s, blob::BlobStore& b, RequestSource& r, const base::Clock& c, base::Registry& m, Options o)
      : store(s),
        blobs(b),
        source(r),
        clock(c),
        options(o),
        windows(m.counter("lathe_watch_windows_total", "Windows of captured traffic that were closed.")),
        skipped(m.counter("lathe_watch_skipped_rows_total",
                          "Captured rows of revisions that are no longer live, left unwatched.")),
        errors(m.counter("lathe_watch_errors_total", "Passes over an endpoint that failed and are tried again.")) {}

  base::Context context(int64_t project) const {
    auto ctx = base::Context::system(clock, "system:watch");
    ctx.project = project;
    return ctx;
  }

  void run(std::stop_token stop);
  void pass(const std::stop_token& stop);
  base::Result<void> refresh_monitors();
  base::Result<void> follow(Reading& reading, const std::stop_token& stop);
  base::Result<bool> read_batch(Reading& reading);
  base::Result<std::shared_ptr<const Profile>> load_profile(const Reading& reading, int64_t revision);
  base::Result<void> go_live(Reading& reading, int64_t live);
  base::Result<void> close(Reading& reading, const ReadPosition& to);
  bool window_ends_before(const Reading& reading, int64_t at_us) const;
  bool window_is_full(const Reading& reading) const;
  base::Result<void> settle();

  store::Store& store;
  blob::BlobStore& blobs;
  RequestSource& source;
  const base::Clock& clock;
  const Options options;
  base::Counter& windows;
  base::Counter& skipped;
  base::Counter& errors;

  std::map<std::pair<int64_t, std::string>, Reading> readings;
  bool more = false;         // an endpoint had more to read than its turn allows
  bool rows_changed = true;  // the store may hold other monitors, labels or baselines than we know

  std::mutex mutex;
  std::condition_variable_any changed;
  bool woken = true;
  std::atomic<bool> committed = true;  // by the store's event listener
  uint64_t listener = 0;
  std::jthread thread;
};

base::Result<void> Watcher::Impl::refresh_monitors() {
  const auto list = [](store::Tx& tx) -> base::Result<std::vector<MonitorState>> {
    return monitors_of_all_projects(tx);
  };
  TRY_SET(const auto found, store.read_blocking(context(base::kDefaultProject), list));
  std::map<std::pair<int64_t, std::string>, Reading> now;
  for (const MonitorState& monitor : found) {
    auto key = std::pair(monitor.project, monitor.spec.endpoint);
    Reading& reading = now[key];
    const auto before = readings.find(key);
    if (before != readings.end() && before->second.monitor.position == monitor.position) {
      reading = std::move(before->second);
      reading.monitor = monitor;
    } else {
      reading.monitor = monitor;
      reading.cursor = monitor.position;
    }
  }
  readings = std::move(now);
  return {};
}

base::Result<std::shared_ptr<const Profile>> Watcher::Impl::load_profile(const Reading& reading, int64_t revision) {
  const auto find = [&](store::Tx& tx) -> base::Result<std::optional<Baseline>> {
    return get_baseline(tx, reading.monitor.spec.endpoint, revision);
  };
  TRY_SET(const auto baseline, store.read_blocking(context(reading.monitor.project), find));
  if (!baseline) return nullptr;
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, baseline->profile_digest));
  TRY_SET(const std::string json, blobs.get(digest));
  TRY_SET(Profile parsed, parse_profile(json));
  return std::make_shared<const Profile>(std::move(parsed));
}

// Begins anew when another revision is live, or when the live one gets its baseline.
base::Result<void> Watcher::Impl::go_live(Reading& reading, int64_t live) {
  const bool other = live != reading.revision;
  if (!other && (reading.profile || !rows_changed)) return {};
  TRY_SET(auto profile, load_profile(reading, live));
  if (!other && !profile) return {};
  if (other) {
    const std::string& endpoint = reading.monitor.spec.endpoint;
    const auto end = [&](store::Tx& tx) -> base::Result<int> {
      TRY(end_alerts_of_other_revisions(tx, endpoint, live));
      return 0;
    };
    TRY(store.write_blocking(context(reading.monitor.project), end));
  }
  if (reading.window) skipped.add(static_cast<uint64_t>(reading.window->rows()));
  reading.revision = live;
  reading.profile = std::move(profile);
  reading.window.reset();
  return {};
}

bool Watcher::Impl::window_is_full(const Reading& reading) const {
  const int64_t wanted = reading.monitor.spec.window_rows;
  return reading.window->full() || (wanted > 0 && reading.window->rows() >= wanted);
}

// Windows by time lie on the grid of their length, so that a restart does not move them.
bool Watcher::Impl::window_ends_before(const Reading& reading, int64_t at_us) const {
  const int64_t length = reading.monitor.spec.window_us;
  return length > 0 && reading.window && reading.window->rows() > 0 &&
         at_us / length > reading.window->first_us() / length;
}

base::Result<void> Watcher::Impl::close(Reading& reading, const ReadPosition& to) {
  ClosedWindow closed{.endpoint = reading.monitor.spec.endpoint,
                      .revision = reading.revision,
                      .rule = reading.monitor.spec,
                      .from = reading.monitor.position,
                      .to = to,
                      .first_us = reading.window->first_us(),
                      .last_us = reading.window->last_us(),
                      .numbers = measure(*reading.window, reading.monitor.spec),
                      .members = reading.window->members()};
  const auto accuracy = reading.accuracy();
  TRY(store.write_blocking(context(reading.monitor.project),
                           [&](store::Tx& tx) { return record_window(tx, closed, accuracy); }));
  windows.add();
  reading.monitor.position = to;
  reading.begin_window();
  return {};
}

// Answers whether there was anything.
base::Result<bool> Watcher::Impl::read_batch(Reading& reading) {
  const MonitorSpec& spec = reading.monitor.spec;
  if (!source.live_revision(reading.monitor.project, spec.endpoint)) return false;  // not loaded yet: nothing is lost
  TRY_SET(const auto batch, source.read(reading.monitor.project, spec.endpoint, reading.cursor.segment,
                                        reading.cursor.offset, kReadBatch));
  // Asked after reading: rows of a revision that was not live yet cannot be in the batch.
  const auto live = source.live_revision(reading.monitor.project, spec.endpoint);
  if (!live) return false;
  TRY(go_live(reading, *live));
  const auto begin = static_cast<size_t>(reading.cursor.skip);
  bool any = false;
  for (size_t i = begin; i < batch.requests.size(); ++i) {
    const Request& request = batch.requests[i];
    any = true;
    if (request.revision != reading.revision) {
      skipped.add(request.row_count);
      reading.cursor.skip = static_cast<int64_t>(i + 1);
      continue;
    }
    if (!reading.window) reading.begin_window();
    if (window_ends_before(reading, request.at_us)) TRY(close(reading, reading.cursor));
    reading.window->add(request);
    reading.cursor.skip = static_cast<int64_t>(i + 1);
    if (window_is_full(reading)) {
      const bool last = i + 1 == batch.requests.size();
      TRY(close(reading, last ? ReadPosition{batch.next_segment, batch.next_offset, 0} : reading.cursor));
    }
  }
  const ReadPosition next{batch.next_segment, batch.next_offset, 0};
  if (reading.cursor.segment == next.segment && reading.cursor.offset == next.offset) return any;
  reading.cursor = next;
  return true;
}

base::Result<void> Watcher::Impl::follow(Reading& reading, const std::stop_token& stop) {
  for (size_t i = 0; i < kBatchesPerPass && !stop.stop_requested(); ++i) {
    TRY_SET(const bool any, read_batch(reading));
    if (!any) break;
    if (i + 1 == kBatchesPerPass) more = true;
  }
  // Nothing came since the window's time was over: it closes by the clock.
  if (window_ends_before(reading, clock.wall_us() - options.late_us)) TRY(close(reading, reading.cursor));
  return {};
}

base::Result<void> Watcher::Impl::settle() {
  const auto find = [](store::Tx& tx) -> base::Result<std::vector<int64_t>> {
    return projects_with_waiting_labels(tx);
  };
  TRY_SET(const auto projects, store.read_blocking(context(base::kDefaultProject), find));
  for (const int64_t project : projects) {
    AccuracyBaselines baselines;
    for (const auto& [key, reading] : readings) {
      const auto accuracy = reading.accuracy();
      if (key.first == project && accuracy) baselines[key.second] = *accuracy;
    }
    while (true) {
      TRY_SET(const int64_t taken, store.write_blocking(context(project), [&](store::Tx& tx) {
        return settle_labels(tx, kLabelBatch, baselines);
      }));
      if (taken < static_cast<int64_t>(kLabelBatch)) break;
    }
  }
  return {};
}

void Watcher::Impl::pass(const std::stop_token& stop) {
  const auto report = [&](std::string_view what, const base::Error& error) {
    errors.add();
    base::log::warn("watching failed; it is tried again", {{"what", what}, {"error", error.message}});
  };
  rows_changed |= committed.exchange(false);
  if (rows_changed) {
    if (const auto done = refresh_monitors(); !done) return report("monitors", done.error());
  }
  for (auto& [key, reading] : readings) {
    if (clock.mono_us() < reading.refused_until_us) continue;
    if (stop.stop_requested()) return;
    const auto done = follow(reading, stop);
    if (done) continue;
    report(key.second, done.error());
    // From the stored position, as after a restart.
    reading = Reading{.monitor = reading.monitor, .cursor = reading.monitor.position};
    reading.refused_until_us = clock.mono_us() + kErrorPauseUs;
    committed = true;
  }
  if (rows_changed) {
    if (const auto done = settle(); !done) return report("labels", done.error());
  }
  rows_changed = false;
}

void Watcher::Impl::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex);
      const auto idle = std::chrono::microseconds(readings.empty() ? options.idle_us * 40 : options.idle_us);
      changed.wait_for(lock, stop, idle, [&] { return woken || more; });
      woken = more = false;
    }
    if (stop.stop_requested()) break;
    pass(stop);
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop, std::chrono::microseconds(options.least_pause_us), [] { return false; });
  }
}

Watcher::Watcher(store::Store& store, blob::BlobStore& blobs, RequestSource& source, const base::Clock& clock,
                 base::Registry& metrics, Options options)
    : impl_(std::make_unique<Impl>(store, blobs, source, clock, metrics, options)) {
  impl_->listener = store.add_event_listener([impl = impl_.get()] {
    impl->committed = true;
    std::lock_guard lock(impl->mutex);
    if (!std::exchange(impl->woken, true)) impl->changed.notify_one();
  });
  if (options.idle_us > 0)
    impl_->thread = std::jthread([impl = impl_.get()](std::stop_token stop) { impl->run(stop); });
}

Watcher::~Watcher() {
  impl_->store.remove_event_listener(impl_->listener);
  if (impl_->thread.joinable()) {
    impl_->thread.request_stop();
    impl_->thread.join();
  }
}

void Watcher::wake() {
  impl_->committed = true;
  std::lock_guard lock(impl_->mutex);
  impl_->woken = true;
  impl_->changed.notify_one();
}

void Watcher::pass() { impl_->pass({}); }

}  // namespace watch
