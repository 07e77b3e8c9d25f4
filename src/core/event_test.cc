// The log of events: order, delivery, trimming. On PostgreSQL commits come out of order; nothing may be skipped.
#include "core/event.h"

#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "core/migrations.h"
#include "store/testing.h"

namespace core {
namespace {

using base::Result;
using store::Tx;
using ::testing::ElementsAre;

class EventTest : public store::testing::EngineTest {
 protected:
  EventTest() : EngineTest({migrations()}) {}

  void emit_one(const std::string& subject, int64_t project = base::kDefaultProject) {
    auto context = ctx();
    context.project = project;
    auto done = store_->write_blocking(
        context, [&](Tx& tx) -> Result<int> { return emit(tx, "thing.made", "thing", subject), 0; });
    ASSERT_TRUE(done) << done.error().message;
  }
  // On PostgreSQL events wait for older transactions of the whole cluster, those of tests that run beside us included.
  void settle() {
    if (GetParam() != store::Backend::kPostgres) return;
    for (int i = 0; i < 2'000; ++i) {
      auto settled = read([](Tx& tx) -> Result<int64_t> {
        return tx.query_i64("SELECT max(xid) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM events")
            .value_or(1);
      });
      if (settled.value_or(0) == 1) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL() << "older transactions do not end";
  }
  std::vector<Event> settled_events_after(EventPosition after, size_t limit = 100, int64_t project = 0) {
    settle();
    return events_after(after, limit, project);
  }
  std::vector<Event> events_after(EventPosition after, size_t limit = 100, int64_t project = 0) {
    auto events = read([=](Tx& tx) { return read_events(tx, after, limit, project); });
    EXPECT_TRUE(events) << events.error().message;
    return events.value_or(std::vector<Event>{});
  }
  static std::vector<std::string> subjects(const std::vector<Event>& events) {
    std::vector<std::string> out;
    for (const Event& event : events) out.push_back(event.subject);
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, EventTest, store::testing::engines(), store::testing::engine_name);

// What a consumer has handled, and waiting for it.
class Seen {
 public:
  void add(const std::string& subject) {
    std::lock_guard lock(mutex_);
    all_.push_back(subject);
    changed_.notify_all();
  }
  bool wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return all_.size() >= count; });
  }
  std::vector<std::string> all() {
    std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> all_;
};

TEST_P(EventTest, AreReadInOrderFromAPosition) {
  for (const char* subject : {"a", "b", "c", "d"}) emit_one(subject);
  const auto all = settled_events_after({});
  EXPECT_THAT(subjects(all), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(all[0].kind, "thing.made");
  EXPECT_EQ(all[0].actor, "a test");
  EXPECT_EQ(all[0].body, "{}");
  EXPECT_THAT(subjects(settled_events_after(all[1].position)), ElementsAre("c", "d"));
  EXPECT_THAT(subjects(settled_events_after({}, 2)), ElementsAre("a", "b"));
}

TEST_P(EventTest, CanBeReadOfOneProject) {
  emit_one("a", 1);
  emit_one("b", 2);
  EXPECT_THAT(subjects(settled_events_after({}, 100, 2)), ElementsAre("b"));
}

TEST_P(EventTest, AFailedFunctionLeavesNone) {
  auto failed = write([](Tx& tx) -> Result<int> {
    emit(tx, "thing.made", "thing", "x");
    return base::invalid("no");
  });
  EXPECT_FALSE(failed);
  EXPECT_TRUE(settled_events_after({}).empty());
}

TEST_P(EventTest, NewestPositionHidesWhatIsThereAndNothingElse) {
  emit_one("old");
  settle();
  auto newest = read([](Tx& tx) { return newest_position(tx); });
  EXPECT_TRUE(settled_events_after(*newest).empty());
  emit_one("new");
  EXPECT_THAT(subjects(settled_events_after(*newest)), ElementsAre("new"));
}

// The transaction with the lower number commits last: a reader that followed the numbers would skip it.
TEST_P(EventTest, ALateCommitIsNotSkipped) {
  std::mutex mutex;
  std::condition_variable changed;
  bool emitted = false, release = false;
  std::thread slow([&] {
    auto done = write([&](Tx& tx) -> Result<int> {
      emit(tx, "thing.made", "thing", "slow");
      std::unique_lock lock(mutex);
      emitted = true;
      changed.notify_all();
      changed.wait(lock, [&] { return release; });
      return 0;
    });
    EXPECT_TRUE(done);
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return emitted; });
  }
  std::thread quick([&] { emit_one("quick"); });  // on SQLite it waits for the slow one
  if (store_->backend() == store::Backend::kPostgres) quick.join();
  const auto before = events_after({});
  const EventPosition position = before.empty() ? EventPosition{} : before.back().position;
  {
    std::lock_guard lock(mutex);
    release = true;
    changed.notify_all();
  }
  slow.join();
  if (quick.joinable()) quick.join();
  auto all = subjects(before);
  for (const auto& subject : subjects(settled_events_after(position))) all.push_back(subject);
  EXPECT_THAT(all, ElementsAre("slow", "quick"));
}

TEST_P(EventTest, AConsumerSeesEachOfManyConcurrentEventsOnce) {
  constexpr int kThreads = 6, kEach = 25;
  Seen seen;
  const Consumer consumer(*store_, base::system_clock(), "watcher", [&](Tx&, const Event& event) -> Result<void> {
    seen.add(event.subject);
    return {};
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) emit_one(std::to_string(t) + "." + std::to_string(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(seen.wait_for(kThreads * kEach));
  const auto all = seen.all();
  EXPECT_EQ(all.size(), static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
}

TEST_P(EventTest, AConsumerGoesOnWhereItsEffectWasStored) {
  emit_one("before");  // not for a consumer that begins later
  for (int life = 0; life < 2; ++life) {
    Seen seen;
    const Consumer consumer(*store_, base::system_clock(), "effects", [&](Tx&, const Event& event) -> Result<void> {
      seen.add(event.subject);
      return {};
    });
    emit_one("life" + std::to_string(life));
    ASSERT_TRUE(seen.wait_for(1));
  }
  Seen seen;
  const Consumer from_start(
      *store_, base::system_clock(), "all",
      [&](Tx&, const Event& event) -> Result<void> {
        seen.add(event.subject);
        return {};
      },
      /*from_start=*/true);
  ASSERT_TRUE(seen.wait_for(3));
  EXPECT_THAT(seen.all(), ElementsAre("before", "life0", "life1"));
}

TEST_P(EventTest, AHandlersErrorIsTriedAgainAndItsWritesUndone) {
  std::atomic<int> tries{0};
  Seen seen;
  const Consumer consumer(*store_, base::system_clock(), "stubborn", [&](Tx& tx, const Event& event) -> Result<void> {
    tx.exec(
        "INSERT INTO edges (project, from_kind, from_id, to_kind, to_id, role, at_us) VALUES (1, 'a', 'b', 'c', 'd', "
        "'e', 0)");
    if (++tries < 3) return base::fail(base::Code::kUnavailable, "not yet");
    seen.add(event.subject);
    return {};
  });
  emit_one("x");
  ASSERT_TRUE(seen.wait_for(1));
  EXPECT_EQ(tries, 3);
}

TEST_P(EventTest, WhatAConsumerDoesNotWantCostsItNoWriteAndIsPassed) {
  Seen seen;
  const auto wants = [](const Event& event) { return event.subject != "dull"; };
  {
    const Consumer consumer(
        *store_, base::system_clock(), "picky",
        [&](Tx&, const Event& event) -> Result<void> {
          seen.add(event.subject);
          return {};
        },
        /*from_start=*/false, wants);
    for (const char* subject : {"dull", "good", "dull", "dull", "better", "dull"}) emit_one(subject);
    ASSERT_TRUE(seen.wait_for(2));
  }
  EXPECT_THAT(seen.all(), ElementsAre("good", "better"));
  Seen again;  // from where the last effect was stored
  const Consumer consumer(
      *store_, base::system_clock(), "picky",
      [&](Tx&, const Event& event) -> Result<void> {
        again.add(event.subject);
        return {};
      },
      /*from_start=*/false, wants);
  emit_one("later");
  ASSERT_TRUE(again.wait_for(1));
  EXPECT_THAT(again.all(), ElementsAre("later"));
}

TEST_P(EventTest, TrimmingKeepsWhatAConsumerHasNotSeen) {
  for (const char* subject : {"a", "b", "c"}) emit_one(subject);
  const auto trim = [&] {
    auto later = ctx();
    later.now_us += 1'000'000;
    return *store_->write_blocking(later, [](Tx& tx) { return trim_events(tx, 0); });
  };
  settle();
  ASSERT_TRUE(write([&](Tx& tx) -> Result<int64_t> {
    const EventPosition first = (*read_events(tx, {}, 1))[0].position;
    return tx.exec("INSERT INTO consumers (project, name, xid, seq, moved_us) VALUES (0, 'slow', ?, ?, 0)", first.xid,
                   first.seq);
  }));
  EXPECT_EQ(trim(), 1);
  EXPECT_THAT(subjects(settled_events_after({})), ElementsAre("b", "c"));
  ASSERT_TRUE(write([](Tx& tx) -> Result<int64_t> { return tx.exec("DELETE FROM consumers"); }));
  EXPECT_EQ(trim(), 1);  // never the newest: numbering goes on from it
  const auto last = settled_events_after({});
  EXPECT_THAT(subjects(last), ElementsAre("c"));
  emit_one("d");
  EXPECT_THAT(subjects(settled_events_after(last[0].position)), ElementsAre("d"));
}

TEST_P(EventTest, AConsumerThatIsNoMoreDoesNotHoldTrimmingBack) {
  for (const char* subject : {"a", "b", "c"}) emit_one(subject);
  settle();
  ASSERT_TRUE(write([](Tx& tx) -> Result<int64_t> {
    return tx.exec(
        "INSERT INTO consumers (project, name, xid, seq, moved_us) VALUES (0, 'gone', 0, 0, 0), (0, 'kept', 0, 0, 0)");
  }));
  const auto forget = [&](std::vector<std::string_view> in_use) {
    auto gone = write([&](Tx& tx) { return forget_consumers_except(tx, in_use); });
    EXPECT_TRUE(gone) << gone.error().message;
    return gone.value_or(std::vector<std::string>{});
  };
  const auto trim = [&] {
    auto later = ctx();
    later.now_us += 1'000'000;
    return *store_->write_blocking(later, [](Tx& tx) { return trim_events(tx, 0); });
  };
  EXPECT_THAT(forget({"kept", "another"}), ElementsAre("gone"));
  EXPECT_TRUE(forget({"kept", "another"}).empty());
  EXPECT_EQ(trim(), 0);  // "kept" has seen nothing yet
  EXPECT_THAT(forget({}), ElementsAre("kept"));
  EXPECT_EQ(trim(), 2);
}

}  // namespace
}  // namespace core
