// Store on PostgreSQL: threads with a connection each, some for writes, some for reads. A write is READ COMMITTED with
// named locks (Tx::lock); it is run again after a deadlock, a serialisation failure or a lost connection.
//
// A COMMIT whose answer was lost is settled by the job's request key, which the same transaction inserts into
// store_commits: inserting it once more waits for the old transaction to end, fails if it was committed, and if not
// makes sure that it never can be.
#include <libpq-fe.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/jobs.h"
#include "store/kept.h"
#include "store/migrate.h"
#include "store/postgres_conn.h"
#include "store/postgres_guard.h"

namespace store::detail {
namespace {

constexpr int kTries = 6;                       // of one job, the first included
constexpr int64_t kBackoffUs = 5'000;           // doubled per try, with jitter
constexpr int64_t kReconnectUs = 10'000'000;    // how long one job waits for PostgreSQL to come back
constexpr int64_t kSettleUs = 30'000'000;       // how long the fate of a COMMIT is asked for
constexpr int64_t kKeepKeysUs = 3'600'000'000;  // request keys are kept for an hour
constexpr uint64_t kTrimEvery = 1'000;          // writes between two trims of the keys
constexpr size_t kApplicationName = 63;         // PostgreSQL cuts it there

constexpr Migration kMigrations[] = {
    {1, R"(
CREATE TABLE store_commits (
  key $text NOT NULL PRIMARY KEY,
  at_us $int NOT NULL
);
CREATE INDEX store_commits_by_time ON store_commits (at_us);
)"},
};

int64_t mono_us() { return base::system_clock().mono_us(); }
int64_t earlier(int64_t a, int64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }
void sleep_us(int64_t us) { std::this_thread::sleep_for(std::chrono::microseconds(us)); }

std::string begin_text(std::string_view mode, int64_t deadline_mono_us) {
  const int64_t left_ms = std::max<int64_t>((deadline_mono_us - mono_us()) / 1000, 1);
  return "BEGIN " + std::string(mode) + "; SET LOCAL statement_timeout = " + std::to_string(left_ms);
}

// What /metrics says of one of the two pools; without a registry nothing is counted.
struct PoolMetrics {
  base::Gauge* connections = nullptr;
  base::Gauge* busy = nullptr;
  base::Counter* jobs = nullptr;
  base::Counter* repeats = nullptr;
  base::Histogram* wait_seconds = nullptr;
  base::Histogram* job_seconds = nullptr;

  PoolMetrics(base::Registry* registry, const char* pool) {
    if (registry == nullptr) return;
    static constexpr double kSeconds[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10};
    const base::Registry::Labels labels = {{"pool", pool}};
    connections = &registry->gauge("lathe_store_pool_connections", "Connections to PostgreSQL of the pool", labels);
    busy = &registry->gauge("lathe_store_pool_busy", "Connections of the pool that run a job now", labels);
    jobs = &registry->counter("lathe_store_pool_jobs_total", "Jobs answered", labels);
    repeats =
        &registry->counter("lathe_store_pool_repeats_total",
                           "Runs of jobs that had to be made again: deadlocks, conflicts, lost connections", labels);
    wait_seconds =
        &registry->histogram("lathe_store_pool_wait_seconds", "Time a job waited for a connection", kSeconds, labels);
    job_seconds = &registry->histogram("lathe_store_pool_job_seconds",
                                       "Time a job took, its repeats and COMMIT included", kSeconds, labels);
  }

  void begin(int64_t waited_us) const {
    if (busy == nullptr) return;
    busy->add(1);
    wait_seconds->observe(static_cast<double>(waited_us) / 1e6);
  }
  void end(int64_t took_us) const {
    if (busy == nullptr) return;
    busy->add(-1);
    jobs->add();
    job_seconds->observe(static_cast<double>(took_us) / 1e6);
  }
  void repeat() const {
    if (repeats != nullptr) repeats->add();
  }
};

// A connection that is made anew when it is lost. Thread: its owner's.
class Link {
 public:
  explicit Link(const PgConn::Settings& settings) : settings_(settings) {}

  // Tries until `until_mono_us`.
  base::Result<PgConn*> get(int64_t until_mono_us, const std::atomic<bool>& stopping) {
    for (int64_t pause_us = 50'000;; pause_us = std::min<int64_t>(pause_us * 2, 1'000'000)) {
      if (conn_ && !conn_->lost()) return conn_.get();
      conn_.reset();
      auto opened = PgConn::open(settings_);
      if (opened) {
        conn_ = std::move(*opened);
      } else if (stopping || mono_us() + pause_us > until_mono_us) {
        return std::unexpected(std::move(opened).error());
      } else {
        sleep_us(pause_us);
      }
    }
  }

 private:
  const PgConn::Settings& settings_;
  std::unique_ptr<PgConn> conn_;
};

class PostgresStore final : public Store {
 public:
  static base::Result<std::unique_ptr<Store>> open(const Options& options, std::span<const ModuleMigrations> modules,
                                                   base::Registry* metrics) {
    std::unique_ptr<PostgresStore> store(new PostgresStore(options, metrics));
    if (!options.read_only) {
      TRY_SET(store->guard_, PgGuard::start(store->settings_, [raw = store.get()] { raw->listeners_.call(); }));
      TRY(store->migrate_all(modules));
    }
    TRY_SET(auto probe, PgConn::open(store->settings_));
    for (size_t i = 0; i < options.readers; ++i)
      store->start(store->reads_, store->read_metrics_, &PostgresStore::run_read);
    for (size_t i = 0; !options.read_only && i < options.postgres_writers; ++i) {
      store->start(store->writes_, store->write_metrics_, &PostgresStore::run_write);
    }
    return store;
  }

  ~PostgresStore() override {
    stopping_ = true;
    writes_.close();
    reads_.close();
    for (std::thread& thread : threads_) thread.join();
    guard_.reset();
  }

  Backend backend() const override { return Backend::kPostgres; }
  uint64_t add_event_listener(std::function<void()> listener) override { return listeners_.add(std::move(listener)); }
  void remove_event_listener(uint64_t key) override { listeners_.remove(key); }

  base::Result<void> backup_database(const std::string& path) override {
    return base::fail(base::Code::kUnsupported,
                      "PostgreSQL is backed up with its own tools: pg_dump --format=custom --file=" + path +
                          ".dump URL; then `lathe backup` is for SQLite stores only");
  }
  base::Result<std::vector<std::string>> check_database() override { return std::vector<std::string>{}; }

 protected:
  void submit(Kind kind, Job* job) override {
    if (kind != Kind::kWrite) return reads_.push(job);
    if (!options_.read_only) return writes_.push(job);
    job->fail({base::Code::kForbidden, "the store was opened for reading only"});
    answer(job);
  }
  bool run_point_here(Job*) override { return false; }

 private:
  PostgresStore(const Options& options, base::Registry* metrics)
      : options_(options),
        settings_{options.url, options.postgres_schema, ("lathe " + options.holder).substr(0, kApplicationName)},
        writes_(base::limits::kWriteQueue, "writes"),
        reads_(base::limits::kReadQueue, "reads"),
        write_metrics_(metrics, "write"),
        read_metrics_(metrics, "read"),
        key_prefix_(base::random_hex(base::system_random(), 8) + "-") {}

  base::Result<void> migrate_all(std::span<const ModuleMigrations> modules) {
    std::vector<ModuleMigrations> all{{"store", kMigrations}};
    all.insert(all.end(), modules.begin(), modules.end());
    TRY_SET(auto conn, PgConn::open(settings_));
    const auto ctx = base::Context::system(base::system_clock(), "system:migrations");
    const Transact transact = [&](const std::function<base::Result<void>(Tx&)>& f) -> base::Result<void> {
      if (auto begun = conn->simple("BEGIN"); !begun) return std::unexpected(begun.error().error);
      PgTx tx(*conn, ctx, 0, 0);
      auto result = f(tx);
      if (tx.failed()) result = tx.status();
      auto ended = conn->simple(result ? "COMMIT" : "ROLLBACK");
      if (result && !ended) return std::unexpected(ended.error().error);
      return result;
    };
    return migrate(transact, all);
  }

  void start(JobQueue& queue, const PoolMetrics& metrics, void (PostgresStore::*run)(Link&, Job&)) {
    if (metrics.connections != nullptr) metrics.connections->add(1);
    threads_.emplace_back([this, &queue, &metrics, run] {
      Link link(settings_);
      std::vector<Job*> jobs;
      int64_t waited_us = 0;
      while (queue.pop(1, jobs, &waited_us)) {
        const int64_t began = mono_us();
        metrics.begin(waited_us);
        (this->*run)(link, *jobs[0]);
        metrics.end(mono_us() - began);
        trace_job(*jobs[0], &queue == &writes_ ? "store write" : "store read", 0);
        answer(jobs[0]);
      }
    });
  }

  enum class End : uint8_t { kDone, kAgain, kUnknown };
  struct Attempt {
    End end = End::kDone;
    base::Error error;  // kAgain, kUnknown: why
    bool wake = false;  // kDone, kUnknown: it appended events
  };

  void run_write(Link& link, Job& job) {
    for (int tries = 1;; ++tries) {
      if (gave_up(job, mono_us())) return;
      const std::string key = key_prefix_ + std::to_string(next_key_++);
      Attempt attempt = try_write(link, job, key);
      if (attempt.end == End::kUnknown) attempt = settle(link, std::move(attempt), key);
      if (attempt.end == End::kDone) return committed(link, attempt.wake, key);
      if (attempt.end == End::kUnknown || tries == kTries || stopping_) return job.fail(std::move(attempt.error));
      write_metrics_.repeat();
      const int64_t backoff_us = kBackoffUs << tries;
      sleep_us(backoff_us / 2 +
               static_cast<int64_t>(base::system_random().next_u64() % static_cast<uint64_t>(backoff_us)));
    }
  }

  Attempt try_write(Link& link, Job& job, const std::string& key) {
    const int64_t now = mono_us();
    if (!wait_for_lock(now + kReconnectUs)) {
      return {End::kAgain,
              {base::Code::kUnavailable, "the connection that holds this server's lock on PostgreSQL is lost"}};
    }
    auto conn = link.get(now + kReconnectUs, stopping_);
    if (!conn) return {End::kAgain, std::move(conn).error()};
    const int64_t deadline = earlier(mono_us() + base::limits::kJobUs, job.ctx.deadline_mono_us);
    const InFlight in_flight(*this);
    if (auto begun = (*conn)->simple(begin_text("ISOLATION LEVEL READ COMMITTED", deadline)); !begun) {
      return again(std::move(begun).error());
    }
    PgTx tx(**conn, job.ctx, deadline, base::limits::kJobRows);
    const bool ok = run_guarded(job, tx).has_value();
    if (!ok) {
      (void)(*conn)->simple("ROLLBACK");
      if (tx.run_again()) return {End::kAgain, tx.status().error()};
      return {};  // the job has its error
    }
    auto ended = (*conn)->simple("INSERT INTO store_commits (key, at_us) VALUES ('" + key + "', " +
                                 std::to_string(base::system_clock().wall_us()) + "); COMMIT");
    if (ended) return {.wake = tx.wakes_event_listeners()};
    if (ended.error().lost) return {End::kUnknown, std::move(ended).error().error, tx.wakes_event_listeners()};
    (void)(*conn)->simple("ROLLBACK");
    if (ended.error().run_again) return {End::kAgain, std::move(ended).error().error};
    job.fail(std::move(ended).error().error);
    return {};
  }

  static Attempt again(PgError error) { return {End::kAgain, std::move(error.error)}; }

  Attempt settle(Link& link, Attempt unknown, const std::string& key) {
    const int64_t until = mono_us() + kSettleUs;
    while (!stopping_ && mono_us() < until) {
      auto conn = link.get(until, stopping_);
      if (!conn) break;
      auto asked = (*conn)->simple("INSERT INTO store_commits (key, at_us) VALUES ('" + key + "', " +
                                   std::to_string(base::system_clock().wall_us()) + ") ON CONFLICT DO NOTHING");
      if (!asked) continue;
      const bool was_committed = std::string_view(PQcmdTuples(asked->get())) == "0";
      base::log::info("PostgreSQL: an unanswered COMMIT was settled", {{"committed", was_committed}});
      if (was_committed) return {.wake = unknown.wake};
      return {End::kAgain, std::move(unknown.error)};
    }
    unknown.error = {
        base::Code::kUnavailable,
        "PostgreSQL went away during the commit and did not come back: whether it was stored is not known"};
    return unknown;
  }

  bool wait_for_lock(int64_t until) {
    while (!guard_->held()) {
      if (stopping_ || mono_us() > until) return false;
      sleep_us(20'000);
    }
    return true;
  }

  void committed(Link& link, bool wake, const std::string&) {
    if (wake) {
      listeners_.call();
      guard_->notify();
      events_behind_others_ = true;
    }
    if (writes_done_.fetch_add(1) % kTrimEvery == kTrimEvery - 1) trim_keys(link);
  }

  // Events of a transaction are read only when all older transactions have ended; so the end of each may be news too.
  struct InFlight {
    explicit InFlight(PostgresStore& s) : store(s) { ++store.in_flight_; }
    ~InFlight() {
      const bool last = --store.in_flight_ == 0;
      if (last ? store.events_behind_others_.exchange(false) : store.events_behind_others_.load())
        store.listeners_.call();
    }
    PostgresStore& store;
  };

  void trim_keys(Link& link) {
    auto conn = link.get(mono_us(), stopping_);
    if (!conn) return;
    (void)(*conn)->simple("DELETE FROM store_commits WHERE at_us < " +
                          std::to_string(base::system_clock().wall_us() - kKeepKeysUs));
  }

  void run_read(Link& link, Job& job) {
    for (int tries = 1;; ++tries) {
      if (gave_up(job, mono_us())) return;
      auto conn = link.get(mono_us() + kReconnectUs, stopping_);
      if (!conn) return job.fail(std::move(conn).error());
      const int64_t deadline = earlier(mono_us() + base::limits::kReadUs, job.ctx.deadline_mono_us);
      auto begun = (*conn)->simple(begin_text("ISOLATION LEVEL REPEATABLE READ READ ONLY", deadline));
      base::Error error;
      if (begun) {
        PgTx tx(**conn, job.ctx, deadline, 0, &kept_);
        (void)run_guarded(job, tx);
        (void)(*conn)->simple("ROLLBACK");
        if (!tx.run_again()) return;
        error = tx.status().error();
      } else {
        error = std::move(begun).error().error;
      }
      if (tries == kTries || stopping_) return job.fail(std::move(error));
      read_metrics_.repeat();
    }
  }

  const Options options_;
  const PgConn::Settings settings_;
  EventListeners listeners_;
  Kept kept_;
  JobQueue writes_;
  JobQueue reads_;
  const PoolMetrics write_metrics_, read_metrics_;
  const std::string key_prefix_;
  std::atomic<uint64_t> next_key_{1};
  std::atomic<uint64_t> writes_done_{0};
  std::atomic<int> in_flight_{0};
  std::atomic<bool> events_behind_others_{false};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<PgGuard> guard_;
  std::vector<std::thread> threads_;
};

}  // namespace

base::Result<std::unique_ptr<Store>> open_postgres(const Options& options, std::span<const ModuleMigrations> modules,
                                                   base::Registry* metrics) {
  return PostgresStore::open(options, modules, metrics);
}

}  // namespace store::detail
