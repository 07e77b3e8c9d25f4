#include "serve/traffic.h"

#include <array>

#include "core/migrations.h"
#include "serve/migrations.h"
#include "store/testing.h"

namespace serve {
namespace {

TEST(LatencyCounts, QuantilesLieInTheirBucket) {
  LatencyCounts latency{{0.001, 0.002, 0.004}, {90, 8, 1, 1}};
  EXPECT_EQ(latency.total(), 100u);
  EXPECT_LE(*latency.quantile(0.5), 0.001);
  EXPECT_GT(*latency.quantile(0.5), 0.0);
  EXPECT_GT(*latency.quantile(0.95), 0.001);
  EXPECT_LE(*latency.quantile(0.95), 0.002);
  EXPECT_EQ(*latency.quantile(1.0), 0.004);  // past the last bound: at least that
  EXPECT_FALSE(LatencyCounts{}.quantile(0.5).has_value());
}

TEST(LatencyCounts, BoundsOfTwoVersionsAreMerged) {
  LatencyCounts a{{0.001, 0.01}, {1, 2, 0}};
  a.add({{0.001, 0.005}, {3, 4, 5}});
  EXPECT_EQ(a.bounds, (std::vector<double>{0.001, 0.005, 0.01}));
  EXPECT_EQ(a.counts, (std::vector<uint64_t>{4, 4, 2, 5}));
}

// An endpoint whose instruments the test moves.
class FakeRuntime final : public Runtime {
 public:
  void serve(int64_t revision, const std::string& version) {
    auto live = std::make_shared<LiveEndpoint>();
    live->name = "digits";
    live->project = 1;
    live->revision.number = revision;
    const base::Registry::Labels labels = {{"version", version}};
    live->requests = &metrics_.counter("requests_total", "", labels);
    live->failures = &metrics_.counter("failures_total", "", labels);
    live->faults = &metrics_.counter("faults_total", "", labels);
    live->rows = &metrics_.counter("rows_total", "", labels);
    live->seconds = &metrics_.histogram("seconds", "", std::array{0.001, 0.01}, labels);
    auto snapshot = std::make_unique<RouteSnapshot>();
    snapshot->endpoints = {live};
    routes_.store(std::move(snapshot));
    live_ = live;
  }
  void answer(int count, double seconds) {
    for (int i = 0; i < count; ++i) live_->requests->add(), live_->rows->add(2), live_->seconds->observe(seconds);
  }
  void fail() { live_->requests->add(), live_->failures->add(); }

  base::Result<Prepared> prepare(int64_t, std::string_view, int64_t, Code) override { return Prepared(); }
  base::Result<void> refresh() override { return {}; }
  Capture& capture() override { std::abort(); }

 private:
  base::Registry metrics_;
  std::shared_ptr<LiveEndpoint> live_;
};

class TrafficTest : public store::testing::EngineTest {
 protected:
  TrafficTest() : EngineTest({core::migrations(), migrations()}) {}

  std::vector<TrafficPoint> all(int64_t step_us, bool by_revision) {
    const TrafficQuery query{"digits", kStart, kStart + 100 * kTrafficStepUs, step_us, by_revision};
    return read([&](store::Tx& tx) { return traffic(tx, query); }).value();
  }

  static constexpr int64_t kStart = 1'700'000'000'000'000;
  base::ManualClock clock_{kStart};
  FakeRuntime runtime_;
};

TEST_P(TrafficTest, StepsHoldWhatWasAnsweredInThem) {
  runtime_.serve(1, "1");
  TrafficSampler sampler(*store_, runtime_, clock_, false);
  runtime_.answer(10, 0.0005);
  runtime_.fail();
  clock_.advance_us(kTrafficStepUs);
  sampler.sample();
  clock_.advance_us(kTrafficStepUs);
  sampler.sample();  // idle: no row
  runtime_.answer(5, 0.005);
  clock_.advance_us(kTrafficStepUs);
  sampler.sample();

  const auto points = all(kTrafficStepUs, false);
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].at_us, kStart);
  EXPECT_EQ(points[0].requests, 11);
  EXPECT_EQ(points[0].failures, 1);
  EXPECT_EQ(points[0].rows, 20);
  EXPECT_EQ(points[0].latency.total(), 10u);
  EXPECT_EQ(points[1].at_us, kStart + 2 * kTrafficStepUs);
  EXPECT_EQ(points[1].requests, 5);
  EXPECT_GT(*points[1].latency.quantile(0.5), 0.001);

  const auto together = all(3 * kTrafficStepUs, false);
  int64_t requests = 0;
  for (const auto& point : together) requests += point.requests;
  EXPECT_EQ(requests, 16);
}

TEST_P(TrafficTest, ARevisionKeepsItsOwnAndAServerThatStartsAgainAdds) {
  runtime_.serve(1, "1");
  {
    TrafficSampler sampler(*store_, runtime_, clock_, false);
    runtime_.answer(3, 0.0005);
    clock_.advance_us(kTrafficStepUs);
    sampler.sample();
    runtime_.answer(1, 0.0005);  // under way while the next one goes live
    runtime_.serve(2, "2");
    runtime_.answer(4, 0.0005);
  }  // the destructor takes a last sample
  const auto before = all(kTrafficStepUs, true);
  int64_t of_first = 0, of_second = 0;
  for (const auto& point : before) (point.revision == 1 ? of_first : of_second) += point.requests;
  EXPECT_EQ(of_first, 4);
  EXPECT_EQ(of_second, 4);

  FakeRuntime again;
  again.serve(2, "2");
  {
    TrafficSampler sampler(*store_, again, clock_, false);
    again.answer(2, 0.0005);
  }
  int64_t sum = 0;
  for (const auto& point : all(kTrafficStepUs, false)) sum += point.requests;
  EXPECT_EQ(sum, 10);
}

TEST_P(TrafficTest, ARangeOfTooManyStepsIsRefused) {
  const TrafficQuery query{"digits", 0, kStart, kTrafficStepUs, false};
  const auto found = read([&](store::Tx& tx) { return traffic(tx, query); });
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, base::Code::kInvalid);
}

TEST_P(TrafficTest, WhatTheMirrorComparedIsSummed) {
  const auto put = write([&](store::Tx& tx) -> base::Result<void> {
    for (const int64_t at : {kStart, kStart + kTrafficStepUs, kStart + 100 * kTrafficStepUs}) {
      tx.exec(
          "INSERT INTO endpoint_mirror (project, endpoint, at_us, revision, shadow, requests, row_count, agreed, "
          "failures, dropped, scored, difference, most, seconds) VALUES (?, 'digits', ?, 1, 2, 10, 20, 15, 1, 2, 20, "
          "0.5, "
          "0.25, 0.01)",
          tx.project(), at);
    }
    return tx.status();
  });
  ASSERT_TRUE(put) << put.error().message;
  const auto sums = read([&](store::Tx& tx) { return mirrored(tx, "digits", kStart, kStart + 50 * kTrafficStepUs); });
  ASSERT_TRUE(sums) << sums.error().message;
  ASSERT_EQ(sums->size(), 1u);
  const MirrorPoint& sum = sums->front();
  EXPECT_EQ(sum.requests, 20);
  EXPECT_EQ(sum.rows, 40);
  EXPECT_EQ(sum.agreed, 30);
  EXPECT_EQ(sum.failures, 2);
  EXPECT_EQ(sum.dropped, 4);
  EXPECT_DOUBLE_EQ(sum.difference, 1.0);
  EXPECT_DOUBLE_EQ(sum.most, 0.25);
}

INSTANTIATE_TEST_SUITE_P(Engines, TrafficTest, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace serve
