// When an alert starts a retraining: labels, cooldown, once each; on both engines.
#include "loop/retrain.h"

#include <atomic>
#include <thread>

#include "flow/flow.h"
#include "loop/testing.h"
#include "watch/watch.h"

namespace loop {
namespace {

constexpr int64_t kMinute = 60'000'000;
constexpr int64_t kStart = 1'800'000'000'000'000;

class Retrain : public testing::LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    const auto ready = at(kStart, [this](store::Tx& tx) -> base::Result<void> {
      TRY(apply_project(tx));
      TRY(serve_version(tx, "s3://elsewhere/1"));
      return {};
    });
    ASSERT_TRUE(ready) << ready.error().message;
  }

  // An open alert about windows that began at `since`.
  void raise(const std::string& id, int64_t raised_us, int64_t since, const std::string& kind = "drift",
             int64_t revision = 1) {
    const auto done = at(raised_us, [&](store::Tx& tx) -> base::Result<void> {
      tx.exec(
          "INSERT INTO alerts (project, id, endpoint, revision, kind, raised_us, ended_us, numbers) VALUES (?, ?, "
          "'digits', ?, ?, ?, 0, ?)",
          tx.project(), id, revision, kind, raised_us,
          "{\"windows\": [{\"first_us\": " + std::to_string(since) + "}]}");
      return tx.status();
    });
    ASSERT_TRUE(done) << done.error().message;
  }
  void end(const std::string& id) {
    ASSERT_TRUE(at(kStart, [&](store::Tx& tx) -> base::Result<void> {
      tx.exec("UPDATE alerts SET ended_us = 1 WHERE id = ?", id);
      return tx.status();
    }));
  }
  void label(int count, int64_t now_us) {
    std::vector<watch::Feedback> labels;
    for (int i = 0; i < count; ++i)
      labels.push_back({.prediction = "pr_" + std::to_string(labelled_++), .label = "3", .endpoint = "digits"});
    ASSERT_TRUE(at(now_us, [&](store::Tx& tx) { return watch::put_feedback(tx, labels); }));
  }
  RetrainCheck check(int64_t now_us) {
    const auto checked = at(now_us, [](store::Tx& tx) { return check_retraining(tx); });
    EXPECT_TRUE(checked) << checked.error().message;
    return checked.value_or(RetrainCheck{});
  }
  void finish_runs(int64_t now_us) {
    ASSERT_TRUE(at(now_us, [&](store::Tx& tx) -> base::Result<void> {
      tx.exec("UPDATE flow_runs SET ended_us = ? WHERE ended_us = 0", now_us);
      return tx.status();
    }));
  }

  int labelled_ = 0;
};

TEST_P(Retrain, WaitsForLabelsOfTheDriftThenStartsOnce) {
  label(500, kStart);  // before the drift: they say nothing about it
  raise("al_1", kStart + 5 * kMinute, kStart + 3 * kMinute);
  EXPECT_TRUE(check(kStart + 6 * kMinute).started.empty());
  label(99, kStart + 6 * kMinute);
  EXPECT_TRUE(check(kStart + 6 * kMinute).started.empty());
  label(1, kStart + 7 * kMinute);
  const RetrainCheck done = check(kStart + 7 * kMinute);
  ASSERT_EQ(done.started.size(), 1U);
  const auto run = read([&](store::Tx& tx) { return flow::get_run(tx, done.started[0]); });
  EXPECT_EQ(run->cause, "alert:al_1");
  EXPECT_EQ(run->params.at("retrain"), "1");
  EXPECT_EQ(run->params.at("alert"), "al_1");
  const auto listed =
      read([](store::Tx& tx) -> base::Result<std::vector<Retraining>> { return list_retrainings(tx, "digits"); });
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ((*listed)[0].labels, 100);

  // The same alert, however long it stays open, starts no second one.
  finish_runs(kStart + 8 * kMinute);
  label(1000, kStart + 60 * kMinute);
  const RetrainCheck later = check(kStart + 600 * kMinute);
  EXPECT_TRUE(later.started.empty());
  EXPECT_EQ(later.look_again_us, 0);
}

TEST_P(Retrain, AnotherAlertWaitsForTheRunAndForTheCooldown) {
  label(100, kStart);
  raise("al_1", kStart, kStart);
  ASSERT_EQ(check(kStart).started.size(), 1U);
  end("al_1");
  raise("al_2", kStart + kMinute, kStart);
  RetrainCheck waiting = check(kStart + 2 * kMinute);
  EXPECT_TRUE(waiting.started.empty()) << "the first one still runs";
  EXPECT_GT(waiting.look_again_us, kStart + 2 * kMinute);
  finish_runs(kStart + 3 * kMinute);
  waiting = check(kStart + 4 * kMinute);
  EXPECT_TRUE(waiting.started.empty());
  EXPECT_EQ(waiting.look_again_us, kStart + 10 * kMinute) << "the cooldown is counted from the first one's beginning";
  EXPECT_TRUE(check(kStart + 10 * kMinute - 1).started.empty());
  EXPECT_EQ(check(kStart + 10 * kMinute).started.size(), 1U);
}

TEST_P(Retrain, OnlyDeclaredKindsAboutWhatServesCount) {
  label(1000, kStart);
  raise("al_quality", kStart, kStart, "quality");
  EXPECT_TRUE(check(kStart).started.empty()) << "retrain.on does not name it";
  raise("al_old", kStart, kStart, "drift", 7);
  EXPECT_TRUE(check(kStart).started.empty()) << "another revision";
  raise("al_accuracy", kStart + 2, kStart, "accuracy");
  raise("al_drift", kStart + 1, kStart);
  ASSERT_EQ(check(kStart + 3).started.size(), 1U) << "one run for both";
  const auto listed =
      read([](store::Tx& tx) -> base::Result<std::vector<Retraining>> { return list_retrainings(tx, "digits"); });
  EXPECT_EQ((*listed)[0].alert, "al_drift") << "the older one";
}

TEST_P(Retrain, TwoWhoLookAtOnceStartOneRun) {
  label(100, kStart);
  raise("al_1", kStart, kStart);
  std::atomic<size_t> started{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      const auto checked = at(kStart + 1, [](store::Tx& tx) { return check_retraining(tx); });
      if (checked) started += checked->started.size();
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(started, 1U);
  const auto runs =
      read([](store::Tx& tx) -> base::Result<std::vector<flow::PipelineRun>> { return flow::list_runs(tx, "digits"); });
  EXPECT_EQ(runs->size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Engines, Retrain, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace loop
