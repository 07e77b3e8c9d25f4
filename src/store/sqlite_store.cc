// Store on SQLite: one writer thread with group commit, a pool of readers, and a read-only connection per loop thread.
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/clock.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/jobs.h"
#include "store/kept.h"
#include "store/migrate.h"
#include "store/sqlite_conn.h"

namespace store::detail {
namespace {

using base::limits::kSqlCacheBytes;

constexpr int kCheckpointPages = 1000;         // WAL pages after which the writer copies them into the database
constexpr int kCheckpointPressPages = 16'000;  // … and after which it waits for readers, so that the WAL can restart
constexpr int kCheckpointPressMs = 200;

// Shares of the one budget for page caches.
constexpr size_t kWriterCache = kSqlCacheBytes * 3 / 8;
constexpr size_t kReadersCache = kSqlCacheBytes * 3 / 8;
constexpr size_t kPointCache = kSqlCacheBytes / 4 / base::limits::kPointConnections;

int64_t mono_us() { return base::system_clock().mono_us(); }

int64_t earlier(int64_t a, int64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

struct Instruments {
  base::Counter* commits = nullptr;
  base::Counter* jobs = nullptr;
  base::Counter* failed_groups = nullptr;
  base::Histogram* group = nullptr;
  base::Histogram* commit_seconds = nullptr;

  explicit Instruments(base::Registry* registry) {
    if (registry == nullptr) return;
    static constexpr double kJobs[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
    static constexpr double kSeconds[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2};
    commits = &registry->counter("lathe_store_commits_total", "Write transactions committed");
    jobs = &registry->counter("lathe_store_write_jobs_total", "Write jobs answered after a commit");
    failed_groups = &registry->counter("lathe_store_failed_groups_total", "Write transactions that failed as a whole");
    group = &registry->histogram("lathe_store_group_jobs", "Write jobs in one commit", kJobs);
    commit_seconds = &registry->histogram("lathe_store_commit_seconds", "Time of COMMIT, fsync included", kSeconds);
  }
};

// The one connection that writes and checkpoints. Thread: the writer's own (before it starts: the opener's).
class GroupWriter {
 public:
  GroupWriter(std::unique_ptr<SqliteConn> conn, EventListeners& listeners, Instruments instruments)
      : conn_(std::move(conn)), listeners_(listeners), instruments_(instruments) {
    sqlite3_wal_hook(conn_->handle(), &GroupWriter::on_wal, this);
  }

  // Runs and answers every job of the group. Hardly a job fails after it has changed something, so a group runs without
  // savepoints first (each copies every page that its job changes); when one does, all run again, fenced.
  void run(std::vector<Job*>& group) {
    std::vector<Job*> waiting = group;
    bool fenced = false, wake = false;
    while (!waiting.empty()) {
      Job* offender = nullptr;
      const GroupEnd end = try_group(waiting, fenced, offender, wake);
      if (end == GroupEnd::kCommitted || end == GroupEnd::kFailed) break;
      if (end == GroupEnd::kSpoiled) fenced = true;
      if (end == GroupEnd::kLost) std::erase(waiting, offender);  // the others run again
    }
    for (const Job* job : group) trace_job(*job, "store write", group.size());
    answer(group);
    if (wake) listeners_.call();
    checkpoint();
  }

  // One transaction outside of any group: migrations.
  base::Result<void> transact(const std::function<base::Result<void>(Tx&)>& f, const base::Context& ctx) {
    if (!conn_->control("BEGIN IMMEDIATE")) return std::unexpected(conn_->last_error());
    base::Result<void> result;
    {
      SqliteTx tx(*conn_, ctx, 0, 0);
      result = f(tx);
      if (tx.failed()) result = tx.status();
    }
    if (result && !conn_->control("COMMIT")) result = std::unexpected(conn_->last_error());
    if (conn_->in_transaction()) conn_->control("ROLLBACK");
    return result;
  }

 private:
  enum class JobEnd : uint8_t {  // what became of the transaction
    kOpen,
    kLost,  // why is in lost_
    kInterrupted,
    kSpoiled  // holds changes of a failed job
  };
  enum class GroupEnd : uint8_t {
    kCommitted,
    kFailed,  // every job has the error
    kLost,    // `offender` has its error; the others were rolled back with it through no fault of their own
    kSpoiled  // rolled back; each needs a savepoint of its own
  };

  GroupEnd try_group(const std::vector<Job*>& group, bool fenced, Job*& offender, bool& wake) {
    wake = false;
    if (conn_->in_transaction()) conn_->control("ROLLBACK");  // a ROLLBACK that failed before
    if (!conn_->control("BEGIN IMMEDIATE")) return fail_all(group, conn_->last_error());
    for (Job* job : group) {
      if (gave_up(*job, mono_us())) continue;
      switch (run_job(*job, fenced, wake)) {
        case JobEnd::kOpen: break;
        case JobEnd::kLost: return fail_all(group, std::move(lost_));
        case JobEnd::kInterrupted:
          if (conn_->in_transaction()) conn_->control("ROLLBACK");
          offender = job;
          return GroupEnd::kLost;
        case JobEnd::kSpoiled: conn_->control("ROLLBACK"); return GroupEnd::kSpoiled;
      }
    }
    const int64_t begun = mono_us();
    if (!conn_->control("COMMIT")) return fail_all(group, conn_->last_error());
    if (instruments_.commits) {
      instruments_.commits->add();
      instruments_.jobs->add(group.size());
      instruments_.group->observe(static_cast<double>(group.size()));
      instruments_.commit_seconds->observe(static_cast<double>(mono_us() - begun) / 1e6);
    }
    return GroupEnd::kCommitted;
  }

  JobEnd run_job(Job& job, bool fenced, bool& wake) {
    const auto lost = [this](base::Error error) {
      lost_ = std::move(error);
      return JobEnd::kLost;
    };
    if (fenced && !conn_->control("SAVEPOINT job")) return lost(conn_->last_error());
    const int64_t deadline = earlier(mono_us() + base::limits::kJobUs, job.ctx.deadline_mono_us);
    conn_->set_bound(deadline);
    bool ok = false, wrote = false, wants_wake = false;
    int code = 0;
    base::Error error;
    {
      SqliteTx tx(*conn_, job.ctx, deadline, base::limits::kJobRows);
      ok = run_guarded(job, tx).has_value();
      code = tx.code();
      if (tx.failed()) error = tx.error();
      wrote = tx.wrote();
      wants_wake = tx.wakes_event_listeners();
    }
    conn_->clear_bound();
    if (ends_transaction(code)) return lost(std::move(error));
    // An interrupted statement that was writing takes the whole transaction with it.
    if (!conn_->in_transaction()) {
      return (code & 0xff) == SQLITE_INTERRUPT ? JobEnd::kInterrupted : lost(std::move(error));
    }
    if (!fenced && !ok && wrote) return JobEnd::kSpoiled;
    if (fenced && !ok && !conn_->control("ROLLBACK TO job")) return lost(conn_->last_error());
    if (fenced && !conn_->control("RELEASE job")) return lost(conn_->last_error());
    if (!conn_->in_transaction()) return lost({base::Code::kInternal, "the transaction ended before its time"});
    wake = wake || (ok && wants_wake);
    return JobEnd::kOpen;
  }

  GroupEnd fail_all(const std::vector<Job*>& group, base::Error error) {
    if (conn_->in_transaction()) conn_->control("ROLLBACK");
    base::log::error("a write transaction failed", {{"jobs", group.size()}, {"error", error.message}});
    if (instruments_.failed_groups) instruments_.failed_groups->add();
    for (Job* job : group) job->fail(error);
    return GroupEnd::kFailed;
  }

  static int on_wal(void* self, sqlite3*, const char*, int pages) {
    static_cast<GroupWriter*>(self)->wal_pages_ = pages;
    return SQLITE_OK;
  }

  // After the answers have gone out, so that nobody waits for it.
  void checkpoint() {
    if (wal_pages_ < kCheckpointPages) return;
    const bool press = wal_pages_ >= kCheckpointPressPages;
    if (press) sqlite3_busy_timeout(conn_->handle(), kCheckpointPressMs);
    int left = 0, done = 0;
    const int code = sqlite3_wal_checkpoint_v2(
        conn_->handle(), nullptr, press ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &left, &done);
    if (press) sqlite3_busy_timeout(conn_->handle(), kBusyTimeoutMs);
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
      base::log::warn("checkpoint failed; it is tried again", {{"error", sqlite3_errmsg(conn_->handle())}});
    }
    wal_pages_ = 0;  // the next commit tells it again
  }

  std::unique_ptr<SqliteConn> conn_;
  EventListeners& listeners_;
  Instruments instruments_;
  base::Error lost_;
  int wal_pages_ = 0;
};

void run_read(SqliteConn& conn, Job& job, Kept& kept) {
  if (gave_up(job, mono_us())) return;
  const int64_t deadline = earlier(mono_us() + base::limits::kReadUs, job.ctx.deadline_mono_us);
  conn.set_bound(deadline, job.ctx.cancelled);
  if (!conn.control("BEGIN")) {  // one snapshot for all statements of the job
    job.fail(conn.last_error());
  } else {
    SqliteTx tx(conn, job.ctx, deadline, 0, &kept);
    (void)run_guarded(job, tx);
  }
  conn.clear_bound();
  if (conn.in_transaction()) conn.control("ROLLBACK");
}

class SqliteStore final : public Store {
 public:
  static base::Result<std::unique_ptr<Store>> open(const Options& options, std::span<const ModuleMigrations> modules,
                                                   base::Registry* metrics) {
    const std::string path = options.url.substr(std::string_view("sqlite:").size());
    std::unique_ptr<SqliteStore> store(new SqliteStore(options, path));
    if (!options.read_only) {
      TRY_SET(auto lock, base::FileLock::acquire(path + ".lock", options.holder));
      store->lock_.emplace(std::move(lock));
      TRY(store->start_writer(modules, metrics));
    }
    TRY(store->start_readers());
    return store;
  }

  ~SqliteStore() override {
    writes_.close();
    reads_.close();
    for (std::thread& thread : threads_) thread.join();
  }

  Backend backend() const override { return Backend::kSqlite; }
  uint64_t add_event_listener(std::function<void()> listener) override { return listeners_.add(std::move(listener)); }
  void remove_event_listener(uint64_t key) override { listeners_.remove(key); }

  base::Result<void> backup_database(const std::string& path) override {
    TRY_SET(auto from, SqliteConn::open(reader_settings(kPointCache)));
    TRY_SET(auto to, SqliteConn::open({.path = path, .access = Access::kWrite, .cache_bytes = kPointCache}));
    sqlite3_backup* backup = sqlite3_backup_init(to->handle(), "main", from->handle(), "main");
    if (backup == nullptr) return std::unexpected(to->last_error().within("backup"));
    // In one step, which is one read transaction: a consistent copy, and writers go on beside it.
    const int code = sqlite3_backup_step(backup, -1);
    sqlite3_backup_finish(backup);
    if (code != SQLITE_DONE) return std::unexpected(sqlite_error(code, sqlite3_errstr(code)).within("backup"));
    // The copy is one file: without a WAL beside it.
    if (!to->control("PRAGMA journal_mode=DELETE")) return std::unexpected(to->last_error().within("backup"));
    return {};
  }

  base::Result<std::vector<std::string>> check_database() override {
    TRY_SET(auto conn, SqliteConn::open(reader_settings(kPointCache)));
    base::Context ctx;
    SqliteTx tx(*conn, ctx, 0, 0);
    std::vector<std::string> faults;
    Rows rows = tx.query("PRAGMA integrity_check(100)");
    while (rows.next()) {
      if (rows.text(0) != "ok") faults.push_back(rows.str(0));
    }
    Rows keys = tx.query("PRAGMA foreign_key_check");
    while (keys.next()) faults.push_back("table " + keys.str(0) + " refers to a missing row of " + keys.str(2));
    if (tx.failed()) faults.push_back(tx.error().message);
    return faults;
  }

 protected:
  void submit(Kind kind, Job* job) override {
    if (kind != Kind::kWrite) return reads_.push(job);
    if (!options_.read_only) return writes_.push(job);
    job->fail({base::Code::kForbidden, "the store was opened for reading only"});
    answer(job);
  }

  bool run_point_here(Job* job) override {
    SqliteConn* conn = point_connection();
    if (conn == nullptr || conn->in_transaction()) return false;
    run_read(*conn, *job, kept_);
    return true;
  }

 private:
  SqliteStore(const Options& options, std::string path)
      : options_(options),
        path_(std::move(path)),
        writes_(base::limits::kWriteQueue, "writes"),
        reads_(base::limits::kReadQueue, "reads") {}

  SqliteConn::Settings reader_settings(size_t cache_bytes) const {
    return {.path = path_, .vfs = options_.sqlite_vfs, .access = Access::kRead, .cache_bytes = cache_bytes};
  }

  base::Result<void> start_writer(std::span<const ModuleMigrations> modules, base::Registry* metrics) {
    TRY_SET(auto conn, SqliteConn::open({.path = path_,
                                         .vfs = options_.sqlite_vfs,
                                         .access = Access::kWrite,
                                         .sync_full = options_.sync_full,
                                         .cache_bytes = kWriterCache}));
    writer_.emplace(std::move(conn), listeners_, Instruments(metrics));
    const auto ctx = base::Context::system(base::system_clock(), "system:migrations");
    TRY(migrate([&](const auto& f) { return writer_->transact(f, ctx); }, modules));
    threads_.emplace_back([this] {
      std::vector<Job*> group;
      while (writes_.pop(base::limits::kGroupJobs, group)) writer_->run(group);
    });
    return {};
  }

  base::Result<void> start_readers() {
    for (size_t i = 0; i < options_.readers; ++i) {
      TRY_SET(std::shared_ptr<SqliteConn> conn, SqliteConn::open(reader_settings(kReadersCache / options_.readers)));
      threads_.emplace_back([this, conn] {
        std::vector<Job*> jobs;
        while (reads_.pop(1, jobs)) {
          run_read(*conn, *jobs[0], kept_);
          trace_job(*jobs[0], "store read", 0);
          answer(jobs[0]);
        }
      });
    }
    return {};
  }

  // The calling thread's own connection, opened at its first use; null when all kPointConnections are taken.
  SqliteConn* point_connection() {
    thread_local struct {
      uint64_t store = 0;
      SqliteConn* conn = nullptr;
    } mine;
    if (mine.store == serial_) return mine.conn;
    std::lock_guard lock(points_mutex_);
    SqliteConn*& conn = points_by_thread_[std::this_thread::get_id()];
    if (conn == nullptr && points_.size() < base::limits::kPointConnections) {
      if (auto opened = SqliteConn::open(reader_settings(kPointCache))) {
        conn = opened->get();
        points_.push_back(std::move(*opened));
      }
    }
    mine = {serial_, conn};
    return conn;
  }

  static inline std::atomic<uint64_t> next_serial_{1};

  const Options options_;
  const std::string path_;
  const uint64_t serial_ = next_serial_++;  // never reused: a thread's pointer into a closed store is never followed
  std::optional<base::FileLock> lock_;
  EventListeners listeners_;
  Kept kept_;
  JobQueue writes_;
  JobQueue reads_;
  std::optional<GroupWriter> writer_;
  std::mutex points_mutex_;
  std::map<std::thread::id, SqliteConn*> points_by_thread_;
  std::vector<std::unique_ptr<SqliteConn>> points_;
  std::vector<std::thread> threads_;
};

}  // namespace

base::Result<std::unique_ptr<Store>> open_sqlite(const Options& options, std::span<const ModuleMigrations> modules,
                                                 base::Registry* metrics) {
  return SqliteStore::open(options, modules, metrics);
}

}  // namespace store::detail
