// The transactional store: one SQL layer over SQLite (default, embedded) or PostgreSQL.
//
// A domain function is `Result<X> f(Tx&, In)`: plain, synchronous, and it may be run again (PostgreSQL repeats it on a
// serialisation failure or a lost connection). The store runs it:
//     auto run = co_await store.write(ctx, [&](Tx& tx) { return track::create_run(tx, request); });
// SQLite: one writer thread commits waiting jobs together (group commit: one fsync for many requests, each in its own
// savepoint, each answered only after the commit), and a pool of readers. PostgreSQL: a pool of connections, each with
// its own thread; READ COMMITTED plus named locks (Tx::lock) where a function reads what it then writes.
//
// SQL is one subset for both (docs/design/sql.md): `?` parameters, literals only (the text is the statement cache's
// key).
//
// Errors are sticky: a failed statement marks its Tx, further statements do nothing, and the job ends with that error
// whatever the function returned. So domain code reads rows without checking each step; where a unique key may be
// taken, it says ON CONFLICT DO NOTHING and looks at the number of changed rows.
//
// Thread: Store is safe anywhere. A Tx belongs to the call that received it.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/context.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/result.h"
#include "store/migration.h"
#include "store/tx.h"

namespace store {

struct Options {
  std::string url;              // "sqlite:PATH" or "postgresql://…"
  bool sync_full = true;        // SQLite: synchronous=FULL. Off only for tests that do not test durability
  size_t readers = 2;           // threads and connections for read()
  size_t postgres_writers = 6;  // PostgreSQL: threads and connections for write()
  std::string postgres_schema;  // PostgreSQL: where the tables are, made if absent; empty: the user's default
  std::string holder;           // who we are, shown to a second server that is refused
  bool read_only = false;       // for tools beside a running server: no lock, no migrations, writes refused
  std::string sqlite_vfs;       // name of a registered sqlite3_vfs; empty: the default. Tests inject faults with it
};

class Store;

namespace detail {

// One submitted job. Lives in the awaiting coroutine's frame (or on a blocked caller's stack) until it was answered:
// a coroutine by resuming `handle` on `loop` (the store hands many to a loop at one wake-up), a blocked caller by
// done().
class Job {
 public:
  virtual ~Job() = default;
  virtual base::Result<void> run(Tx& tx) = 0;  // may be called again
  virtual void fail(base::Error error) = 0;    // instead of, or after, run
  virtual void done() {}                       // only when `loop` is null; the job is gone after it

  base::Context ctx;
  base::Loop* loop = nullptr;
  std::coroutine_handle<> handle;
  int64_t submitted_us = 0;  // wall time; only of a job that is traced
};

template <class F>
using Outcome = std::invoke_result_t<F&, Tx&>;

template <class F>
class TypedJob : public Job {
 public:
  explicit TypedJob(F f) : f_(std::move(f)) {}
  base::Result<void> run(Tx& tx) final {
    outcome_ = f_(tx);
    if (!outcome_) return std::unexpected(outcome_.error());
    return {};
  }
  void fail(base::Error error) final { outcome_ = std::unexpected(std::move(error)); }

 protected:
  F f_;
  Outcome<F> outcome_ = base::internal("the job was not run");
};

}  // namespace detail

class Store {
 public:
  // Opens, locks against a second server (kConflict with who holds it), and migrates. Refuses a store that a newer
  // Lathe wrote. `modules` must outlive the store.
  static base::Result<std::unique_ptr<Store>> open(const Options& options, std::span<const ModuleMigrations> modules,
                                                   base::Registry* metrics = nullptr);
  virtual ~Store() = default;
  virtual Backend backend() const = 0;

  // Awaitables: answer f's Result after the commit, on the Loop that awaited. f must stay valid until then and may be
  // run more than once.
  template <class F>
  auto write(base::Context ctx, F f) {
    return Awaitable<F>(*this, Kind::kWrite, std::move(ctx), std::move(f));
  }
  template <class F>
  auto read(base::Context ctx, F f) {  // searches: the reader pool
    return Awaitable<F>(*this, Kind::kRead, std::move(ctx), std::move(f));
  }
  // Short reads by key, on the calling thread's own read-only connection where the engine has one (SQLite); else as
  // read().
  template <class F>
  auto read_point(base::Context ctx, F f) {
    return Awaitable<F>(*this, Kind::kPoint, std::move(ctx), std::move(f));
  }

  // The same for plain threads (schedulers, tools, tests). Never on a server loop (asserted).
  template <class F>
  detail::Outcome<F> write_blocking(base::Context ctx, F f) {
    return blocking(Kind::kWrite, std::move(ctx), std::move(f));
  }
  template <class F>
  detail::Outcome<F> read_blocking(base::Context ctx, F f) {
    return blocking(Kind::kRead, std::move(ctx), std::move(f));
  }

  // Called after each commit that appended events, from a store thread: wake whoever tails the log. Must not block.
  // Correctness never depends on it. Answers a key for remove_event_listener.
  virtual uint64_t add_event_listener(std::function<void()> listener) = 0;
  virtual void remove_event_listener(uint64_t key) = 0;

  // A consistent copy of the whole database into `path` while the server runs (SQLite: online backup; PostgreSQL:
  // kUnsupported with the pg_dump command to run).
  virtual base::Result<void> backup_database(const std::string& path) = 0;

  // What the database's own checker finds wrong; empty when it is sound (PostgreSQL has none to ask from here). Blocks.
  virtual base::Result<std::vector<std::string>> check_database() = 0;

 protected:
  enum class Kind : uint8_t { kWrite, kRead, kPoint };
  virtual void submit(Kind kind, detail::Job* job) = 0;
  virtual bool run_point_here(detail::Job* job) = 0;  // false: not possible here, submit it instead

 private:
  template <class F>
  class [[nodiscard]] Awaitable : detail::TypedJob<F> {
   public:
    Awaitable(Store& store, Kind kind, base::Context ctx, F f)
        : detail::TypedJob<F>(std::move(f)), store_(store), kind_(kind) {
      this->ctx = std::move(ctx);
    }
    Awaitable(const Awaitable&) = delete;
    bool await_ready() { return kind_ == Kind::kPoint && store_.run_point_here(this); }
    void await_suspend(std::coroutine_handle<> handle) {
      this->handle = handle;
      this->loop = base::Loop::current();
      store_.submit(kind_ == Kind::kPoint ? Kind::kRead : kind_, this);
    }
    detail::Outcome<F> await_resume() { return std::move(this->outcome_); }

   private:
    Store& store_;
    Kind kind_;
  };

  template <class F>
  detail::Outcome<F> blocking(Kind kind, base::Context ctx, F f);
};

// Waits on a plain thread for a job's done().
class BlockingSignal {
 public:
  BlockingSignal();
  ~BlockingSignal();
  void set();
  void wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

template <class F>
detail::Outcome<F> Store::blocking(Kind kind, base::Context ctx, F f) {
  struct Blocking final : detail::TypedJob<F> {
    using detail::TypedJob<F>::TypedJob;
    void done() override { signal.set(); }
    detail::Outcome<F> take() { return std::move(this->outcome_); }
    BlockingSignal signal;
  } job(std::move(f));
  job.ctx = std::move(ctx);
  submit(kind, &job);
  job.signal.wait();
  return job.take();
}

}  // namespace store
