// Searches over columns in memory against the same searches in SQL, while runs change in every way there is.
#include "track/column_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>

#include "blob/migrations.h"
#include "core/migrations.h"
#include "store/kept.h"
#include "store/testing.h"
#include "track/keys.h"
#include "track/migrations.h"
#include "track/purge.h"
#include "track/run_acts.h"
#include "track/search.h"

namespace track {
namespace {

using base::Result;

struct Answer {
  std::vector<int64_t> rows;
  std::string next_token;
  bool operator==(const Answer&) const = default;
};

class ColumnSearchTest : public store::testing::EngineTest {
 protected:
  ColumnSearchTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  // In a write nothing is kept in memory: the database answers.
  Answer by_sql(const RunSearch& search) {
    auto page = write([&](store::Tx& tx) { return search_run_infos(tx, search); });
    EXPECT_TRUE(page) << search.filter << ": " << page.error().message;
    Answer answer;
    if (!page) return answer;
    for (const RunInfo& info : page->rows) answer.rows.push_back(info.row);
    answer.next_token = page->next_token;
    return answer;
  }

  Result<ColumnPage> ask_columns(store::Tx& tx, const RunSearch& search, const PageToken& token, int64_t* count) {
    TRY_SET(const Filter filter, parse_filter(search.filter, run_dialect()));
    std::vector<Order> orders;
    for (const std::string& clause : search.order_by) {
      TRY_SET(const Order order, parse_order(clause, run_dialect()));
      orders.push_back(order);
    }
    const ColumnQuery query{.filter = filter,
                            .order = orders,
                            .view = search.view,
                            .until_row = search.until_row,
                            .above_row = search.above_row,
                            .offset = search.page_token.empty() ? search.offset : token.offset,
                            .limit = search.max_results,
                            .after = token.after,
                            .key = [&](std::string_view name) { return find_key(tx, name).value_or(-1); }};
    const auto keys = needed_columns(query);
    EXPECT_TRUE(keys);
    std::vector<RunSnapshotPtr> snapshots;
    for (const std::string& id : search.experiment_ids) {
      TRY_SET(const RunSnapshotPtr snapshot,
              store::kept_beside(tx)->of<RunColumns>().get(tx, std::stoll(id), *keys, true));
      EXPECT_TRUE(snapshot);
      snapshots.push_back(snapshot);
    }
    *count = count_columns(snapshots, query);
    return search_columns(snapshots, query);
  }

  // One page by both; the token's values must be the same, so that pages may come from either.
  void compare(RunSearch search) {
    const std::string what = search.filter + " | " + ::testing::PrintToString(search.order_by);
    for (int pages = 0; pages < 4; ++pages) {
      const Answer expected = by_sql(search);
      const std::string text = hashed(search);
      int64_t count = 0;
      auto page = read([&](store::Tx& tx) -> Result<ColumnPage> {
        TRY_SET(const PageToken token, decode_page_token(text, search.page_token));
        return ask_columns(tx, search, token, &count);
      });
      ASSERT_TRUE(page) << what << ": " << page.error().message;
      ASSERT_EQ(page->rows, expected.rows) << what << ", page " << pages;
      ASSERT_EQ(page->next.empty() ? "" : encode_page_token(text, page->next), expected.next_token) << what;
      const auto counted = write([&](store::Tx& tx) { return count_runs(tx, search, 1'000'000); });
      ASSERT_TRUE(counted);
      if (!search.above_row) ASSERT_EQ(count, *counted) << what;
      if (expected.next_token.empty()) return;
      search.page_token = expected.next_token;
    }
  }
  static std::string hashed(const RunSearch& search) {  // what a token belongs to, as search_runs.cc has it
    std::string text = "runs\n" + search.filter;
    for (const std::string& clause : search.order_by) text += "\n" + clause;
    for (const std::string& id : search.experiment_ids) text += "\n" + id;
    return text;
  }

  template <class T>
  T one_of(std::initializer_list<T> values) {
    return *(values.begin() + static_cast<ptrdiff_t>(chance_() % values.size()));
  }
  bool one_in(unsigned n) { return chance_() % n == 0; }

  std::string text_value() {
    return one_of<std::string>({"adam", "sgd", "Adam", "lämb", "a", "ab", "", "x%y", "x_y", "[a]*?", "adam-w", "ADAM",
                                std::string(120, 'q') + "1", std::string(120, 'q') + "2"});
  }
  double number() {
    return one_of<double>({0, 1, -1, 0.5, 0.25, 1e300, std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()});
  }

  void change_something() {
    if (runs_.empty() || one_in(3)) return add_run();
    const std::string id = runs_[chance_() % runs_.size()];
    switch (chance_() % 10) {
      // Whatever is refused changes nothing: a run that was purged, a deleted one, a parameter that has a value.
      case 0: return (void)write([&](store::Tx& tx) { return delete_run(tx, id); });
      case 1: return (void)write([&](store::Tx& tx) { return restore_run(tx, id); });
      case 2: {
        RunUpdate update{.run_id = id, .status = {}, .end_ms = {}, .name = {}};
        if (one_in(2)) update.status = one_of({RunStatus::kFinished, RunStatus::kFailed, RunStatus::kKilled});
        if (one_in(2)) update.end_ms = static_cast<int64_t>(chance_() % 5);
        if (one_in(3)) update.name = text_value();
        return (void)write([&](store::Tx& tx) { return update_run(tx, update); });
      }
      case 3: return (void)write([&](store::Tx& tx) { return delete_run_tag(tx, id, kRunNameTag); });
      case 4: return (void)write([&](store::Tx& tx) { return delete_run_tag(tx, id, "team"); });
      case 5: {
        const std::string to = one_of<std::string>({"0", other_});
        return (void)write([&](store::Tx& tx) { return move_runs(tx, {{id}, to}); });
      }
      case 6: {
        if (!one_in(4)) return;
        const std::string exp = one_of<std::string>({"0", other_});
        (void)write([&](store::Tx& tx) { return delete_experiment(tx, exp); });
        return (void)write([&](store::Tx& tx) { return restore_experiment(tx, exp); });
      }
      default: return log(id);
    }
  }

  void add_run() {
    NewRun run{.experiment_id = one_of<std::string>({"0", "0", other_}),
               .user_id = text_value(),
               .name = "",
               .start_ms = static_cast<int64_t>(chance_() % 20),
               .tags = {}};
    if (one_in(2)) run.name = text_value();
    const auto made = write([&](store::Tx& tx) { return create_run(tx, run); });
    if (!made) return;
    runs_.push_back(made->info.run_id);
    log(runs_.back());
  }

  void log(const std::string& id) {
    Batch batch{.run_id = id, .metrics = {}, .params = {}, .tags = {}};
    for (int i = 0; i < 2; ++i) {
      batch.metrics.push_back({.key = one_of<std::string>({"loss", "acc"}),
                               .value = number(),
                               .at_ms = static_cast<int64_t>(chance_() % 9),
                               .step = static_cast<int64_t>(chance_() % 9)});
    }
    if (one_in(2)) batch.params.push_back({one_of<std::string>({"opt", "start_time"}), text_value()});
    if (one_in(2)) batch.tags.push_back({"team", text_value()});
    (void)write([&](store::Tx& tx) { return log_batch(tx, batch); });
  }

  std::string quoted(std::string text) { return "'" + text + "'"; }
  std::string term() {
    const std::string order = one_of<std::string>({"=", "!=", "<", "<=", ">", ">="});
    const std::string same = one_of<std::string>({"=", "!=", "LIKE", "ILIKE"});
    const std::string pattern = one_of<std::string>(
        {"a%", "%a", "%d%", "_d_m", "%", "", "adam", "%x\\_y", "%_%", "l_mb", "a%m", "[a]%", "A%", "x%_"});
    const std::string text = quoted(same == "=" || same == "!=" ? text_value() : pattern);
    const std::string value = one_of<std::string>({"0", "0.5", "1", "-1", "1e300"});
    switch (chance_() % 12) {
      case 0: return "metrics.loss " + order + " " + value;
      case 1: return "metrics.acc " + order + " " + value;
      case 2: return one_of<std::string>({"min", "max", "best"}) + "(metrics.loss) " + order + " " + value;
      case 3: return "metrics.nobody " + order + " 1";
      case 4: return "params.opt " + same + " " + text;
      case 5: return "tags.team " + same + " " + text;
      case 6:
        return one_of<std::string>({"params.opt", "tags.team", "tags.nobody", "tags.mlflow.runName"}) + " IS " +
               one_of<std::string>({"", "NOT "}) + "NULL";
      case 7: return "attributes.run_name " + same + " " + text;
      case 8: return "attributes.status " + same + " " + quoted(one_of<std::string>({"FINISHED", "RUNNING", "F%"}));
      case 9:
        return one_of<std::string>({"attributes.start_time ", "attributes.end_time "}) + order + " " +
               one_of<std::string>({"0", "3", "7", "2.5"});
      case 10: return "attributes.run_id IN (" + quoted(runs_[chance_() % runs_.size()]) + ", 'nobody')";
      default: return "attributes.user_id " + same + " " + text;
    }
  }
  std::string filter(int depth) {
    if (depth == 0 || one_in(3)) return term();
    if (one_in(4)) return "NOT (" + filter(depth - 1) + ")";
    return "(" + filter(depth - 1) + one_of<std::string>({" AND ", " OR "}) + filter(depth - 1) + ")";
  }
  RunSearch search() {
    RunSearch out{.experiment_ids = {"0"}, .filter = one_in(5) ? "" : filter(3), .order_by = {}, .page_token = ""};
    if (one_in(4)) out.experiment_ids.push_back(other_);
    out.view = one_of({View::kActive, View::kActive, View::kDeleted, View::kAll});
    out.max_results = one_of<int64_t>({1, 7, 100});
    std::set<std::string> fields;
    for (unsigned keys = chance_() % 3; fields.size() < keys;) {
      fields.insert(one_of<std::string>({"metrics.loss", "metrics.acc", "metrics.nobody", "min(metrics.loss)",
                                         "max(metrics.acc)", "params.opt", "params.start_time", "tags.team",
                                         "tags.mlflow.runName", "attributes.start_time", "attributes.end_time",
                                         "attributes.run_name", "attributes.run_id", "attributes.status",
                                         "attributes.user_id", "attributes.artifact_uri"}));
    }
    for (const std::string& field : fields) out.order_by.push_back(field + one_of<std::string>({" ASC", " DESC"}));
    if (one_in(5)) out.offset = static_cast<int64_t>(chance_() % 30);
    if (one_in(8)) out.until_row = static_cast<int64_t>(chance_() % 200);
    return out;
  }

  std::mt19937 chance_{7};
  std::vector<std::string> runs_;
  std::string other_;
};
INSTANTIATE_TEST_SUITE_P(Engines, ColumnSearchTest, store::testing::engines(), store::testing::engine_name);

TEST_P(ColumnSearchTest, AnswersAsTheDatabaseDoesWhateverHasChanged) {
  done([](store::Tx& tx) { return ensure_default_experiments(tx); });
  other_ = std::to_string(ok([](store::Tx& tx) { return create_experiment(tx, {.name = "other", .tags = {}}); }));
  for (int i = 0; i < 150; ++i) add_run();
  const int rounds = GetParam() == store::Backend::kSqlite ? 100 : 15;  // PostgreSQL answers the plain question slowly
  for (int round = 0; round < rounds && !HasFatalFailure(); ++round) {
    for (int i = 0; i < 4; ++i) change_something();
    for (int i = 0; i < 3; ++i) compare(search());
    if (round % 12 == 11) {  // deleted ones are removed for good
      done([](store::Tx& tx) {
        return purge_step(tx, {.deleted_before_ms = now_ms(tx) + 1, .run_ids = {}, .experiment_ids = {}});
      });
    }
  }
}

TEST_P(ColumnSearchTest, AReaderOfAnOlderStateIsNotGivenALaterOne) {
  done([](store::Tx& tx) { return ensure_default_experiments(tx); });
  add_run();
  const ColumnKey loss{ColumnKind::kMetric, 1};
  auto seen = read([&](store::Tx& older) -> Result<size_t> {
    TRY_SET(const core::EventView view, core::event_view(older));
    (void)view;  // the transaction's state is fixed from here on
    for (int i = 0; i < 3; ++i) add_run();
    const auto later =
        read([&](store::Tx& tx) { return store::kept_beside(tx)->of<RunColumns>().get(tx, 0, {&loss, 1}, true); });
    EXPECT_TRUE(later && *later);
    TRY_SET(const RunSnapshotPtr mine, store::kept_beside(older)->of<RunColumns>().get(older, 0, {&loss, 1}, true));
    return mine ? mine->size : 0;
  });
  ASSERT_TRUE(seen);
  EXPECT_EQ(*seen, 0u);  // the database answers this reader
}

TEST(LikePatterns, MatchAsSqlDoes) {
  const auto like = [](std::string_view text, std::string_view pattern) {
    return LikePattern(pattern, false).matches(text);
  };
  EXPECT_TRUE(like("adam", "adam"));
  EXPECT_FALSE(like("adam", "ada"));
  EXPECT_TRUE(like("adam", "a%m"));
  EXPECT_TRUE(like("adam", "%da%"));
  EXPECT_FALSE(like("adam", "%D%"));
  EXPECT_TRUE(like("l\xC3\xA4mb", "l_mb"));  // one character, two bytes
  EXPECT_TRUE(like("abcabd", "%ab_"));
  EXPECT_TRUE(like("", "%"));
  EXPECT_FALSE(like("", "_"));
  EXPECT_TRUE(like("a*b", "a*%"));
  EXPECT_TRUE(LikePattern("%DA_", true).matches("Adam"));
}

}  // namespace
}  // namespace track
