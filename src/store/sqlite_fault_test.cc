// What happens to a group of writes when the disk fails under it: a file system (sqlite3_vfs) that fails on demand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/fs.h"
#include "base/limits.h"
#include "store/store.h"

namespace store {
namespace {

using base::Code;
using base::Result;

// --- a failing file system ------------------------------------------------------------------------------------------

enum class Op { kNone, kWrite, kSync, kLock };

struct Plan {
  std::atomic<Op> op{Op::kNone};
  std::atomic<int> code{SQLITE_OK};
  std::atomic<int> passes{0};  // operations that still work
  std::atomic<int> failures{0};
} g_plan;

int outcome(Op op) {
  if (g_plan.op != op || g_plan.passes.fetch_sub(1) > 0) return SQLITE_OK;
  ++g_plan.failures;
  return g_plan.code;
}

struct FaultFile {
  sqlite3_file base;
  sqlite3_io_methods methods;  // the real file's own, three of them replaced
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

FaultFile* as_fault(sqlite3_file* file) { return reinterpret_cast<FaultFile*>(file); }

int on_write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
  if (const int code = outcome(Op::kWrite)) return code;
  return as_fault(file)->real()->pMethods->xWrite(as_fault(file)->real(), bytes, size, at);
}
int on_sync(sqlite3_file* file, int flags) {
  if (const int code = outcome(Op::kSync)) return code;
  return as_fault(file)->real()->pMethods->xSync(as_fault(file)->real(), flags);
}
int on_shm_lock(sqlite3_file* file, int offset, int n, int flags) {
  const bool writer = offset == 0 && (flags & SQLITE_SHM_LOCK);  // slot 0 is WAL's write lock
  if (const int code = writer ? outcome(Op::kLock) : SQLITE_OK) return code;
  return as_fault(file)->real()->pMethods->xShmLock(as_fault(file)->real(), offset, n, flags);
}

#define FORWARD(name, params, args)              \
  int on_##name params {                         \
    sqlite3_file* real = as_fault(file)->real(); \
    return real->pMethods->name args;            \
  }
FORWARD(xClose, (sqlite3_file * file), (real))
FORWARD(xRead, (sqlite3_file * file, void* p, int n, sqlite3_int64 at), (real, p, n, at))
FORWARD(xTruncate, (sqlite3_file * file, sqlite3_int64 size), (real, size))
FORWARD(xFileSize, (sqlite3_file * file, sqlite3_int64* size), (real, size))
FORWARD(xLock, (sqlite3_file * file, int level), (real, level))
FORWARD(xUnlock, (sqlite3_file * file, int level), (real, level))
FORWARD(xCheckReservedLock, (sqlite3_file * file, int* out), (real, out))
FORWARD(xFileControl, (sqlite3_file * file, int op, void* arg), (real, op, arg))
FORWARD(xSectorSize, (sqlite3_file * file), (real))
FORWARD(xDeviceCharacteristics, (sqlite3_file * file), (real))
FORWARD(xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile** out),
        (real, page, size, extend, out))
FORWARD(xShmUnmap, (sqlite3_file * file, int remove), (real, remove))
FORWARD(xFetch, (sqlite3_file * file, sqlite3_int64 at, int n, void** out), (real, at, n, out))
FORWARD(xUnfetch, (sqlite3_file * file, sqlite3_int64 at, void* p), (real, at, p))
#undef FORWARD
void on_xShmBarrier(sqlite3_file* file) { as_fault(file)->real()->pMethods->xShmBarrier(as_fault(file)->real()); }

sqlite3_vfs* real_vfs() { return sqlite3_vfs_find("unix"); }

int on_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  FaultFile* fault = as_fault(file);
  const int code = real_vfs()->xOpen(real_vfs(), name, fault->real(), flags, out_flags);
  fault->base.pMethods = nullptr;
  if (fault->real()->pMethods == nullptr) return code;
  fault->methods = {3,
                    on_xClose,
                    on_xRead,
                    on_write,
                    on_xTruncate,
                    on_sync,
                    on_xFileSize,
                    on_xLock,
                    on_xUnlock,
                    on_xCheckReservedLock,
                    on_xFileControl,
                    on_xSectorSize,
                    on_xDeviceCharacteristics,
                    on_xShmMap,
                    on_shm_lock,
                    on_xShmBarrier,
                    on_xShmUnmap,
                    on_xFetch,
                    on_xUnfetch};
  fault->base.pMethods = &fault->methods;
  return code;
}

void register_fault_vfs() {
  static sqlite3_vfs vfs = [] {
    sqlite3_vfs copy = *real_vfs();
    copy.zName = "faulty";
    copy.szOsFile += static_cast<int>(sizeof(FaultFile));
    copy.xOpen = on_open;
    copy.pNext = nullptr;
    return copy;
  }();
  sqlite3_vfs_register(&vfs, /*makeDflt=*/0);
}

// --- the suite ------------------------------------------------------------------------------------------------------

constexpr Migration kThings[] = {
    {1, "CREATE TABLE things (project $int, name $text NOT NULL PRIMARY KEY, body $blob);"}};
const ModuleMigrations kModules[] = {{"things", kThings}};

class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

class SqliteFaultTest : public ::testing::Test {
 protected:
  using F = std::function<Result<int>(Tx&)>;

  void SetUp() override {
    register_fault_vfs();
    heal();
    dir_ = *base::make_temp_dir(::testing::TempDir(), "lathe-fault-");
    open();
  }
  void TearDown() override {
    heal();
    store_.reset();
    (void)base::remove_tree(dir_);
  }
  void open() {
    store_.reset();
    auto store = Store::open({.url = "sqlite:" + (dir_ / "lathe.db").string(), .sqlite_vfs = "faulty"}, kModules);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  static void heal() { g_plan.op = Op::kNone; }
  static void break_disk(Op op, int code, int passes = 0) {
    g_plan.code = code, g_plan.passes = passes, g_plan.failures = 0;
    g_plan.op = op;
  }

  static base::Context ctx() { return base::Context::system(base::system_clock()); }
  static F put(std::string name, size_t bytes = 10) {
    return [=](Tx& tx) -> Result<int> {
      tx.exec("INSERT INTO things (project, name, body) VALUES (1, ?, ?)", name, Blob{std::string(bytes, 'x')});
      return 1;
    };
  }

  // Runs all in one group, in this order: a first job holds the writer while the others queue up behind it.
  std::vector<Result<int>> run_group(
      std::vector<F> functions, const std::function<void()>& before_they_run = [] {},
      std::vector<base::Context> contexts = {}) {
    Gate first_runs, go;
    std::thread first([&] {
      (void)store_->write_blocking(ctx(), [&](Tx&) -> Result<int> {
        first_runs.open();
        go.wait();
        return 0;
      });
    });
    first_runs.wait();
    std::vector<Result<int>> results(functions.size(), Result<int>(0));
    auto one = [](Store& store, base::Context c, F f, Result<int>& out) -> base::Task<void> {
      out = co_await store.write(std::move(c), std::move(f));
    };
    auto all = [&]() -> base::Task<void> {
      base::TaskScope scope;
      for (size_t i = 0; i < functions.size(); ++i) {
        scope.spawn(one(*store_, contexts.empty() ? ctx() : contexts[i], functions[i], results[i]));
      }
      before_they_run();
      go.open();
      co_await scope.join();
    };
    base::run_blocking(all());
    first.join();
    return results;
  }

  int64_t count() {
    auto n = store_->read_blocking(
        ctx(), [](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT count(*) FROM things").value_or(-1); });
    return n.value_or(-2);
  }

  base::Path dir_;
  std::unique_ptr<Store> store_;
};

TEST_F(SqliteFaultTest, AFullDiskAtTheCommitFailsEveryJob) {
  const auto results = run_group({put("a"), put("b"), put("c")}, [] { break_disk(Op::kWrite, SQLITE_FULL); });
  heal();
  EXPECT_GT(g_plan.failures, 0);
  for (const auto& result : results) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kUnavailable);
    EXPECT_THAT(result.error().message, ::testing::HasSubstr("disk is full"));
  }
  EXPECT_EQ(count(), 0);
  EXPECT_TRUE(store_->write_blocking(ctx(), put("d")));
  open();
  EXPECT_EQ(count(), 1);
}

TEST_F(SqliteFaultTest, AFailedSyncFailsEveryJob) {
  const auto results = run_group({put("a"), put("b")}, [] { break_disk(Op::kSync, SQLITE_IOERR_FSYNC); });
  heal();
  for (const auto& result : results) ASSERT_FALSE(result);
  EXPECT_EQ(results[0].error().code, Code::kUnavailable);
  EXPECT_EQ(count(), 0);
  EXPECT_TRUE(store_->write_blocking(ctx(), put("c")));
  open();
  EXPECT_EQ(count(), 1);
}

// The page cache spills in the middle of the second job. The third must not run outside of a transaction.
TEST_F(SqliteFaultTest, AFullDiskInTheMiddleOfAJobFailsTheWholeGroup) {
  for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_NOMEM}) {
    std::atomic<int> third_ran{0};
    const auto results = run_group({put("a"), put("big", 24 << 20), [&](Tx& tx) { return ++third_ran, put("c")(tx); }},
                                   [&] { break_disk(Op::kWrite, code); });
    heal();
    for (const auto& result : results) {
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, Code::kUnavailable);
    }
    EXPECT_EQ(third_ran, 0);
    EXPECT_EQ(count(), 0);
  }
  EXPECT_TRUE(store_->write_blocking(ctx(), put("a")));
}

TEST_F(SqliteFaultTest, AFailedBeginRunsNoJob) {
  std::atomic<int> ran{0};
  const F counted = [&](Tx& tx) { return ++ran, put("x" + std::to_string(ran))(tx); };
  const auto results = run_group({counted, counted}, [] { break_disk(Op::kLock, SQLITE_IOERR_SHMLOCK); });
  heal();
  for (const auto& result : results) ASSERT_FALSE(result);
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(count(), 0);
  EXPECT_TRUE(store_->write_blocking(ctx(), counted));
}

TEST_F(SqliteFaultTest, AJobsOwnErrorLeavesTheOthersAlone) {
  const F unwilling = [](Tx& tx) -> Result<int> {
    (void)put("unwilling")(tx);
    return base::invalid("no");
  };
  const F throwing = [](Tx& tx) -> Result<int> {
    (void)put("throwing")(tx);
    throw std::runtime_error("oh");
  };
  const auto results = run_group({put("a"), put("a"), unwilling, throwing, put("b")});
  EXPECT_TRUE(results[0]);
  EXPECT_EQ(results[1].error().code, Code::kAlreadyExists);
  EXPECT_EQ(results[2].error().code, Code::kInvalid);
  EXPECT_EQ(results[3].error().code, Code::kInternal);
  EXPECT_TRUE(results[4]);
  EXPECT_EQ(count(), 2);
}

// An interrupted INSERT takes SQLite's whole transaction with it: the others are run again without the offender.
TEST_F(SqliteFaultTest, AJobPastItsDeadlineFailsAlone) {
  std::atomic<int> first_ran{0};
  const F endless = [](Tx& tx) -> Result<int> {
    return static_cast<int>(
        tx.exec("INSERT INTO things (project, name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                " SELECT 1, 'endless' || i FROM n"));
  };
  std::vector<base::Context> contexts(3, ctx());
  contexts[1].deadline_mono_us = base::system_clock().mono_us() + 300'000;
  const auto results =
      run_group({[&](Tx& tx) { return ++first_ran, put("a")(tx); }, endless, put("b")}, [] {}, contexts);
  EXPECT_TRUE(results[0]);
  ASSERT_FALSE(results[1]);
  EXPECT_EQ(results[1].error().code, Code::kDeadline);
  EXPECT_TRUE(results[2]);
  EXPECT_EQ(first_ran, 2);
  EXPECT_EQ(count(), 2);
}

TEST_F(SqliteFaultTest, ADiskThatFailsDuringTheCheckpointLosesNothing) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(store_->write_blocking(ctx(), put("n" + std::to_string(i), 200'000)));
  break_disk(Op::kSync, SQLITE_IOERR_FSYNC, 1);  // the commit's own works, the checkpoint's fails
  const bool stored = store_->write_blocking(ctx(), put("last", 200'000)).has_value();
  heal();
  open();
  EXPECT_EQ(count(), stored ? 31 : 30);
}

TEST_F(SqliteFaultTest, PastTheQueuesLimitWritesAreRefused) {
  Gate running, go;
  std::thread first([&] {
    (void)store_->write_blocking(ctx(), [&](Tx&) -> Result<int> {
      running.open();
      go.wait();
      return 0;
    });
  });
  running.wait();
  std::atomic<int> refused{0}, stored{0};
  auto one = [&](Store& store) -> base::Task<void> {
    auto result = co_await store.write(ctx(), [](Tx&) -> Result<int> { return 1; });
    ++(result ? stored : refused);
    if (!result) EXPECT_EQ(result.error().code, Code::kTooMany);
  };
  auto all = [&]() -> base::Task<void> {
    base::TaskScope scope;
    for (size_t i = 0; i < base::limits::kWriteQueue + 10; ++i) scope.spawn(one(*store_));
    go.open();
    co_await scope.join();
  };
  base::run_blocking(all());
  first.join();
  EXPECT_EQ(refused, 10);
  EXPECT_EQ(stored, static_cast<int>(base::limits::kWriteQueue));
}

}  // namespace
}  // namespace store
