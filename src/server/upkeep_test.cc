// The hourly upkeep as a thread: it does its rooms' work again and again, outlives their errors, and stops at once.
#include "server/upkeep.h"

#include <gmock/gmock.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "blob/migrations.h"
#include "core/event.h"
#include "core/migrations.h"
#include "store/testing.h"

namespace server {
namespace {

using base::Result;
using store::Tx;

const Upkeep::Options kEager{.first_us = 0, .every_us = 1'000, .keep_events_us = 0, .grace_us = 0};

class UpkeepTest : public store::testing::EngineTest {
 protected:
  UpkeepTest() : EngineTest({core::migrations(), blob::migrations()}) {}
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped()) return;
    auto blobs = blob::BlobStore::open(dir_);
    ASSERT_TRUE(blobs) << blobs.error().message;
    blobs_ = std::move(*blobs);
  }

  void emit_some(int count) {
    ASSERT_TRUE(write([count](Tx& tx) -> Result<int> {
      for (int i = 0; i < count; ++i) core::emit(tx, "thing.made", "thing", std::to_string(i));
      return 0;
    }));
  }
  int64_t events() {
    return read([](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT COUNT(*) FROM events").value_or(-1); })
        .value_or(-1);
  }
  static bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 2'000 && !holds(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return holds();
  }

  std::unique_ptr<blob::BlobStore> blobs_;
};
INSTANTIATE_TEST_SUITE_P(Engines, UpkeepTest, store::testing::engines(), store::testing::engine_name);

TEST_P(UpkeepTest, TrimsEventsAndCollectsBlobsAgainAndAgain) {
  const Upkeep upkeep(*store_, *blobs_, base::system_clock(), kEager);
  for (int round = 0; round < 2; ++round) {
    emit_some(3);
    const auto garbage = blobs_->put("nobody refers to it " + std::to_string(round));
    ASSERT_TRUE(garbage) << garbage.error().message;
    EXPECT_TRUE(eventually([&] { return events() == 1; }));  // the newest always stays
    EXPECT_TRUE(eventually([&] { return !blobs_->exists(garbage->sha256); }));
  }
}

TEST_P(UpkeepTest, KeepsWhatIsYoung) {
  const auto young = blobs_->put("young");
  ASSERT_TRUE(young) << young.error().message;
  emit_some(3);
  {
    auto options = kEager;
    options.keep_events_us = options.grace_us = 3'600'000'000;
    const Upkeep upkeep(*store_, *blobs_, base::system_clock(), options);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(events(), 3);
  EXPECT_TRUE(blobs_->exists(young->sha256));
}

TEST_P(UpkeepTest, AnErrorOfOnePartDoesNotStopTheOther) {
  ASSERT_TRUE(write([](Tx& tx) -> Result<int64_t> { return tx.exec("DROP TABLE consumers"); }));
  const auto garbage = blobs_->put("nobody refers to it");
  ASSERT_TRUE(garbage) << garbage.error().message;
  const Upkeep upkeep(*store_, *blobs_, base::system_clock(), kEager);
  EXPECT_TRUE(eventually([&] { return !blobs_->exists(garbage->sha256); }));
}

TEST_P(UpkeepTest, StopsWhileItWaits) {
  const Upkeep hourly(*store_, *blobs_, base::system_clock(), {});  // the test's own time limit is the assertion
}

}  // namespace
}  // namespace server
