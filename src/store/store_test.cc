// The store's contract, the same on every engine.
#include "store/store.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "base/limits.h"
#include "store/testing.h"

namespace store {
namespace {

using base::Code;
using base::Result;

constexpr Migration kThings[] = {{1, R"(
CREATE TABLE things (
  project $int NOT NULL,
  name $text NOT NULL,
  amount $int NOT NULL,
  ratio $double,
  bytes $blob,
  PRIMARY KEY (project, name)
) $without_rowid;
CREATE TABLE lines (id $id, project $int NOT NULL, words $text NOT NULL CHECK (words <> 'forbidden'));
)"}};

class StoreTest : public testing::EngineTest {
 protected:
  StoreTest() : EngineTest({{"things", kThings}}) {}

  Result<int64_t> put(std::string name, int64_t amount) {
    return write([=](Tx& tx) -> Result<int64_t> {
      return tx.exec("INSERT INTO things (project, name, amount) VALUES (?, ?, ?)", tx.project(), name, amount);
    });
  }
  int64_t amount_of(std::string name) {
    auto found = read([=](Tx& tx) -> Result<int64_t> {
      return tx.query_i64("SELECT amount FROM things WHERE project = ? AND name = ?", tx.project(), name).value_or(-1);
    });
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(-2);
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, StoreTest, testing::engines(), testing::engine_name);

TEST_P(StoreTest, ValuesComeBackAsTheyWent) {
  const std::string text = "häß \xF0\x9F\x90\x98 'quoted' \\x00 ?", bytes("\0\x01\xFF'\\", 5);
  const double tiny = 5e-324, infinity = std::numeric_limits<double>::infinity();
  auto done = write([&](Tx& tx) -> Result<int> {
    constexpr std::string_view kInsert =
        "INSERT INTO things (project, name, amount, ratio, bytes) VALUES (?, ?, ?, ?, ?)";
    tx.exec(kInsert, 1, text, std::numeric_limits<int64_t>::min(), 0.1, Blob{bytes});
    tx.exec(kInsert, 1, "", std::numeric_limits<int64_t>::max(), tiny, Blob{""});
    tx.exec(kInsert, 1, "inf", true, -infinity, nullptr);
    tx.exec(kInsert, 1, "nan", 0, std::nan(""), std::optional<std::string>());
    return 0;
  });
  ASSERT_TRUE(done) << done.error().message;
  auto checked = read([&](Tx& tx) -> Result<int> {
    Rows rows = tx.query("SELECT name, amount, ratio, bytes FROM things ORDER BY amount");
    EXPECT_TRUE(rows.next());
    EXPECT_EQ(rows.text(0), text);
    EXPECT_EQ(rows.i64(1), std::numeric_limits<int64_t>::min());
    EXPECT_EQ(rows.f64(2), 0.1);
    EXPECT_EQ(rows.text(3), bytes);
    EXPECT_TRUE(rows.next());
    EXPECT_EQ(rows.text(0), "nan");
    EXPECT_TRUE(rows.is_null(2));  // NaN is NULL on both engines
    EXPECT_EQ(rows.opt_str(3), std::nullopt);
    EXPECT_TRUE(rows.next());
    EXPECT_TRUE(rows.boolean(1));
    EXPECT_EQ(rows.f64(2), -infinity);
    EXPECT_TRUE(rows.is_null(3));
    EXPECT_TRUE(rows.next());
    EXPECT_EQ(rows.text(0), "");
    EXPECT_FALSE(rows.is_null(0));
    EXPECT_EQ(rows.f64(2), tiny);
    EXPECT_FALSE(rows.is_null(3));
    EXPECT_FALSE(rows.next());
    return 0;
  });
  ASSERT_TRUE(checked) << checked.error().message;
}

TEST_P(StoreTest, TextIsInByteOrderAndCaseSensitive) {
  for (const char* name : {"a", "B", "b", "Z", "\xC3\xA4"}) ASSERT_TRUE(put(name, 1));
  auto names = read([](Tx& tx) -> Result<std::string> {
    std::string all;
    Rows rows = tx.query("SELECT name FROM things ORDER BY name");
    while (rows.next()) all += rows.text(0);
    return all;
  });
  EXPECT_EQ(*names, "BZab\xC3\xA4");
}

TEST_P(StoreTest, ChangedRowsAreCounted) {
  ASSERT_TRUE(put("a", 1));
  auto counts = write([](Tx& tx) -> Result<std::vector<int64_t>> {
    constexpr std::string_view kQuiet =
        "INSERT INTO things (project, name, amount) VALUES (1, ?, 2) ON CONFLICT (project, name) DO NOTHING";
    std::vector<int64_t> out{tx.exec(kQuiet, "a"), tx.exec(kQuiet, "b"),
                             tx.exec("UPDATE things SET amount = amount + 1"),
                             tx.exec("DELETE FROM things WHERE name = 'c'")};
    out.push_back(tx.query_i64("INSERT INTO lines (project, words) VALUES (1, 'x') RETURNING id").value_or(-1));
    out.push_back(tx.query_i64("INSERT INTO lines (project, words) VALUES (1, 'y') RETURNING id").value_or(-1));
    return out;
  });
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_THAT(*counts, ::testing::ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST_P(StoreTest, AFunctionsErrorUndoesItsWrites) {
  auto refused = write([](Tx& tx) -> Result<int> {
    tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'a', 1)");
    return base::not_found("no");
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  EXPECT_EQ(amount_of("a"), -1);
}

TEST_P(StoreTest, StatementErrorsAreStickyAndHaveACode) {
  ASSERT_TRUE(put("a", 1));
  auto taken = write([](Tx& tx) -> Result<int> {
    tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'b', 1)");
    tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'a', 1)");
    EXPECT_TRUE(tx.failed());
    EXPECT_EQ(tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'c', 1)"), 0);
    EXPECT_FALSE(tx.query("SELECT 1").next());
    return 7;
  });
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kAlreadyExists);
  EXPECT_EQ(amount_of("b"), -1);
  auto checked = write(
      [](Tx& tx) -> Result<int64_t> { return tx.exec("INSERT INTO lines (project, words) VALUES (1, 'forbidden')"); });
  EXPECT_EQ(checked.error().code, Code::kInvalid);
  auto wrong = write([](Tx& tx) -> Result<int64_t> { return tx.exec("INSERT INTO nowhere VALUES (1)"); });
  EXPECT_EQ(wrong.error().code, Code::kInternal);
  EXPECT_THAT(wrong.error().message, ::testing::HasSubstr("nowhere"));
}

TEST_P(StoreTest, TextThatCannotBeStoredIsRefused) {
  for (const std::string& bad :
       {std::string("a\0b", 3), std::string("\xFF"), std::string("\xED\xA0\x80"), std::string("12345678\xC3")}) {
    auto refused = put(bad, 1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
}

TEST_P(StoreTest, WrongTypesAreRefused) {
  auto refused = write([](Tx& tx) -> Result<int64_t> {
    return tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'a', ?)", "many");
  });
  EXPECT_FALSE(refused);
}

TEST_P(StoreTest, AnExceptionIsAnError) {
  auto thrown = write([](Tx& tx) -> Result<int> {
    tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'a', 1)");
    throw std::runtime_error("oh");
  });
  ASSERT_FALSE(thrown);
  EXPECT_EQ(thrown.error().code, Code::kInternal);
  EXPECT_EQ(amount_of("a"), -1);
}

TEST_P(StoreTest, RowsStayOpenBesideOtherStatements) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(put("n" + std::to_string(i), i));
  auto sum = read([](Tx& tx) -> Result<int64_t> {
    int64_t total = 0;
    constexpr std::string_view kByName = "SELECT amount FROM things WHERE name = ?";
    Rows outer = tx.query("SELECT name FROM things ORDER BY name");
    while (outer.next()) {
      Rows inner = tx.query(kByName, outer.text(0));
      Rows same = tx.query(kByName, outer.str(0));  // the text is open already
      EXPECT_TRUE(inner.next() && same.next());
      total += inner.i64(0) + same.i64(0);
    }
    return total;
  });
  EXPECT_EQ(*sum, 20);
}

TEST_P(StoreTest, TextBuiltAtRunTimeIsKeptApart) {
  // The same buffer holds other statements in turn: its address must not be taken for the statement's identity.
  std::string sql;
  for (int i = 0; i < static_cast<int>(base::limits::kStatements) + 50; ++i) {
    sql = "SELECT " + std::to_string(10'000 + i);
    auto got = read([&](Tx& tx) -> Result<int64_t> { return tx.query_i64(sql).value_or(-1); });
    ASSERT_EQ(*got, 10'000 + i);
  }
}

TEST_P(StoreTest, AJobThatTakesTooLongFailsAlone) {
  const auto slow = [](Tx& tx) -> Result<int64_t> {
    tx.exec("INSERT INTO things (project, name, amount) VALUES (1, 'slow', 1)");
    return tx.exec(
        "INSERT INTO lines (project, words) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
        "2000000000)"
        " SELECT 1, 'x' FROM n WHERE i < 0");
  };
  auto limited = ctx();
  limited.deadline_mono_us = base::system_clock().mono_us() + 300'000;
  std::atomic<int> stored{0};
  std::vector<std::thread> others;
  std::thread slow_one([&] {
    auto late = store_->write_blocking(limited, slow);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::kDeadline) << late.error().message;
  });
  for (int i = 0; i < 8; ++i) {
    others.emplace_back([&, i] { stored += put("other" + std::to_string(i), i).has_value(); });
  }
  slow_one.join();
  for (std::thread& thread : others) thread.join();
  EXPECT_EQ(stored, 8);
  EXPECT_EQ(amount_of("slow"), -1);
  EXPECT_EQ(amount_of("other7"), 7);
}

TEST_P(StoreTest, AJobIsBoundedInRows) {
  auto refused = write([](Tx& tx) -> Result<int64_t> {
    tx.exec(
        "INSERT INTO lines (project, words) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
        "100001)"
        " SELECT 1, 'x' FROM n");
    return tx.exec("DELETE FROM things");
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
  EXPECT_EQ(*read([](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT count(*) FROM lines").value_or(-1); }),
            0);
}

TEST_P(StoreTest, WhoGaveUpIsNotServed) {
  std::stop_source gone;
  gone.request_stop();
  auto context = ctx();
  context.cancelled = gone.get_token();
  bool ran = false;
  auto answer = store_->write_blocking(context, [&](Tx&) -> Result<int> { return ran = true, 0; });
  EXPECT_EQ(answer.error().code, Code::kCancelled);
  EXPECT_FALSE(ran);
}

TEST_P(StoreTest, CoroutinesAreAnsweredOnTheirLoop) {
  auto task = [](Store& store, base::Context ctx) -> base::Task<Result<int64_t>> {
    base::Loop* const mine = base::Loop::current();
    for (int i = 0; i < 20; ++i) {
      auto wrote = co_await store.write(ctx, [i](Tx& tx) -> Result<int64_t> {
        return tx.exec("INSERT INTO things (project, name, amount) VALUES (1, ?, ?)", "n" + std::to_string(i), i);
      });
      CO_TRY(wrote);
      EXPECT_EQ(base::Loop::current(), mine);
      // One's own write is seen at once, by the loop's own connection too.
      auto seen = co_await store.read_point(
          ctx, [](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT count(*) FROM things").value_or(-1); });
      EXPECT_EQ(seen.value_or(-2), i + 1);
    }
    co_return co_await store.read(
        ctx, [](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT sum(amount) FROM things").value_or(-1); });
  };
  auto sum = base::run_blocking(task(*store_, ctx()));
  ASSERT_TRUE(sum) << sum.error().message;
  EXPECT_EQ(*sum, 190);
}

// They wait together, so that on SQLite they share a transaction: one that fails after it has written takes no other
// along, and its own writes are gone.
TEST_P(StoreTest, OfWritesThatWaitTogetherOnlyTheFailedAreUndone) {
  constexpr int kJobs = 30;
  std::vector<Result<int64_t>> ends;
  auto one = [&ends](Store& store, base::Context ctx, int i) -> base::Task<void> {
    auto end = co_await store.write(ctx, [i](Tx& tx) -> Result<int64_t> {
      tx.exec("INSERT INTO things (project, name, amount) VALUES (1, ?, ?)", "n" + std::to_string(i), i);
      if (i % 7 == 3) return base::not_found("no");
      if (i % 7 == 5) tx.exec("INSERT INTO lines (project, words) VALUES (1, 'forbidden')");
      return i;
    });
    ends.push_back(std::move(end));
  };
  auto all = [&](Store& store, base::Context ctx) -> base::Task<void> {
    base::TaskScope scope;
    for (int i = 0; i < kJobs; ++i) scope.spawn(one(store, ctx, i));
    co_await scope.join();
  };
  base::run_blocking(all(*store_, ctx()));
  ASSERT_EQ(ends.size(), static_cast<size_t>(kJobs));
  const auto good = std::ranges::count_if(ends, [](const auto& end) { return end.has_value(); });
  EXPECT_EQ(good, kJobs - 4 - 4);
  for (int i = 0; i < kJobs; ++i) {
    const bool failed = i % 7 == 3 || i % 7 == 5;
    EXPECT_EQ(amount_of("n" + std::to_string(i)), failed ? -1 : i);
  }
}

TEST_P(StoreTest, AnInsertAnswersItsRow) {
  auto ids = write([](Tx& tx) -> Result<std::vector<int64_t>> {
    std::vector<int64_t> made;
    made.push_back(tx.query_i64("INSERT INTO lines (project, words) VALUES (1, ?) RETURNING id", "a").value_or(-1));
    made.push_back(
        tx.query_i64("INSERT INTO lines (id, project, words) VALUES (?, 1, 'b') RETURNING id", 70).value_or(-1));
    made.push_back(
        tx.query_i64("INSERT INTO lines (id, project, words) VALUES (70, 1, 'c') ON CONFLICT DO NOTHING RETURNING id")
            .value_or(-1));
    made.push_back(tx.query_i64("SELECT id FROM lines WHERE words = 'a'").value_or(-2));
    return made;
  });
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_EQ((*ids)[0], (*ids)[3]);
  EXPECT_EQ((*ids)[1], 70);
  EXPECT_EQ((*ids)[2], -1);
}

TEST_P(StoreTest, NamedLocksSerialiseReadThenWrite) {
  ASSERT_TRUE(put("counter", 0));
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        auto done = write([](Tx& tx) -> Result<int64_t> {
          tx.lock("counter", "counter");
          const int64_t now = tx.query_i64("SELECT amount FROM things WHERE name = 'counter'").value_or(-1);
          return tx.exec("UPDATE things SET amount = ? WHERE name = 'counter'", now + 1);
        });
        ASSERT_TRUE(done) << done.error().message;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(amount_of("counter"), 120);
}

TEST_P(StoreTest, OfManyThatClaimANameOneWins) {
  std::atomic<int> won{0}, lost{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      auto claimed = write([t](Tx& tx) -> Result<bool> {
        return tx.exec(
                   "INSERT INTO things (project, name, amount) VALUES (1, 'champion', ?)"
                   " ON CONFLICT (project, name) DO NOTHING",
                   t) == 1;
      });
      ASSERT_TRUE(claimed) << claimed.error().message;
      ++(*claimed ? won : lost);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 7);
}

TEST_P(StoreTest, ReadsSeeOneSnapshot) {
  ASSERT_TRUE(put("a", 1));
  auto same = read([&](Tx& tx) -> Result<bool> {
    const auto first = tx.query_i64("SELECT count(*) FROM things");
    std::thread([&] { ASSERT_TRUE(put("b", 1)); }).join();
    return first == tx.query_i64("SELECT count(*) FROM things");
  });
  EXPECT_TRUE(*same);
  EXPECT_EQ(amount_of("b"), 1);
}

TEST_P(StoreTest, ReadsCannotWrite) {
  auto refused = read([](Tx& tx) -> Result<int64_t> { return tx.exec("DELETE FROM things"); });
  EXPECT_FALSE(refused);
}

TEST_P(StoreTest, ASecondServerIsRefusedWithWhoHoldsIt) {
  Options other = options_;
  other.holder = "an intruder";
  auto second = Store::open(other, modules_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_THAT(second.error().message, ::testing::HasSubstr("a test"));
  other.read_only = true;  // tools may look
  auto tool = Store::open(other, modules_);
  ASSERT_TRUE(tool) << tool.error().message;
  auto refused = (*tool)->write_blocking(ctx(), [](Tx&) -> Result<int> { return 1; });
  EXPECT_EQ(refused.error().code, Code::kForbidden);
}

TEST_P(StoreTest, ListenersHearOfCommitsThatAskedForIt) {
  std::atomic<int> heard{0};
  const uint64_t key = store_->add_event_listener([&] { ++heard; });
  ASSERT_TRUE(put("a", 1));
  EXPECT_EQ(heard, 0);
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> { return tx.wake_event_listeners(), 1; }));
  for (int i = 0; i < 200 && heard == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_GE(heard, 1);
  store_->remove_event_listener(key);
}

// --- migrations -----------------------------------------------------------------------------------------------------

TEST_P(StoreTest, DataAndMigrationsSurviveAReopening) {
  ASSERT_TRUE(put("a", 3));
  open();
  EXPECT_EQ(amount_of("a"), 3);
}

TEST_P(StoreTest, ANewMigrationRunsOnce) {
  const Migration longer[] = {kThings[0], {2, "ALTER TABLE things ADD COLUMN note $text NOT NULL DEFAULT 'new';"}};
  modules_ = {{"things", longer}};
  ASSERT_TRUE(put("a", 3));
  for (int i = 0; i < 2; ++i) {
    open();
    auto note = read([](Tx& tx) -> Result<int64_t> {
      return tx.query_i64("SELECT count(*) FROM things WHERE note = 'new'").value_or(-1);
    });
    EXPECT_EQ(*note, 1);
  }
  store_.reset();
  modules_ = {{"things", kThings}};  // an older Lathe
  auto older = Store::open(options_, modules_);
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().code, Code::kConflict);
  EXPECT_THAT(older.error().message, ::testing::HasSubstr("newer Lathe"));
}

TEST_P(StoreTest, AnEditedMigrationIsRefused) {
  store_.reset();
  const Migration edited[] = {{1, "CREATE TABLE things (project $int);"}};
  const ModuleMigrations modules[] = {{"things", edited}};
  auto refused = Store::open(options_, modules);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);
}

TEST_P(StoreTest, AMigrationThatFailsLeavesNothing) {
  const Migration broken[] = {kThings[0], {2, "CREATE TABLE extra (id $id);\nCREATE TABLE things (again $int);"}};
  const Migration mended[] = {kThings[0], {2, "CREATE TABLE extra (id $id);"}};
  store_.reset();
  const ModuleMigrations bad[] = {{"things", broken}};
  auto refused = Store::open(options_, bad);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("things migration 2"));
  modules_ = {{"things", mended}};
  open();
}

}  // namespace
}  // namespace store
