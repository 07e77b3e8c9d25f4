// Experiments, runs, metrics, logged models and the registry on both engines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "base/hash.h"
#include "blob/migrations.h"
#include "core/event.h"
#include "core/lineage.h"
#include "core/migrations.h"
#include "store/testing.h"
#include "track/migrations.h"
#include "track/search.h"

namespace track {
namespace {

using base::Code;
using base::Result;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TrackTest : public store::testing::EngineTest {
 protected:
  TrackTest() : EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  std::string new_run(std::string name = "", int64_t start_ms = 0, Tags tags = {}) {
    return ok([&](store::Tx& tx) { return create_run(tx, {.name = name, .start_ms = start_ms, .tags = tags}); })
        .info.run_id;
  }
  void log(const std::string& run, std::vector<Metric> metrics, Tags params = {}, Tags tags = {}) {
    done([&](store::Tx& tx) { return log_batch(tx, {run, metrics, params, tags}); });
  }
  track::Run run(const std::string& id) {
    return ok([&](store::Tx& tx) { return get_run(tx, id); });
  }
  // Names of the runs that a search finds, page by page.
  std::vector<std::string> find(std::string filter, std::vector<std::string> order = {}, int64_t page_size = 1000) {
    std::vector<std::string> names;
    RunSearch search{.experiment_ids = {"0"}, .filter = filter, .max_results = page_size, .order_by = order};
    for (int pages = 0; pages < 100; ++pages) {
      auto page = read([&](store::Tx& tx) { return search_runs(tx, search); });
      EXPECT_TRUE(page) << filter << ": " << page.error().message;
      if (!page) return names;
      for (const track::Run& r : page->rows) names.push_back(r.info.name);
      EXPECT_LE(static_cast<int64_t>(page->rows.size()), page_size);
      if (page->next_token.empty()) return names;
      search.page_token = page->next_token;
    }
    ADD_FAILURE() << "the pages never end";
    return names;
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, TrackTest, store::testing::engines(), store::testing::engine_name);

TEST_P(TrackTest, TheDefaultExperimentIsThereFromTheStart) {
  done([](store::Tx& tx) { return ensure_default_experiments(tx); });
  const auto zero = ok([](store::Tx& tx) { return get_experiment(tx, "0"); });
  EXPECT_EQ(zero.name, "Default");
  EXPECT_EQ(zero.artifact_location, "mlflow-artifacts:/0");
  EXPECT_GT(zero.created_ms, 0);
}

TEST_P(TrackTest, AnExperimentsNameStaysTakenAndItsRunsFollowIt) {
  const int64_t id = ok([](store::Tx& tx) { return create_experiment(tx, {.name = "one", .tags = {{"a", "b"}}}); });
  const std::string text = std::to_string(id);
  const std::string run_id =
      ok([&](store::Tx& tx) { return create_run(tx, {.experiment_id = text, .tags = {}}); }).info.run_id;
  done([&](store::Tx& tx) { return delete_experiment(tx, text); });
  EXPECT_TRUE(run(run_id).info.deleted);
  EXPECT_EQ(refused([](store::Tx& tx) { return create_experiment(tx, {.name = "one"}); }).code, Code::kAlreadyExists);
  EXPECT_THAT(refused([&](store::Tx& tx) { return create_run(tx, {.experiment_id = text, .tags = {}}); }).message,
              HasSubstr("must be in the 'active' state"));
  EXPECT_THAT(refused([&](store::Tx& tx) { return log_batch(tx, {run_id, {{.key = "m"}}, {}, {}}); }).message,
              HasSubstr("must be in the 'active' state"));
  done([&](store::Tx& tx) { return restore_experiment(tx, text); });
  EXPECT_FALSE(run(run_id).info.deleted);
  EXPECT_EQ(ok([&](store::Tx& tx) { return get_experiment_by_name(tx, "one"); }).tags.at(0).value, "b");
}

TEST_P(TrackTest, ARunGetsANameAndRenamingIsATag) {
  const std::string id = new_run();
  EXPECT_THAT(run(id).info.name, ::testing::MatchesRegex("[a-z]+-[a-z]+-[0-9]+"));
  log(id, {}, {}, {{std::string(kRunNameTag), "renamed"}, {"team", "x"}});
  EXPECT_EQ(run(id).info.name, "renamed");
  done([&](store::Tx& tx) { return delete_run_tag(tx, id, kRunNameTag); });
  EXPECT_EQ(run(id).tags.size(), 1u);
  EXPECT_EQ(run(id).info.name, "renamed");
  EXPECT_EQ(refused([&](store::Tx& tx) { return delete_run_tag(tx, id, "absent"); }).code, Code::kNotFound);
  EXPECT_THAT(refused([](store::Tx& tx) {
                return create_run(tx, {.name = "a", .tags = {{std::string(kRunNameTag), "b"}}});
              }).message,
              HasSubstr("different values"));
}

TEST_P(TrackTest, ParamsAreWrittenOnce) {
  const std::string id = new_run();
  log(id, {}, {{"lr", "0.1"}});
  log(id, {}, {{"lr", "0.1"}});
  EXPECT_THAT(refused([&](store::Tx& tx) { return log_batch(tx, {id, {}, {{"lr", "0.2"}}, {}}); }).message,
              HasSubstr("Changing param values is not allowed"));
  EXPECT_THAT(refused([&](store::Tx& tx) { return log_batch(tx, {id, {}, {{"a", "1"}, {"a", "1"}}, {}}); }).message,
              HasSubstr("Duplicate parameter keys"));
  log(id, {}, {{"long", std::string(7000, 'x')}});
  for (const Tag& param : run(id).params) {
    if (param.key == "long") EXPECT_EQ(param.value.size(), 6000u);
  }
  for (const std::string bad : {"a!b", "../x", "/x", "a//b", "."}) {
    EXPECT_EQ(refused([&](store::Tx& tx) { return log_batch(tx, {id, {}, {{bad, "1"}}, {}}); }).code, Code::kInvalid)
        << bad;
  }
}

TEST_P(TrackTest, TheLatestMetricIsTheLargestStepTimeAndValue) {
  const std::string id = new_run();
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  log(id, {{.key = "m", .value = 3, .at_ms = 10, .step = 1}, {.key = "m", .value = 2, .at_ms = 5, .step = 2}});
  log(id, {{.key = "m", .value = 1, .at_ms = 5, .step = 2}, {.key = "m", .value = 2, .at_ms = 5, .step = 2}});
  EXPECT_EQ(run(id).metrics.at(0).value, 2);
  log(id, {{.key = "n", .value = nan, .at_ms = 1, .step = 0}, {.key = "i", .value = inf, .at_ms = 1, .step = 0}});
  const track::Run r = run(id);
  EXPECT_TRUE(std::isnan(r.metrics.at(1).value));
  EXPECT_EQ(r.metrics.at(2).value, std::numeric_limits<double>::max());
  const auto history = ok([&](store::Tx& tx) { return metric_history(tx, {.run_id = id, .key = "m"}); });
  ASSERT_EQ(history.rows.size(), 3u);  // the duplicate was dropped
  EXPECT_EQ(history.rows[0].value, 1);
  EXPECT_EQ(history.rows[1].value, 2);
  EXPECT_EQ(history.rows[2].value, 3);
}

TEST_P(TrackTest, HistoryComesInPagesAndInSamples) {
  const std::string id = new_run();
  std::vector<Metric> points;
  for (int i = 0; i < 1000; ++i) points.push_back({.key = "loss", .value = 1.0 / (i + 1), .at_ms = i, .step = i});
  log(id, points);
  HistoryQuery query{.run_id = id, .key = "loss", .max_results = 300, .page_token = ""};
  std::vector<int64_t> steps;
  do {
    const auto page = ok([&](store::Tx& tx) { return metric_history(tx, query); });
    for (const Metric& m : page.rows) steps.push_back(m.step);
    query.page_token = page.next_token;
  } while (!query.page_token.empty());
  ASSERT_EQ(steps.size(), 1000u);
  EXPECT_TRUE(std::ranges::is_sorted(steps));
  const auto sampled = ok([&](store::Tx& tx) {
    return metric_history_sampled(tx,
                                  {.run_ids = {id}, .key = "loss", .start_step = {}, .end_step = {}, .max_points = 10});
  });
  EXPECT_THAT(sampled.size(), ::testing::AllOf(::testing::Ge(9u), ::testing::Le(12u)));
  EXPECT_EQ(sampled.front().step, 0);
  EXPECT_EQ(sampled.back().step, 999);
}

TEST_P(TrackTest, FiltersMeanWhatUpstreamMeans) {
  new_run("a", 10), new_run("b", 20), new_run("c", 30);
  const auto id = [&](const char* name) {
    auto page = read([&](store::Tx& tx) {
      return search_runs(tx, {.experiment_ids = {"0"}, .filter = std::string("run_name = '") + name + "'"});
    });
    return page->rows.at(0).info.run_id;
  };
  log(id("a"), {{.key = "loss", .value = 0.5}}, {{"lr", "0.1"}, {"Opt", "Adam"}}, {{"team", "red"}});
  log(id("b"), {{.key = "loss", .value = std::nan("")}}, {{"lr", "0.2"}}, {{"team", "blue"}, {"q", "it's"}});
  EXPECT_THAT(find(""), ElementsAre("c", "b", "a"));
  EXPECT_THAT(find("metrics.loss < 1"), ElementsAre("a"));
  EXPECT_THAT(find("metrics.loss != 7"), ElementsAre("b", "a"));  // NaN differs from every number
  EXPECT_THAT(find("metrics.loss > -1e9"), ElementsAre("a"));
  EXPECT_THAT(find("params.lr != '0.1'"), ElementsAre("b"));  // c has no lr: an inner join
  EXPECT_THAT(find("params.Opt LIKE 'A%'"), ElementsAre("a"));
  EXPECT_THAT(find("params.Opt LIKE 'a%'"), IsEmpty());
  EXPECT_THAT(find("params.Opt ILIKE 'aD_m'"), ElementsAre("a"));
  EXPECT_THAT(find("tags.team IS NULL"), ElementsAre("c"));
  EXPECT_THAT(find("tags.`team` IS NOT NULL AND params.\"lr\" = '0.2'"), ElementsAre("b"));
  EXPECT_THAT(find("tags.q = \"it's\""), ElementsAre("b"));
  EXPECT_THAT(find("attributes.start_time >= 20"), ElementsAre("c", "b"));
  EXPECT_THAT(find("status = 'RUNNING' and run_name ILIKE 'A'"), ElementsAre("a"));
  EXPECT_THAT(find("tags.mlflow.runName = 'c'"), ElementsAre("c"));
  EXPECT_THAT(find("run_id IN ('" + id("a") + "', '" + id("c") + "')"), ElementsAre("c", "a"));
  EXPECT_THAT(find("metrics.unknown = 1"), IsEmpty());
  EXPECT_THAT(find("NOT tags.team = 'red' AND (params.lr = '0.2' OR run_name = 'c')"), ElementsAre("c", "b"));
}

TEST_P(TrackTest, OrdersPutNanThenMissingLast) {
  for (int i = 0; i < 5; ++i) {
    const std::string id = new_run("r" + std::to_string(i), i);
    if (i < 3) log(id, {{.key = "loss", .value = i == 1 ? std::nan("") : 1.0 * i}}, {{"p", std::to_string(9 - i)}});
  }
  for (const int64_t page : {1, 2, 3, 5, 100}) {
    EXPECT_THAT(find("", {"metrics.loss"}, page), ElementsAre("r0", "r2", "r1", "r4", "r3")) << page;
    EXPECT_THAT(find("", {"metrics.loss DESC"}, page), ElementsAre("r2", "r0", "r1", "r4", "r3")) << page;
    EXPECT_THAT(find("metrics.loss < 5", {"metrics.loss DESC"}, page), ElementsAre("r2", "r0")) << page;
    EXPECT_THAT(find("", {"params.p ASC"}, page), ElementsAre("r2", "r1", "r0", "r4", "r3")) << page;
    EXPECT_THAT(find("", {"start_time ASC"}, page), ElementsAre("r0", "r1", "r2", "r3", "r4")) << page;
    EXPECT_THAT(find("", {"status", "metrics.loss DESC"}, page), ElementsAre("r2", "r0", "r1", "r4", "r3")) << page;
    EXPECT_THAT(find("", {"end_time DESC", "run_name DESC"}, page), ElementsAre("r4", "r3", "r2", "r1", "r0")) << page;
  }
}

TEST_P(TrackTest, UpstreamsOffsetsWorkAndForeignTokensDoNot) {
  for (int i = 0; i < 4; ++i) new_run("r" + std::to_string(i), i);
  RunSearch search{.experiment_ids = {"0"}, .filter = "", .max_results = 2, .order_by = {}};
  search.page_token = base::base64_encode("{\"offset\": 1}");
  auto page = read([&](store::Tx& tx) { return search_runs(tx, search); });
  ASSERT_TRUE(page);
  EXPECT_EQ(page->rows.at(0).info.name, "r2");
  search.page_token = page->next_token;
  search.filter = "metrics.x > 1";
  EXPECT_THAT(refused([&](store::Tx& tx) { return search_runs(tx, search); }).message, HasSubstr("another filter"));
  for (const std::string bad : {"!!!", "bm90IGEgdG9rZW4=", "eyJvZmZzZXQiOiAieCJ9"}) {
    search.page_token = bad;
    EXPECT_EQ(refused([&](store::Tx& tx) { return search_runs(tx, search); }).code, Code::kInvalid) << bad;
  }
}

TEST_P(TrackTest, AModelGoesFromRunToVersionWithItsLineage) {
  base::Context attempt = ctx();
  attempt.actor = {.kind = base::ActorKind::kAttempt, .name = "attempt:at_1", .attempt = "at_1"};
  auto made = store_->write_blocking(attempt, [](store::Tx& tx) -> Result<Model> {
    TRY_SET(const track::Run r, create_run(tx, {.tags = {}}));
    return create_model(
        tx, {.experiment_id = "0", .name = "clf", .source_run_id = r.info.run_id, .params = {}, .tags = {}});
  });
  ASSERT_TRUE(made) << made.error().message;
  const std::string model_id = made->info.model_id;
  EXPECT_THAT(
      ok([](store::Tx& tx) -> Result<std::vector<LoggedModel>> { return logged_models_of_attempt(tx, "at_1"); }),
      IsEmpty());
  done([&](store::Tx& tx) { return finalize_model(tx, model_id, ModelStatus::kReady); });
  const auto ready =
      ok([](store::Tx& tx) -> Result<std::vector<LoggedModel>> { return logged_models_of_attempt(tx, "at_1"); });
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(ready[0].artifact_root, "mlflow/0/models/" + model_id + "/artifacts");

  done([](store::Tx& tx) { return ensure_registered_model(tx, "digits"); });
  const auto version = ok([&](store::Tx& tx) {
    return create_model_version(tx, {.name = "digits", .source = "models:/" + model_id, .model_id = model_id});
  });
  EXPECT_EQ(version.version, 1);
  EXPECT_EQ(version.run_id, made->info.source_run_id);
  EXPECT_EQ(ok([&](store::Tx& tx) { return artifact_root_of(tx, version); }), ready[0].artifact_root);
  done([](store::Tx& tx) { return set_alias(tx, "digits", "champion", 1); });
  EXPECT_EQ(ok([](store::Tx& tx) { return version_by_alias(tx, "digits", "champion"); })->model_id, model_id);
  EXPECT_EQ(ok([&](store::Tx& tx) { return version_of_logged_model(tx, "digits", model_id); })->version, 1);
  const auto edges = ok([](store::Tx& tx) -> Result<std::vector<core::Edge>> {
    return core::trace(tx, {"model_version", "digits/1"}, core::Direction::kUpstream);
  });
  std::vector<std::string> from;
  for (const core::Edge& edge : edges) from.push_back(edge.from.kind + ">" + edge.to.kind);
  EXPECT_THAT(from, ::testing::IsSupersetOf(
                        {"logged_model>model_version", "attempt>logged_model", "run>logged_model", "attempt>run"}));
}

TEST_P(TrackTest, VersionsAreNumberedAndAliasesFollowThem) {
  done([](store::Tx& tx) { return create_registered_model(tx, "m", "words", {{"k", "v"}}); });
  EXPECT_EQ(refused([](store::Tx& tx) { return create_registered_model(tx, "m", {}, {}); }).code, Code::kAlreadyExists);
  const auto add = [&] {
    return ok([](store::Tx& tx) { return create_model_version(tx, {.name = "m", .source = "s3://bucket/x"}); }).version;
  };
  EXPECT_EQ(add(), 1);
  EXPECT_EQ(add(), 2);
  done([](store::Tx& tx) { return transition_stage(tx, "m", 1, "production", false); });
  done([](store::Tx& tx) { return transition_stage(tx, "m", 2, "Production", true); });
  EXPECT_EQ(ok([](store::Tx& tx) { return get_model_version(tx, "m", 1); }).stage, "Archived");
  done([](store::Tx& tx) { return set_alias(tx, "m", "best", 2); });
  for (const std::string bad : {"latest", "V1", "a b", ""}) {
    EXPECT_EQ(refused([&](store::Tx& tx) { return set_alias(tx, "m", bad, 2); }).code, Code::kInvalid) << bad;
  }
  done([](store::Tx& tx) { return rename_registered_model(tx, "m", "n"); });
  EXPECT_EQ(ok([](store::Tx& tx) { return version_by_alias(tx, "n", "best"); })->version, 2);
  done([](store::Tx& tx) { return delete_version(tx, "n", 2); });
  EXPECT_FALSE(ok([](store::Tx& tx) { return version_by_alias(tx, "n", "best"); }));
  EXPECT_EQ(ok([](store::Tx& tx) { return create_model_version(tx, {.name = "n", .source = "s3://x"}); }).version, 3);
  done([](store::Tx& tx) { return delete_registered_model(tx, "n"); });
  EXPECT_EQ(refused([](store::Tx& tx) { return get_registered_model(tx, "n"); }).code, Code::kNotFound);
}

TEST_P(TrackTest, ASourceBelongsToTheRunOrModelThatIsNamed) {
  const std::string id = new_run();
  done([](store::Tx& tx) { return ensure_registered_model(tx, "m"); });
  const auto add = [&](std::string source, std::string run_id, bool strict = true) {
    return write([&](store::Tx& tx) {
      return register_version(tx, {.version = {.name = "m", .source = source, .run_id = run_id}, .strict = strict});
    });
  };
  EXPECT_TRUE(add("runs:/" + id + "/model", id));
  EXPECT_FALSE(add("runs:/" + id + "/model", ""));
  EXPECT_TRUE(add("runs:/" + id + "/model", "", false));
  EXPECT_TRUE(add("mlflow-artifacts:/0/" + id + "/artifacts/model", id));
  for (const std::string bad : {"mlflow-artifacts:/0/other/artifacts/model", "/etc/passwd", "file:///etc",
                                "s3://b/../x", "http://h/%2e%2e/x", "models:/m-00000000000000000000000000000000"}) {
    EXPECT_FALSE(add(bad, id)) << bad;
  }
}

TEST_P(TrackTest, InputsAreUniqueByNameAndDigest) {
  const std::string id = new_run();
  const DatasetInput input{
      {.name = "d", .digest = "1", .source_type = "local", .source = "{}", .schema = {}, .profile = {}},
      {{"mlflow.data.context", "train"}}};
  done([&](store::Tx& tx) { return log_inputs(tx, {id, {input, input}, {}}); });
  done([&](store::Tx& tx) { return log_inputs(tx, {id, {input}, {"m-1"}}); });
  EXPECT_EQ(run(id).datasets.size(), 1u);
  EXPECT_EQ(run(id).model_inputs.size(), 1u);
  EXPECT_EQ(find("datasets.name = 'd' AND dataset.context IN ('train')").size(), 1u);
  EXPECT_THAT(find("datasets.context = 'test'"), IsEmpty());
}

// On PostgreSQL an event is seen once every older transaction of the cluster has ended, other tests' included.
TEST_P(TrackTest, OneRequestLeavesOneEvent) {
  const std::string id = new_run();
  log(id, {{.key = "a"}, {.key = "b"}, {.key = "c"}}, {{"p", "1"}}, {{"t", "1"}});
  std::vector<std::string> kinds;
  for (int tries = 0; kinds.size() < 2 && tries < 1000; ++tries) {
    kinds.clear();
    for (const auto& event : ok([&](store::Tx& tx) { return core::read_events(tx, {}, 100); })) {
      if (event.subject == id) kinds.push_back(event.kind);
    }
    if (kinds.size() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"run.created", "run.logged"}));
}

TEST_P(TrackTest, EveryOtherSearchPagesAndFilters) {
  for (int i = 0; i < 5; ++i) {
    done([&](store::Tx& tx) {
      return create_experiment(tx, {.name = "e" + std::to_string(i), .tags = {{"n", std::to_string(i)}}});
    });
    done([&](store::Tx& tx) {
      return create_registered_model(tx, "m" + std::to_string(i), {}, {{"n", std::to_string(i)}});
    });
    done(
        [&](store::Tx& tx) { return create_model_version(tx, {.name = "m" + std::to_string(i), .source = "s3://x"}); });
    done([&](store::Tx& tx) {
      return create_model(tx,
                          {.experiment_id = "0", .name = "l" + std::to_string(i), .params = {{"n", "1"}}, .tags = {}});
    });
  }
  done([](store::Tx& tx) { return create_registered_model(tx, "prompt", {}, {{std::string(kPromptTag), "true"}}); });
  const auto experiments = ok([](store::Tx& tx) {
    return search_experiments(
        tx, {.filter = "name LIKE 'e%' AND tags.n != '2'", .max_results = 10, .order_by = {"name DESC"}});
  });
  EXPECT_EQ(experiments.rows.size(), 4u);
  EXPECT_EQ(experiments.rows[0].name, "e4");
  RegistrySearch models{.filter = "", .max_results = 2, .order_by = {}, .page_token = ""};
  size_t seen = 0;
  do {
    const auto page = ok([&](store::Tx& tx) { return search_registered_models(tx, models); });
    seen += page.rows.size();
    models.page_token = page.next_token;
  } while (!models.page_token.empty());
  EXPECT_EQ(seen, 5u);  // the prompt is not a model
  const auto prompts = ok([](store::Tx& tx) {
    return search_registered_models(tx, {.filter = "tags.`mlflow.prompt.is_prompt` = 'true'"});
  });
  EXPECT_EQ(prompts.rows.size(), 1u);
  EXPECT_EQ(ok([](store::Tx& tx) {
              return search_versions(tx, {.filter = "name = 'm1' and version_number = 1"});
            }).rows.size(),
            1u);
  const auto logged = ok([](store::Tx& tx) {
    return search_models(tx, {.experiment_ids = {"0"}, .filter = "name IN ('l1','l2') AND params.n = '1'"});
  });
  EXPECT_EQ(logged.rows.size(), 2u);
}

}  // namespace
}  // namespace track
