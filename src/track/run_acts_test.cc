// Moving, copying, losing and removing runs for good; the tree of experiments; the default experiment; both engines.
#include "track/run_acts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "blob/blob.h"
#include "blob/migrations.h"
#include "core/migrations.h"
#include "core/project.h"
#include "store/testing.h"
#include "track/lost.h"
#include "track/migrations.h"
#include "track/purge.h"
#include "track/search.h"

namespace track {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunActsTest : public store::testing::EngineTest {
 protected:
  RunActsTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  std::string experiment(const std::string& name) {
    return std::to_string(ok([&](store::Tx& tx) { return create_experiment(tx, {.name = name}); }));
  }
  std::string new_run(const std::string& exp, const std::string& name) {
    return ok([&](store::Tx& tx) { return create_run(tx, {.experiment_id = exp, .name = name, .start_ms = 1}); })
        .info.run_id;
  }
  // A run with one of everything, ended.
  std::string full_run(const std::string& exp, const std::string& name) {
    const std::string id = new_run(exp, name);
    done([&](store::Tx& tx) {
      return log_batch(tx, {.run_id = id,
                            .metrics = {{.key = "loss", .value = 3, .at_ms = 1, .step = 1},
                                        {.key = "loss", .value = 1, .at_ms = 2, .step = 2},
                                        {.key = "loss", .value = 2, .at_ms = 3, .step = 3}},
                            .params = {{"lr", "0.1"}},
                            .tags = {{"team", "red"}}});
    });
    done([&](store::Tx& tx) {
      const Dataset data{
          .name = "d", .digest = "1", .source_type = "local", .source = "{}", .schema = {}, .profile = {}};
      return log_inputs(tx, {.run_id = id, .datasets = {{data, {{"mlflow.data.context", "train"}}}}, .models = {}});
    });
    done([&](store::Tx& tx) {
      blob::Artifact file;
      file.root = "mlflow/" + exp + "/" + id + "/artifacts";
      file.path = "a/b.txt";
      file.size = 5;
      file.digest = base::sha256("hello");
      return blob::put_artifact(tx, file);
    });
    done([&](store::Tx& tx) {
      return update_run(tx, {.run_id = id, .status = RunStatus::kFinished, .end_ms = 9, .name = {}});
    });
    return id;
  }
  std::vector<std::string> find(const std::string& exp, const std::string& filter) {
    auto page = read([&](store::Tx& tx) { return search_runs(tx, {.experiment_ids = {exp}, .filter = filter}); });
    EXPECT_TRUE(page) << page.error().message;
    std::vector<std::string> names;
    if (page)
      for (const track::Run& run : page->rows) names.push_back(run.info.name);
    return names;
  }
  track::Run get(const std::string& id) {
    return ok([&](store::Tx& tx) { return get_run(tx, id); });
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, RunActsTest, store::testing::engines(), store::testing::engine_name);

TEST_P(RunActsTest, AMovedRunIsFoundByAllItHoldsInItsNewExperimentOnly) {
  const std::string from = experiment("from"), to = experiment("to");
  const std::string id = full_run(from, "one");
  EXPECT_EQ(ok([&](store::Tx& tx) { return move_runs(tx, {.run_ids = {id}, .experiment_id = to}); }), 1);
  for (const std::string filter : {"metrics.loss = 2", "params.lr = '0.1'", "tags.team = 'red'", "dataset.name = 'd'",
                                   "dataset.context = 'train'", "run_name = 'one'", ""}) {
    EXPECT_THAT(find(to, filter), ElementsAre("one")) << filter;
    EXPECT_THAT(find(from, filter), IsEmpty()) << filter;
  }
  const track::Run run = get(id);
  EXPECT_EQ(std::to_string(run.info.experiment), to);
  EXPECT_EQ(run.info.artifact_uri, "mlflow-artifacts:/" + from + "/" + id + "/artifacts");
  EXPECT_EQ(ok([&](store::Tx& tx) { return search_datasets(tx, {to}); }).size(), 1u);
  EXPECT_EQ(ok([&](store::Tx& tx) { return move_runs(tx, {.run_ids = {id}, .experiment_id = to}); }), 0);
}

TEST_P(RunActsTest, AnExperimentThatIsNamedTwiceIsSearchedOnce) {
  const std::string exp = experiment("twice");
  full_run(exp, "one");
  for (const std::string order : {"", "metrics.loss", "start_time ASC", "params.lr"}) {
    const auto page = ok([&](store::Tx& tx) {
      RunSearch search{.experiment_ids = {exp, "0", exp}, .filter = ""};
      if (!order.empty()) search.order_by = {order};
      return search_runs(tx, search);
    });
    EXPECT_EQ(page.rows.size(), 1u) << order;
  }
}

TEST_P(RunActsTest, ARunningRunDoesNotMove) {
  const std::string from = experiment("from"), to = experiment("to");
  const std::string id = new_run(from, "one");
  const auto error = refused([&](store::Tx& tx) { return move_runs(tx, {.run_ids = {id}, .experiment_id = to}); });
  EXPECT_EQ(error.code, Code::kConflict);
  EXPECT_THAT(error.message, HasSubstr("RUNNING"));
}

TEST_P(RunActsTest, ACopyHoldsAllThatTheRunHolds) {
  const std::string from = experiment("from"), to = experiment("to");
  const std::string parent = full_run(from, "parent"), child = full_run(from, "child");
  done([&](store::Tx& tx) {
    return log_batch(tx, {.run_id = child, .metrics = {}, .params = {}, .tags = {{"mlflow.parentRunId", parent}}});
  });
  const auto copies =
      ok([&](store::Tx& tx) { return copy_runs(tx, {.run_ids = {child, parent}, .experiment_id = to}); });
  ASSERT_EQ(copies.size(), 2u);
  const track::Run copy = get(copies[0].to), original = get(child);
  EXPECT_NE(copy.info.run_id, child);
  EXPECT_EQ(copy.info.name, "child");
  EXPECT_EQ(copy.info.status, RunStatus::kFinished);
  EXPECT_EQ(copy.info.end_ms, 9);
  EXPECT_EQ(copy.metrics.size(), 1u);
  EXPECT_EQ(copy.datasets.size(), 1u);
  const auto parent_tag = std::ranges::find(copy.tags, "mlflow.parentRunId", &Tag::key);
  ASSERT_NE(parent_tag, copy.tags.end());
  EXPECT_EQ(parent_tag->value, copies[1].to);
  EXPECT_THAT(find(to, "min(metrics.loss) = 1 AND max(metrics.loss) = 3 AND metrics.loss = 2"),
              testing::UnorderedElementsAre("parent", "child"));
  const auto history = ok([&](store::Tx& tx) {
    return metric_history(tx, {.run_id = copies[0].to, .key = "loss", .max_results = {}, .page_token = ""});
  });
  EXPECT_EQ(history.rows.size(), 3u);
  EXPECT_EQ(ok([&](store::Tx& tx) -> base::Result<size_t> {
              return blob::list_artifacts(tx, "mlflow/" + to + "/" + copies[0].to + "/artifacts").size();
            }),
            1u);
  EXPECT_EQ(original.info.experiment, get(child).info.experiment);
}

TEST_P(RunActsTest, WhatWasDeletedGoesForGoodAfterItsGrace) {
  const std::string exp = experiment("gone");
  const std::string old = full_run(exp, "old"), kept = full_run("0", "kept"), newest = full_run("0", "newest");
  done([&](store::Tx& tx) { return delete_experiment(tx, exp); });
  done([&](store::Tx& tx) { return delete_run(tx, kept); });
  const int64_t deleted_ms = ok([&](store::Tx& tx) -> base::Result<int64_t> {
    return tx.query_i64("SELECT deleted_ms FROM track_runs WHERE run_id = ?", old).value_or(0);
  });
  const auto early = ok([&](store::Tx& tx) {
    return purge_step(tx, {.deleted_before_ms = deleted_ms - 1, .run_ids = {}, .experiment_ids = {}});
  });
  EXPECT_EQ(early.runs + early.experiments, 0);
  const auto named = refused([&](store::Tx& tx) {
    return check_purge(tx, {.deleted_before_ms = deleted_ms, .run_ids = {newest}, .experiment_ids = {}});
  });
  EXPECT_THAT(named.message, HasSubstr("active"));
  const auto purged = ok([&](store::Tx& tx) {
    return purge_step(tx, {.deleted_before_ms = deleted_ms + 60'000, .run_ids = {}, .experiment_ids = {}});
  });
  EXPECT_EQ(purged.runs, 2);
  EXPECT_EQ(purged.experiments, 1);
  EXPECT_EQ(purged.files, 2);
  EXPECT_FALSE(purged.more);
  EXPECT_EQ(refused([&](store::Tx& tx) { return get_run(tx, old); }).code, Code::kNotFound);
  EXPECT_EQ(refused([&](store::Tx& tx) { return get_experiment(tx, exp); }).code, Code::kNotFound);
  for (const std::string table : {"track_params", "track_tags", "track_latest_metrics", "track_inputs"}) {
    EXPECT_EQ(ok([&](store::Tx& tx) -> base::Result<int64_t> {
                return tx.query_i64("SELECT COUNT(DISTINCT run) FROM " + table).value_or(0);
              }),
              1)
        << table;
  }
  EXPECT_EQ(get(newest).metrics.size(), 1u);
}

TEST_P(RunActsTest, ASilentRunIsLostAndFoundAgain) {
  const std::string id = new_run("0", "one"), ended = full_run("0", "two");
  const auto running = ok([&](store::Tx& tx) { return running_runs(tx, 0, 100); });
  ASSERT_EQ(running.size(), 1u);
  EXPECT_EQ(running[0].run_id, id);
  done([&](store::Tx& tx) { return mark_lost(tx, id); });
  done([&](store::Tx& tx) { return mark_lost(tx, ended); });
  EXPECT_EQ(get(id).info.status, RunStatus::kFailed);
  EXPECT_EQ(get(ended).info.status, RunStatus::kFinished);
  EXPECT_EQ(ok([&](store::Tx& tx) { return liveness(tx, id); }), Liveness::kLost);
  EXPECT_THAT(find("0", "tags.`lathe.lost` IS NOT NULL"), ElementsAre("one"));
  done([&](store::Tx& tx) { return mark_found(tx, id); });
  done([&](store::Tx& tx) { return mark_found(tx, ended); });
  EXPECT_EQ(get(id).info.status, RunStatus::kRunning);
  EXPECT_FALSE(get(id).info.end_ms);
  EXPECT_EQ(get(ended).info.status, RunStatus::kFinished);
}

TEST_P(RunActsTest, SlashesInNamesMakeFolders) {
  for (const char* name : {"team/a", "team/deep/b", "team/deep/c", "team0", "teamwork", "top", "/odd", "odd/"}) {
    experiment(name);
  }
  const auto top = ok([](store::Tx& tx) { return experiment_folder(tx, ""); });
  ASSERT_EQ(top.folders.size(), 1u);
  EXPECT_EQ(top.folders[0].name, "team");
  EXPECT_EQ(top.folders[0].experiments, 3);
  std::vector<std::string> names;
  for (const auto& one : top.experiments) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("/odd", "Default", "odd/", "team0", "teamwork", "top"));
  const auto team = ok([](store::Tx& tx) { return experiment_folder(tx, "team"); });
  ASSERT_EQ(team.folders.size(), 1u);
  EXPECT_EQ(team.folders[0].name, "deep");
  ASSERT_EQ(team.experiments.size(), 1u);
  EXPECT_EQ(team.experiments[0].name, "team/a");
}

TEST_P(RunActsTest, EveryProjectHasADefaultExperiment) {
  const int64_t project = ok([](store::Tx& tx) { return core::ensure_project(tx, "other"); }).id;
  done([](store::Tx& tx) { return ensure_default_experiments(tx, "s3://bucket/x"); });
  done([](store::Tx& tx) { return ensure_default_experiments(tx, "s3://bucket/x"); });
  EXPECT_EQ(ok([](store::Tx& tx) { return get_experiment(tx, "0"); }).artifact_location, "s3://bucket/x/0");
  const auto made = ok([&](store::Tx& tx) -> base::Result<int64_t> {
    return tx
        .query_i64("SELECT COUNT(*) FROM track_experiments WHERE project = ? AND name = 'Default' AND id > 0", project)
        .value_or(0);
  });
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace track
