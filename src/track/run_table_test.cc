// Windows of runs, names to choose from, and curves, on both engines.
#include "track/run_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "blob/migrations.h"
#include "core/migrations.h"
#include "store/testing.h"
#include "track/curves.h"
#include "track/migrations.h"

namespace track {
namespace {

using ::testing::ElementsAre;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class RunTableTest : public store::testing::EngineTest {
 protected:
  RunTableTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  std::string experiment(std::string name) {
    return std::to_string(ok([&](store::Tx& tx) { return create_experiment(tx, {.name = name}); }));
  }
  std::string new_run(const std::string& experiment, std::string name, int64_t start_ms,
                      std::vector<Metric> metrics = {}, Tags params = {}) {
    const auto id = ok([&](store::Tx& tx) {
                      return create_run(tx, {.experiment_id = experiment, .name = name, .start_ms = start_ms});
                    }).info.run_id;
    log(id, std::move(metrics), std::move(params));
    return id;
  }
  void log(const std::string& run, std::vector<Metric> metrics, Tags params = {}) {
    auto done = write([&](store::Tx& tx) { return log_batch(tx, {run, metrics, params, {}}); });
    EXPECT_TRUE(done) << done.error().message;
  }
  Page<TableRow> window(RunSearch search, std::vector<std::string> columns = {}) {
    search.max_results = std::min(search.max_results, kMaxWindow);
    return ok([&](store::Tx& tx) -> base::Result<Page<TableRow>> {
      std::vector<Column> named;
      for (const auto& text : columns) {
        TRY_SET(Column column, run_column(text));
        named.push_back(std::move(column));
      }
      return run_window(tx, search, named);
    });
  }
  static std::vector<std::string> names(const Page<TableRow>& page) {
    std::vector<std::string> out;
    for (const TableRow& row : page.rows) out.push_back(row.info.name);
    return out;
  }
};

Metric point(std::string key, double value, int64_t step = 0, int64_t at_ms = 1) {
  return {.key = std::move(key), .value = value, .at_ms = at_ms, .step = step};
}

TEST_P(RunTableTest, TheLeastAndTheGreatestAreKeptWhateverTheOrderOfLogging) {
  const auto exp = experiment("e");
  const auto run = new_run(exp, "r", 1, {point("m", 3, 3), point("m", 1, 1), point("m", kNan, 2)});
  log(run, {point("m", 9, 0), point("m", -4, 1)});  // older points: the last value stays
  log(run, {point("n", kNan)});
  const auto page =
      window({.experiment_ids = {exp}}, {"metrics.m", "min(metrics.m)", "max(metrics.m)", "min(metrics.n)"});
  ASSERT_EQ(page.rows.size(), 1U);
  const auto& cells = page.rows[0].cells;
  EXPECT_EQ(cells[0].number, 3);
  EXPECT_EQ(cells[1].number, -4);
  EXPECT_EQ(cells[2].number, 9);
  EXPECT_EQ(cells[3].kind, Cell::Kind::kNone);
}

TEST_P(RunTableTest, WalksOfSeveralExperimentsAreMerged) {
  const auto a = experiment("a"), b = experiment("b");
  new_run(a, "a1", 1, {point("m", 1)});
  new_run(b, "b3", 2, {point("m", 3)});
  new_run(a, "a2", 3, {point("m", 2)});
  new_run(b, "nan", 4, {point("m", kNan)});
  new_run(a, "none", 5);
  RunSearch search{.experiment_ids = {a, b}, .max_results = 2, .order_by = {"metrics.m DESC"}};
  auto page = window(search);
  EXPECT_THAT(names(page), ElementsAre("b3", "a2"));
  search.page_token = page.next_token;
  page = window(search);
  EXPECT_THAT(names(page), ElementsAre("a1", "nan"));
  search.page_token = page.next_token;
  page = window(search);
  EXPECT_THAT(names(page), ElementsAre("none"));
  EXPECT_EQ(page.next_token, "");
  search.page_token.clear();
  search.offset = 3;
  EXPECT_THAT(names(window(search)), ElementsAre("nan", "none"));
  search = {.experiment_ids = {a, b}, .max_results = 3};
  EXPECT_THAT(names(window(search)), ElementsAre("none", "nan", "a2"));
  search.order_by = {"max(metrics.m) ASC"};
  EXPECT_THAT(names(window(search)), ElementsAre("a1", "a2", "b3"));
}

TEST_P(RunTableTest, ASnapshotHoldsWhileRunsCome) {
  const auto exp = experiment("e");
  new_run(exp, "old", 1);
  const int64_t until = ok([](store::Tx& tx) -> base::Result<int64_t> { return newest_run_row(tx); });
  new_run(exp, "new", 2);
  EXPECT_THAT(names(window({.experiment_ids = {exp}, .until_row = until})), ElementsAre("old"));
  const auto count = [&](RunSearch search) {
    return ok([&](store::Tx& tx) { return count_runs(tx, search, kMaxCounted); });
  };
  EXPECT_EQ(count({.experiment_ids = {exp}}), 2);
  EXPECT_EQ(count({.experiment_ids = {exp}, .until_row = until}), 1);
  EXPECT_EQ(count({.experiment_ids = {exp}, .above_row = until}), 1);
  EXPECT_EQ(count({.experiment_ids = {exp}, .filter = "run_name = 'old'"}), 1);
}

TEST_P(RunTableTest, NamesAndValuesAreFoundByAPart) {
  const auto exp = experiment("e"), other = experiment("o");
  new_run(exp, "r", 1, {point("val_loss", 1), point("Loss_100", 1)}, {{"opt", "adam"}, {"lr", "0.1"}});
  new_run(other, "r", 1, {point("elsewhere_loss", 1)});
  const auto keys = [&](Field field, std::string part) {
    return ok(
        [&](store::Tx& tx) { return list_keys(tx, {.experiment_ids = {exp}, .field = field, .contains = part}); });
  };
  EXPECT_THAT(keys(Field::kMetric, "LOSS"), ElementsAre("Loss_100", "val_loss"));
  EXPECT_THAT(keys(Field::kMetric, "s_1"), ElementsAre("Loss_100"));
  EXPECT_THAT(keys(Field::kParam, ""), ElementsAre("lr", "opt"));
  EXPECT_THAT(ok([&](store::Tx& tx) {
                return list_values(tx, {.experiment_ids = {exp}, .field = Field::kParam, .contains = "D"}, "opt");
              }),
              ElementsAre("adam"));
}

TEST_P(RunTableTest, ACurveKeepsItsOutliersAndItsGaps) {
  const auto exp = experiment("e");
  std::vector<Metric> points;
  for (int i = 0; i < 1000; ++i) points.push_back(point("m", i == 617 ? 50 : i == 200 ? kNan : 1, i, i));
  const auto run = new_run(exp, "r", 1, points);
  const auto drawn = [&](int64_t pixels, std::optional<int64_t> from = {}, std::optional<int64_t> to = {}) {
    auto found = ok([&](store::Tx& tx) {
      return curves(tx, {.run_ids = {run, "0"}, .keys = {"m", "absent"}, .pixels = pixels, .from = from, .to = to});
    });
    EXPECT_EQ(found.size(), 1U);
    return found.at(0);
  };
  const Curve small = drawn(20);
  EXPECT_TRUE(small.sampled);
  EXPECT_LE(small.points.size(), 40U);
  EXPECT_EQ(small.total, 1000);
  EXPECT_EQ(std::ranges::count_if(small.points, [](const CurvePoint& p) { return p.step == 617 && p.value == 50; }), 1);
  const Curve part = drawn(20, 195, 205);
  EXPECT_FALSE(part.sampled);
  EXPECT_EQ(part.points.size(), 11U);
  EXPECT_TRUE(std::isnan(part.points[5].value));
  EXPECT_EQ(part.nans, 1);
}

INSTANTIATE_TEST_SUITE_P(Engines, RunTableTest, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace track
