#include "core/event.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

#include "base/limits.h"
#include "base/log.h"

namespace core {
namespace {

constexpr int64_t kPollUs = 1'000'000;  // correctness never depends on the wake-up
// A stream of events that are nothing to a consumer costs it one look per so long, once so many have come in a row:
// what it does want it handles at once, as close as it can to the state that the event tells of.
constexpr int64_t kRestUs = 50'000;
constexpr int kPatience = 16;
constexpr int64_t kBackoffLeastUs = 100'000;
constexpr int64_t kBackoffMostUs = 30'000'000;
constexpr int64_t kNotePositionUs = 5'000'000;  // what was passed over is read again after a crash, at most this much
constexpr int64_t kTrimStep = 10'000;           // events removed by one call
constexpr int64_t kServer = 0;                  // consumers serve all projects

std::vector<Event> to_events(store::Rows rows) {
  std::vector<Event> events;
  while (rows.next()) {
    events.push_back({{rows.i64(0), rows.i64(1)},
                      rows.i64(2),
                      rows.i64(3),
                      rows.str(4),
                      rows.str(5),
                      rows.str(6),
                      rows.str(7),
                      rows.str(8)});
  }
  return events;
}

// On PostgreSQL a transaction below pg_snapshot_xmin has ended: what it wrote is all there, and nothing can still
// appear before it in the order (xid, seq).
store::Rows query_events(store::Tx& tx, EventPosition after, size_t limit, int64_t project) {
  if (tx.backend() == store::Backend::kPostgres) {
    return tx.query(
        "SELECT xid, seq, project, at_us, kind, subject_kind, subject, actor, body FROM events"
        " WHERE (xid, seq) > (?, ?) AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        " AND (project = ? OR ? = 0) ORDER BY xid, seq LIMIT ?",
        after.xid, after.seq, project, project, limit);
  }
  return tx.query(
      "SELECT xid, seq, project, at_us, kind, subject_kind, subject, actor, body FROM events"
      " WHERE seq > ? AND (project = ? OR ? = 0) ORDER BY seq LIMIT ?",
      after.seq, project, project, limit);
}

}  // namespace

void emit(store::Tx& tx, std::string_view kind, std::string_view subject_kind, std::string_view subject,
          std::string_view body) {
  tx.exec("INSERT INTO events (project, at_us, kind, subject_kind, subject, actor, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
          tx.project(), tx.now_us(), kind, subject_kind, subject, tx.ctx().actor.name, body);
  tx.wake_event_listeners();
}

base::Result<std::vector<Event>> read_events(store::Tx& tx, EventPosition after, size_t limit, int64_t project) {
  std::vector<Event> events = to_events(query_events(tx, after, limit, project));
  TRY(tx.status());
  return events;
}

base::Result<EventPosition> newest_position(store::Tx& tx) {
  EventPosition newest;
  if (tx.backend() == store::Backend::kPostgres) {
    // Everything of ended transactions is behind it; what comes later has this xid or a higher one.
    const auto xmin = tx.query_i64("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint");
    if (xmin) newest = {*xmin - 1, std::numeric_limits<int64_t>::max()};
  } else {
    newest.seq = tx.query_i64("SELECT max(seq) FROM events").value_or(0);
  }
  TRY(tx.status());
  return newest;
}

base::Result<bool> are_all_kept(store::Tx& tx, EventPosition after) {
  TRY_SET(const EventPosition newest, newest_position(tx));
  if (after > newest) return false;
  store::Rows rows = tx.query("SELECT xid, seq FROM events ORDER BY xid, seq LIMIT 1");
  if (!rows.next()) {
    TRY(tx.status());
    return true;
  }
  const EventPosition oldest{rows.i64(0), rows.i64(1)};
  // The newest event is never trimmed, so whoever has seen it has something to hold on to. SQLite counts without gaps.
  return oldest <= after || (tx.backend() == store::Backend::kSqlite && oldest.seq == after.seq + 1);
}

// Never the newest event: on SQLite its row id is where numbering goes on.
base::Result<int64_t> trim_events(store::Tx& tx, int64_t keep_us) {
  store::Rows rows = tx.query("SELECT xid, seq FROM consumers ORDER BY xid, seq LIMIT 1");
  EventPosition passed{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max()};
  if (rows.next()) passed = {rows.i64(0), rows.i64(1)};
  const int64_t removed = tx.exec(
      "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE (xid, seq) <= (?, ?) AND at_us < ?"
      " AND seq < (SELECT max(seq) FROM events) ORDER BY xid, seq LIMIT ?)",
      passed.xid, passed.seq, tx.now_us() - keep_us, kTrimStep);
  TRY(tx.status());
  return removed;
}

base::Result<std::vector<std::string>> forget_consumers_except(store::Tx& tx,
                                                               std::span<const std::string_view> in_use) {
  std::vector<std::string> gone;
  {
    store::Rows rows = tx.query("SELECT name FROM consumers WHERE project = ? ORDER BY name", kServer);
    while (rows.next()) {
      if (std::ranges::find(in_use, rows.text(0)) == in_use.end()) gone.push_back(rows.str(0));
    }
  }
  for (const std::string& name : gone) tx.exec("DELETE FROM consumers WHERE project = ? AND name = ?", kServer, name);
  TRY(tx.status());
  return gone;
}

// --- Consumer -------------------------------------------------------------------------------------------------------

struct Consumer::Impl {
  Impl(store::Store& s, const base::Clock& c, std::string n, Handler h, bool start, Wants w)
      : store(s), clock(c), name(std::move(n)), handler(std::move(h)), wants(std::move(w)), from_start(start) {
    if (auto begun = begin(); !begun) report("could not begin", begun.error());
    listener = store.add_event_listener([this] { wake(); });
    thread = std::thread([this] { run(); });
  }

  ~Impl() {
    store.remove_event_listener(listener);
    {
      std::lock_guard lock(mutex);
      stopping = true;
      changed.notify_one();
    }
    thread.join();
  }

  void wake() {  // by every commit with an event: a thread that rests is left alone
    std::lock_guard lock(mutex);
    woken = true;
    if (waiting) changed.notify_one();
  }

  // False when it is time to stop.
  bool rest(int64_t us) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::microseconds(us), [&] { return stopping; });
    return !stopping;
  }

  // For events: what is new after a quiet time is looked at at once.
  bool wait() {
    std::unique_lock lock(mutex);
    waiting = true;
    changed.wait_for(lock, std::chrono::microseconds(kPollUs), [&] { return stopping || woken; });
    waiting = woken = false;
    return !stopping;
  }

  bool stop_requested() {
    std::lock_guard lock(mutex);
    return stopping;
  }

  base::Context context(int64_t project) const {
    auto ctx = base::Context::system(clock, "system:" + name);
    ctx.project = project;
    return ctx;
  }

  void report(std::string_view what, const base::Error& error) const {
    base::log::warn("event consumer", {{"consumer", name}, {"what", what}, {"error", error.message}});
  }

  // The row that holds the position: found, or made.
  base::Result<void> begin() {
    auto found =
        store.write_blocking(context(base::kDefaultProject), [this](store::Tx& tx) -> base::Result<EventPosition> {
          EventPosition first;
          if (!from_start) {
            TRY_SET(first, newest_position(tx));
          }
          tx.exec(
              "INSERT INTO consumers (project, name, xid, seq, moved_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
              kServer, name, first.xid, first.seq, tx.now_us());
          store::Rows rows = tx.query("SELECT xid, seq FROM consumers WHERE project = ? AND name = ?", kServer, name);
          if (rows.next()) first = {rows.i64(0), rows.i64(1)};
          TRY(tx.status());
          return first;
        });
    if (!found) return std::unexpected(found.error());
    position = *found;
    return {};
  }

  void store_position(store::Tx& tx, EventPosition at) {
    tx.exec("UPDATE consumers SET xid = ?, seq = ?, moved_us = ? WHERE project = ? AND name = ?", at.xid, at.seq,
            tx.now_us(), kServer, name);
  }

  base::Result<void> handle(const Event& event) {
    auto done = store.write_blocking(context(event.project), [&](store::Tx& tx) -> base::Result<bool> {
      TRY(handler(tx, event));
      store_position(tx, event.position);
      return true;
    });
    if (!done) return std::unexpected(done.error());
    position = event.position;
    noted_us = clock.mono_us();
    in_vain = 0;
    return {};
  }

  base::Result<void> pass_over(const Event& event) {
    position = event.position;
    in_vain = std::min(in_vain + 1, kPatience + 1);
    if (clock.mono_us() - noted_us < kNotePositionUs) return {};
    auto done = store.write_blocking(context(event.project), [&](store::Tx& tx) -> base::Result<bool> {
      store_position(tx, event.position);
      return true;
    });
    if (!done) return std::unexpected(done.error());
    noted_us = clock.mono_us();
    return {};
  }

  // Handles what there is; answers whether it saw a full batch (there may be more).
  base::Result<bool> step() {
    if (!position) TRY(begin());
    auto events = store.read_blocking(context(base::kDefaultProject), [this](store::Tx& tx) {
      return read_events(tx, *position, base::limits::kEventBatch);
    });
    if (!events) return std::unexpected(events.error());
    if (events->empty()) in_vain = 0;  // a quiet time
    for (const Event& event : *events) {
      if (stop_requested()) return false;
      if (auto handled = !wants || wants(event) ? handle(event) : pass_over(event); !handled) {
        return std::unexpected(std::move(handled).error().within(event.kind + " " + event.subject));
      }
    }
    return events->size() == base::limits::kEventBatch;
  }

  void run() {
    int64_t backoff_us = kBackoffLeastUs;
    while (true) {
      const int64_t looked_us = clock.mono_us();
      const auto more = step();
      if (!more) {
        report("failed; tried again", more.error());
        if (!rest(backoff_us)) return;
        backoff_us = std::min(backoff_us * 2, kBackoffMostUs);
        continue;
      }
      backoff_us = kBackoffLeastUs;
      const bool rests = in_vain > kPatience && !*more;
      if (rests && !rest(looked_us + kRestUs - clock.mono_us())) return;
      if (*more ? stop_requested() : !wait()) return;
    }
  }

  store::Store& store;
  const base::Clock& clock;
  const std::string name;
  const Handler handler;
  const Wants wants;
  const bool from_start;
  int in_vain = 0;                        // events in a row that were not wanted
  int64_t noted_us = 0;                   // monotonic: when the position was last stored
  std::optional<EventPosition> position;  // of the thread, once begun
  uint64_t listener = 0;
  std::mutex mutex;
  std::condition_variable changed;
  bool waiting = false;
  bool woken = false;
  bool stopping = false;
  std::thread thread;
};

Consumer::Consumer(store::Store& store, const base::Clock& clock, std::string name, Handler handler, bool from_start,
                   Wants wants)
    : impl_(std::make_unique<Impl>(store, clock, std::move(name), std::move(handler), from_start, std::move(wants))) {}
Consumer::~Consumer() = default;

}  // namespace core
