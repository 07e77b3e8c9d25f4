// The watcher on a store: windows exactly once, episodes, promotions, labels late and out of order.
#include "watch/watcher.h"

#include <gmock/gmock.h>

#include "blob/migrations.h"
#include "core/event.h"
#include "core/migrations.h"
#include "store/testing.h"
#include "watch/alert.h"
#include "watch/migrations.h"
#include "watch/testing.h"

namespace watch {
namespace {

using testing::Digits;
using testing::Image;

class WatcherTest : public store::testing::EngineTest {
 protected:
  WatcherTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    blobs_ = std::move(*blob::BlobStore::open(dir_));
    baseline(1, digits_.images(360));
    put({.endpoint = "digits", .window_rows = 200, .labels_from_feedback = true});
  }

  void baseline(int64_t revision, const std::vector<Image>& images) {
    const auto labels = testing::labels_of_images(images);
    const auto profile = make_baseline(testing::table_of(images), labels, labels);
    ASSERT_TRUE(profile);
    const auto info = blobs_->put(*profile);
    ASSERT_TRUE(info) << info.error().message;
    const auto done = write([&](store::Tx& tx) -> base::Result<int> {
      TRY(set_baseline(tx, "digits", revision, info->sha256.hex(), "ev_test"));
      return 0;
    });
    ASSERT_TRUE(done) << done.error().message;
  }
  void put(const MonitorSpec& spec) {
    const auto done = write([&](store::Tx& tx) -> base::Result<int> {
      TRY(put_monitor(tx, spec));
      return 0;
    });
    ASSERT_TRUE(done) << done.error().message;
  }
  std::string request(const Image& image, std::string predicted) {
    const std::string id = base::make_id("pr", base::system_random(), clock_.wall_us());
    source_.requests.push_back(testing::request_of(id, clock_.wall_us(), source_.live, image, std::move(predicted)));
    clock_.advance_us(1000);
    return id;
  }
  // The truth of each, by id.
  std::vector<Feedback> traffic(int count, double contrast = 1, double wrong = 0) {
    std::vector<Feedback> truth;
    for (const Image& image : digits_.images(count, contrast)) {
      const bool miss = digits_.unit() < wrong;
      const std::string id = request(image, std::to_string(miss ? (image.digit + 1) % 10 : image.digit));
      truth.push_back({.prediction = id, .label = std::to_string(image.digit) + ".0", .endpoint = "digits"});
    }
    return truth;
  }
  Watcher make_watcher() { return Watcher(*store_, *blobs_, source_, clock_, metrics_, {.idle_us = 0}); }
  void pass() { make_watcher().pass(); }  // each time a new one: as after a restart

  std::vector<Window> windows() {
    return *read([](store::Tx& tx) -> base::Result<std::vector<Window>> { return list_windows(tx, "digits", 0, 100); });
  }
  std::vector<Alert> alerts() {
    return *read([](store::Tx& tx) -> base::Result<std::vector<Alert>> { return list_alerts(tx, "digits"); });
  }
  int64_t count_events(std::string_view kind) {
    return *read([&](store::Tx& tx) -> base::Result<int64_t> {
      return tx.query_i64("SELECT COUNT(*) FROM events WHERE kind = ?", kind).value_or(-1);
    });
  }
  base::Result<int64_t> send(const std::vector<Feedback>& labels) {
    return write([&](store::Tx& tx) { return put_feedback(tx, labels); });
  }

  Digits digits_{11};
  base::ManualClock clock_;
  base::Registry metrics_;
  testing::MemorySource source_;
  std::unique_ptr<blob::BlobStore> blobs_;
};
INSTANTIATE_TEST_SUITE_P(Engines, WatcherTest, store::testing::engines(), store::testing::engine_name);

TEST_P(WatcherTest, WindowsAreClosedExactlyOnceAcrossRestarts) {
  for (int i = 0; i < 10; ++i) {
    traffic(90);
    pass();
  }
  traffic(110);
  auto watcher = make_watcher();
  watcher.pass();
  watcher.pass();
  const auto found = windows();
  ASSERT_EQ(found.size(), 5);  // 1010 rows
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].number, static_cast<int64_t>(5 - i));
    EXPECT_EQ(found[i].rows, 200);
    EXPECT_TRUE(found[i].judged);
    EXPECT_FALSE(found[i].drifted);
  }
  EXPECT_TRUE(alerts().empty());
  EXPECT_EQ(count_events("window.closed"), 5);
}

TEST_P(WatcherTest, DriftAlertsOnceAnEpisodeAndCanBeReplayed) {
  auto watcher = make_watcher();
  traffic(400);
  traffic(200, 0.6);
  watcher.pass();
  EXPECT_TRUE(alerts().empty()) << "one drifted window is not enough";
  traffic(600, 0.6);
  watcher.pass();
  auto raised = alerts();
  ASSERT_EQ(raised.size(), 1);
  EXPECT_EQ(raised[0].kind, "drift");
  EXPECT_EQ(raised[0].ended_us, 0);
  EXPECT_THAT(raised[0].numbers, ::testing::HasSubstr("\"p_holm\""));
  EXPECT_EQ(count_events("alert.raised"), 1);

  traffic(200);
  watcher.pass();
  EXPECT_GT(alerts()[0].ended_us, 0) << "a clean window ends the episode";
  traffic(400, 0.6);
  watcher.pass();
  EXPECT_EQ(alerts().size(), 2) << "the next episode has an alert of its own";

  const auto replay = read([&](store::Tx& tx) -> base::Result<Replay> {
    TRY_SET(const auto baseline, base::Result<Baseline>(*get_baseline(tx, "digits", 1)));
    TRY_SET(const auto json, blobs_->get(*base::Digest::from_hex(base::HashAlgo::kSha256, baseline.profile_digest)));
    TRY_SET(const auto profile, parse_profile(json));
    return replay_alert(tx, raised[0], &profile);
  });
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_TRUE(replay->equal) << replay->numbers;
}

TEST_P(WatcherTest, APromotionBeginsWindowsAnewAndEndsAlerts) {
  auto watcher = make_watcher();
  traffic(400, 0.6);
  traffic(150, 0.6);  // of a window that will never be full
  watcher.pass();
  ASSERT_EQ(alerts().size(), 1);
  baseline(2, digits_.images(300, 0.6));
  EXPECT_GT(alerts()[0].ended_us, 0);
  source_.live = 2;
  traffic(600, 0.6);
  watcher.pass();
  ASSERT_EQ(windows().size(), 5);
  EXPECT_EQ(windows()[0].revision, 2);
  EXPECT_EQ(windows()[0].rows, 200);
  EXPECT_FALSE(windows()[0].drifted) << "quiet against the new baseline";
  EXPECT_EQ(alerts().size(), 1);
}

TEST_P(WatcherTest, NothingIsReadBeforeAnythingIsLive) {
  auto watcher = make_watcher();
  traffic(200);
  source_.live = 0;
  watcher.pass();
  EXPECT_TRUE(windows().empty());
  source_.live = 1;
  watcher.pass();
  EXPECT_EQ(windows().size(), 1);
}

TEST_P(WatcherTest, ARevisionWithoutBaselineIsRecordedAndJudgedOnceItHasOne) {
  source_.live = 7;
  auto watcher = make_watcher();
  traffic(200);
  watcher.pass();
  ASSERT_EQ(windows().size(), 1);
  EXPECT_FALSE(windows()[0].judged);
  baseline(7, digits_.images(360));
  traffic(200);
  watcher.pass();
  ASSERT_EQ(windows().size(), 2);
  EXPECT_TRUE(windows()[0].judged);
}

TEST_P(WatcherTest, LabelsComeLateOutOfOrderAndAgain) {
  auto watcher = make_watcher();
  auto first = traffic(200, 1, 0.1), second = traffic(200), third = traffic(50);
  watcher.pass();
  ASSERT_EQ(windows().size(), 2);
  std::ranges::reverse(second);
  ASSERT_EQ(send(second).value(), 200);
  ASSERT_EQ(send({first.begin(), first.begin() + 100}).value(), 100);
  ASSERT_EQ(send(third).value(), 50);  // before their window is full
  watcher.pass();
  EXPECT_EQ(windows()[0].labels.labelled, 200);
  EXPECT_EQ(windows()[0].labels.correct, 200);
  EXPECT_EQ(windows()[1].labels.labelled, 100);
  const int64_t correct = windows()[1].labels.correct;
  EXPECT_GT(correct, 70);
  EXPECT_LT(correct, 100);

  // The same again changes nothing; another word for one changes its window.
  EXPECT_EQ(send({first.begin(), first.begin() + 100}).value(), 0);
  second[0].label = "cat";
  EXPECT_EQ(send({second[0]}).value(), 0);
  traffic(150);
  watcher.pass();
  EXPECT_EQ(windows().size(), 3);
  EXPECT_EQ(windows()[0].labels.labelled, 50) << "the labels waited for their window";
  EXPECT_EQ(windows()[1].labels.correct, 199);
  EXPECT_EQ(windows()[2].labels.correct, correct);
  const auto known = read([&](store::Tx& tx) -> base::Result<int64_t> { return count_labels(tx, "digits", 0); });
  EXPECT_EQ(*known, 350);
  EXPECT_EQ(*read([&](store::Tx& tx) -> base::Result<std::string> { return *label_of(tx, third[0].prediction, 0); }),
            third[0].label.substr(0, 1));
}

TEST_P(WatcherTest, AccuracyBelowTheBaselineAlerts) {
  auto watcher = make_watcher();
  const auto good = traffic(400, 1, 0.02), bad = traffic(400, 1, 0.4);
  watcher.pass();
  ASSERT_TRUE(send(good));
  watcher.pass();
  EXPECT_TRUE(std::ranges::none_of(alerts(), [](const Alert& a) { return a.kind == "accuracy"; }));
  ASSERT_TRUE(send(bad));
  watcher.pass();
  const auto raised = alerts();
  const auto found = std::ranges::find(raised, "accuracy", &Alert::kind);
  ASSERT_NE(found, raised.end());
  const auto replay = read([&](store::Tx& tx) { return replay_alert(tx, *found, nullptr); });
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_TRUE(replay->equal) << replay->numbers << "\n" << found->numbers;
  ASSERT_TRUE(send(traffic(200, 1, 0.01)));
  watcher.pass();
  EXPECT_EQ(std::ranges::count_if(alerts(), [](const Alert& a) { return a.kind == "accuracy" && a.ended_us == 0; }), 0);
}

TEST_P(WatcherTest, WindowsByTimeCloseWithTheNextRequestOrTheClock) {
  put({.endpoint = "digits", .window_rows = 0, .window_us = 60'000'000});
  auto watcher = make_watcher();
  traffic(100);
  clock_.advance_us(60'000'000);
  traffic(40);
  watcher.pass();
  ASSERT_EQ(windows().size(), 1);
  EXPECT_EQ(windows()[0].rows, 100);
  clock_.advance_us(63'000'000);
  watcher.pass();
  ASSERT_EQ(windows().size(), 2);
  EXPECT_EQ(windows()[0].rows, 40);
}

TEST_P(WatcherTest, TheThreadWakesForTrafficAndLabels) {
  const auto truth = traffic(200);
  Watcher watcher(*store_, *blobs_, source_, base::system_clock(), metrics_);
  const auto wait_for = [&](auto condition) {
    for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return condition();
  };
  EXPECT_TRUE(wait_for([&] { return windows().size() == 1; }));
  ASSERT_TRUE(send(truth));
  EXPECT_TRUE(wait_for([&] { return windows()[0].labels.labelled == 200; }));
}

TEST_P(WatcherTest, BadInputIsRefusedWithAReason) {
  const auto monitor = [&](MonitorSpec spec) {
    return write([&](store::Tx& tx) -> base::Result<int> {
             TRY(put_monitor(tx, spec));
             return 0;
           })
        .error();
  };
  EXPECT_THAT(monitor({.endpoint = "digits", .window_rows = 5}).message, ::testing::HasSubstr("30"));
  EXPECT_THAT(monitor({.endpoint = "digits", .window_rows = 100, .window_us = 5}).message,
              ::testing::HasSubstr("either"));
  EXPECT_EQ(monitor({.endpoint = "digits", .ks_alpha = 0}).code, base::Code::kInvalid);
  EXPECT_EQ(send({{.prediction = "", .label = "7"}}).error().code, base::Code::kInvalid);
  EXPECT_EQ(send({{.prediction = "pr_x", .row = -1, .label = "7"}}).error().code, base::Code::kInvalid);
  EXPECT_EQ(send({{.prediction = "pr_x", .label = ""}}).error().code, base::Code::kInvalid);
  EXPECT_EQ(send(std::vector<Feedback>(kMaxFeedbackBatch + 1, {.prediction = "pr_x", .label = "7"})).error().code,
            base::Code::kTooLarge);
  EXPECT_EQ(send({{.prediction = "somebody's own id", .label = "7"}}).value(), 1) << "unknown ids are kept";
  pass();
}

}  // namespace
}  // namespace watch
