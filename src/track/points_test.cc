// Histories in chunks, on both engines: against a plain set of points, whatever order and repetition they come in.
#include "track/points.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "blob/migrations.h"
#include "core/migrations.h"
#include "store/bulk.h"
#include "store/testing.h"
#include "track/curves.h"
#include "track/migrations.h"
#include "track/old_points.h"
#include "track/runs.h"

namespace track {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<Point> steady(int64_t from, int64_t count) {
  std::vector<Point> points;
  for (int64_t i = from; i < from + count; ++i) points.push_back({1'700'000'000'000 + i * 37, i, std::sin(i * 0.01)});
  return points;
}

TEST(PointCodec, GivesBackWhatWasPutIn) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
  std::vector<Point> points = {{0, kMin, -1e308}, {0, kMax, 1e308}, {5, -3, 0.1}, {5, -3, kNan}, {kMax, 0, -0.5}};
  std::vector<Point> back;
  ASSERT_TRUE(decode_points(encode_points(points), back));
  ASSERT_EQ(back.size(), points.size());
  for (size_t i = 0; i < points.size(); ++i) EXPECT_TRUE(same(points[i], back[i])) << i;
  EXPECT_LT(encode_points(steady(0, 4096)).size(), 4096U * 11);
}

TEST(PointCodec, DamageIsAnError) {
  const std::string good = encode_points(steady(0, 100));
  std::vector<Point> out;
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(decode_points(good.substr(0, size), out)) << size;
  EXPECT_FALSE(decode_points("\2" + good.substr(1), out));
  EXPECT_FALSE(decode_points(std::string("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 11), out));
}

class PointsTest : public store::testing::EngineTest {
 protected:
  PointsTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const auto made = write([](store::Tx& tx) { return create_run(tx, {}); });
    ASSERT_TRUE(made) << made.error().message;
    run_ = made->info.run_id;
    row_ = made->info.row;
  }
  base::Result<void> log(const std::string& key, const std::vector<Point>& points) {
    Batch batch{.run_id = run_, .metrics = {}, .params = {}, .tags = {}};
    for (const Point& point : points)
      batch.metrics.push_back({key, point.value, point.at_ms, point.step, {}, {}, {}, {}});
    return write([&](store::Tx& tx) { return log_batch(tx, batch); });
  }
  void logged(const std::string& key, const std::vector<Point>& points) {
    for (size_t at = 0; at < points.size(); at += kMaxBatch) {
      const auto end = std::min(points.size(), at + kMaxBatch);
      const auto done =
          log(key, {points.begin() + static_cast<ptrdiff_t>(at), points.begin() + static_cast<ptrdiff_t>(end)});
      ASSERT_TRUE(done) << done.error().message;
    }
  }
  // Page by page, as a client reads it.
  std::vector<Point> history(const std::string& key, int64_t page_size) {
    std::vector<Point> out;
    std::string token;
    do {
      const auto page = read([&](store::Tx& tx) { return metric_history(tx, {run_, key, page_size, token}); });
      EXPECT_TRUE(page) << page.error().message;
      if (!page) return out;
      for (const Metric& metric : page->rows) out.push_back({metric.at_ms, metric.step, metric.value});
      token = page->next_token;
    } while (!token.empty());
    return out;
  }
  void expect_history(const std::string& key, std::vector<Point> points, int64_t page_size = 777) {
    sort_unique(points);
    const auto got = history(key, page_size);
    ASSERT_EQ(got.size(), points.size());
    for (size_t i = 0; i < points.size(); ++i) ASSERT_TRUE(same(got[i], points[i])) << i;
  }
  int64_t count(std::string_view sql) {
    return *read(
        [&](store::Tx& tx) -> base::Result<int64_t> { return tx.query_i64(sql, tx.project(), row_).value_or(0); });
  }
  int64_t chunks() { return count("SELECT COUNT(*) FROM track_metric_chunks WHERE project = ? AND run = ?"); }
  int64_t rows() { return count("SELECT COUNT(*) FROM track_metric_points WHERE project = ? AND run = ?"); }

  static constexpr size_t kMaxBatch = 1000;
  std::string run_;
  int64_t row_ = 0;
};

TEST_P(PointsTest, ASteadyHistoryLiesInLongChunks) {
  const auto points = steady(0, 20'000);
  logged("m", points);
  expect_history("m", points);
  EXPECT_LE(chunks(), 8);
  logged("m", points);  // all of them are there already
  expect_history("m", points, 100'000);
  EXPECT_LE(chunks(), 8);
}

TEST_P(PointsTest, OnePointAtATimeEndsInChunksToo) {
  const auto points = steady(0, 700);
  for (const Point& point : points) ASSERT_TRUE(log("m", {point}));
  expect_history("m", points);
  EXPECT_EQ(chunks(), 2);  // 512, 128 and a tail of 60
}

TEST_P(PointsTest, AnyOrderAndAnyRepetitionGiveTheSameHistory) {
  std::mt19937_64 random(7);
  std::vector<Point> all;
  for (int round = 0; round < 60; ++round) {
    std::vector<Point> batch;
    const size_t size = 1 + random() % 900;
    while (batch.size() < size) {
      const auto kind = random() % 20;
      if (kind == 0 && !all.empty()) {
        batch.push_back(all[random() % all.size()]);
      } else {
        const auto at = static_cast<int64_t>(round < 30 ? random() % 3'000 : round * 100 + random() % 100);
        batch.push_back(
            {at, static_cast<int64_t>(random() % 50) - 25, kind == 1 ? kNan : static_cast<double>(random() % 4)});
      }
    }
    all.insert(all.end(), batch.begin(), batch.end());
    logged("m", batch);
  }
  expect_history("m", all);
  EXPECT_GT(chunks(), 2);
}

TEST_P(PointsTest, OneTimestampForAllIsNoTrouble) {
  std::vector<Point> points;
  for (int64_t i = 0; i < 6'000; ++i) points.push_back({5, i, 1});
  logged("m", points);
  for (int64_t i = 5'990; i < 6'010; ++i) ASSERT_TRUE(log("m", {{5, i, 1}}));
  for (int64_t i = 6'000; i < 6'010; ++i) points.push_back({5, i, 1});
  expect_history("m", points);
}

TEST_P(PointsTest, ManyMetricsInOneRequest) {
  constexpr int kKeys = 150, kRounds = 100;
  for (int round = 0; round < kRounds; ++round) {
    Batch batch{.run_id = run_, .metrics = {}, .params = {}, .tags = {}};
    for (int k = 0; k < kKeys; ++k)
      batch.metrics.push_back({"k" + std::to_string(k), 1.0 * k * round, round, round, {}, {}, {}, {}});
    ASSERT_TRUE(write([&](store::Tx& tx) { return log_batch(tx, batch); }));
  }
  for (const int k : {0, 7, 149}) {
    const auto points = history("k" + std::to_string(k), 10'000);
    ASSERT_EQ(points.size(), static_cast<size_t>(kRounds));
    EXPECT_EQ(points.back().value, 1.0 * k * (kRounds - 1));
  }
  const auto run = read([&](store::Tx& tx) { return get_run(tx, run_); });
  ASSERT_TRUE(run);
  EXPECT_EQ(run->metrics.size(), static_cast<size_t>(kKeys));
  EXPECT_EQ(run->metrics[7].step, kRounds - 1);
}

TEST_P(PointsTest, RowsFromBeforeThereWereChunksAreTakenOver) {
  logged("m", {{0, 0, 0}});
  const auto old = steady(1, 9'000);
  ASSERT_TRUE(write([&](store::Tx& tx) -> base::Result<void> {
    const auto key = tx.query_i64("SELECT id FROM track_keys WHERE project = ? AND name = 'm'", tx.project());
    store::BulkInsert insert(
        tx, "INSERT INTO track_metric_points (project, run, key_id, at_ms, step, value, is_nan) VALUES ", 7);
    for (const Point& p : old) insert.add(tx.project(), row_, *key, p.at_ms, p.step, p.value, 0);
    EXPECT_EQ(insert.finish(), 9'000);
    return tx.status();
  }));
  const auto done = take_over_old_points(*store_, base::system_clock());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(rows(), 0);
  auto all = old;
  all.push_back({0, 0, 0});
  expect_history("m", all);
}

TEST_P(PointsTest, NothingOfARunIsLeftBehind) {
  logged("m", steady(0, 5'000));
  ASSERT_TRUE(write([&](store::Tx& tx) -> base::Result<void> { return drop_metrics(tx, row_), tx.status(); }));
  EXPECT_TRUE(history("m", 10).empty());
  EXPECT_EQ(chunks(), 0);
}

TEST_P(PointsTest, WritersOfOneMetricLoseNothingAndDoubleNothing) {
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([this, w] {
      for (int64_t at = 0; at < 3'000; at += 100) {
        auto points = steady(at, 150);  // each overlaps the next, and every writer logs the same
        std::ranges::shuffle(points, std::mt19937_64(static_cast<uint64_t>(w)));
        EXPECT_TRUE(log("m", points));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  expect_history("m", steady(0, 3'050));
}

// What a curve must show: of each column of pixels the least and the greatest; an edge between two may lie a pixel off.
TEST_P(PointsTest, ACurveOfChunksIsTheCurveOfItsPoints) {
  std::mt19937_64 random(3);
  std::vector<Point> points;
  for (int64_t i = 0; i < 30'000; ++i) {
    const double value = random() % 1000 == 0 ? kNan : static_cast<double>(random() % 100'000);
    points.push_back({i * 10, i, value});
  }
  logged("m", points);
  for (const int64_t pixels : {3, 7, 100, 4'000}) {
    const auto drawn = read([&](store::Tx& tx) {
      return curves(tx, {.run_ids = {run_}, .keys = {"m"}, .pixels = pixels, .from = {}, .to = {}});
    });
    ASSERT_TRUE(drawn);
    const Curve& curve = drawn->at(0);
    EXPECT_EQ(curve.total, 30'000);
    EXPECT_EQ(curve.nans, std::ranges::count_if(points, [](const Point& p) { return std::isnan(p.value); }));
    std::vector<std::pair<double, double>> want(static_cast<size_t>(pixels), {1e9, -1e9}), got = want;
    const auto note = [&](auto& columns, int64_t step, double value) {
      if (std::isnan(value)) return;
      auto& [least, greatest] = columns[static_cast<size_t>(step * pixels / 30'000)];
      least = std::min(least, value), greatest = std::max(greatest, value);
    };
    for (const Point& point : points) note(want, point.step, point.value);
    for (const CurvePoint& point : curve.points) {
      note(got, point.step, point.value);
      const Point& drawn_from = points[static_cast<size_t>(point.step)];
      EXPECT_TRUE(point.value == drawn_from.value || std::isnan(drawn_from.value));
    }
    EXPECT_LE(curve.points.size(), static_cast<size_t>(2 * pixels));
    if (pixels >= 100) EXPECT_EQ(want, got) << pixels;  // no chunk is as short as a column
    for (size_t i = 0; i < want.size(); ++i) {
      std::pair<double, double> around{1e9, -1e9};
      for (size_t near = i == 0 ? 0 : i - 1; near <= std::min(i + 1, want.size() - 1); ++near) {
        around.first = std::min(around.first, got[near].first);
        around.second = std::max(around.second, got[near].second);
      }
      EXPECT_LE(around.first, want[i].first) << pixels;
      EXPECT_GE(around.second, want[i].second) << pixels;
    }
  }
}

TEST_P(PointsTest, SamplesComeInTheOrderOfStepsWhateverTheTimes) {
  std::vector<Point> points;
  for (int64_t i = 0; i < 6'000; ++i) points.push_back({6'000 - i, i, static_cast<double>(i)});  // time runs backwards
  logged("m", points);
  const auto sampled = read([&](store::Tx& tx) {
    return metric_history_sampled(
        tx, {.run_ids = {run_}, .key = "m", .start_step = 100, .end_step = 5'099, .max_points = 11});
  });
  ASSERT_TRUE(sampled);
  ASSERT_EQ(sampled->size(), 11U);
  EXPECT_EQ(sampled->front().step, 100);
  EXPECT_EQ(sampled->back().step, 5'099);
  EXPECT_TRUE(std::ranges::is_sorted(*sampled, {}, &Metric::step));
}

INSTANTIATE_TEST_SUITE_P(Engines, PointsTest, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace track
