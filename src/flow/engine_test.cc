// The engine over a real store, real blobs and real processes.
#include "flow/engine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "base/process.h"
#include "blob/migrations.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/migrations.h"
#include "flow/dvc_lock.h"
#include "flow/local_executor.h"
#include "flow/migrations.h"
#include "flow/warden.h"
#include "store/testing.h"

namespace flow {
namespace {

constexpr int64_t kLongUs = 20'000'000;

bool eventually(const std::function<bool()>& what) {
  for (int i = 0; i < 2000; ++i) {
    if (what()) return true;
    ::usleep(10'000);
  }
  return false;
}

class EngineTest : public store::testing::EngineTest {
 protected:
  EngineTest() : store::testing::EngineTest({core::migrations(), blob::migrations(), migrations()}) {}

  void SetUp() override {
    store::testing::EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    down();
    up();
  }
  void TearDown() override {
    down();
    if (!dir_.empty()) EXPECT_TRUE(stop_warden(dir_, kLongUs));
    store::testing::EngineTest::TearDown();
  }

  void up() {
    auto warden = launch_warden(dir_);  // as the server does: before there are threads
    ASSERT_TRUE(warden) << warden.error().message;
    open();
    blobs_ = std::move(*blob::BlobStore::open(dir_));
    EngineOptions options{.server_url = "http://127.0.0.1:1",
                          .binary_dir = "/opt/lathe/bin",
                          .env = base::allowed_environment(),
                          .slots = 4,
                          .newest_data = newest_data};
    engine_ = std::make_unique<Engine>(
        *store_, base::system_clock(),
        make_local_executor({.dir = dir_, .grace_us = 300'000}, *blobs_, std::move(*warden)), options, nullptr);
    ASSERT_TRUE(engine_->start());
  }
  void down() { engine_.reset(), store_.reset(), blobs_.reset(); }

  void put_bundle(const std::string& id, const std::map<std::string, std::string>& files) {
    const auto put = write([&](store::Tx& tx) -> base::Result<void> {
      for (const auto& [path, text] : files) {
        TRY_SET(const blob::BlobInfo info, blobs_->put(text));
        TRY(blob::hold_blob(tx, info, "bundle", id));
        TRY(blob::put_artifact(tx, {.root = "bundle/" + id,
                                    .path = path,
                                    .size = info.size,
                                    .digest = info.sha256,
                                    .address = path.ends_with(".sh") ? "x" : ""}));
      }
      return {};
    });
    ASSERT_TRUE(put) << put.error().message;
  }

  std::string start(const PipelineSpec& spec, const TextMap& params = {}, bool force = false) {
    const auto run = write([&](store::Tx& tx) -> base::Result<PipelineRun> {
      TRY(put_pipeline(tx, spec));
      return create_run(tx, {.pipeline = spec.name, .bundle = "", .params = params, .force = force});
    });
    EXPECT_TRUE(run) << run.error().message;
    return run ? run->id : "";
  }
  PipelineRun run_of(const std::string& id) {
    return *read([&](store::Tx& tx) { return get_run(tx, id); });
  }
  PipelineRun wait_end(const std::string& id) {
    EXPECT_TRUE(eventually([&] { return run_of(id).ended_us != 0; })) << "the run does not end";
    return run_of(id);
  }
  std::map<std::string, StageRow> stages_of(const std::string& id) {
    const auto rows = read([&](store::Tx& tx) -> base::Result<std::vector<StageRow>> { return list_stages(tx, id); });
    std::map<std::string, StageRow> out;
    for (const StageRow& row : *rows) out[row.name] = row;
    return out;
  }
  std::string log_of(const std::string& attempt) {
    return base::read_file(attempt_dir(dir_, attempt) / "log").value_or("");
  }
  std::string out_of(const std::string& attempt, const std::string& path) {
    const auto artifact =
        read([&](store::Tx& tx) { return blob::get_artifact(tx, "attempt/" + attempt + "/out", path); });
    return artifact ? blobs_->get(artifact->digest).value_or("(gone)") : "(none)";
  }
  // As src/data would answer: versions are "<name>-<number>" here.
  static base::Result<std::string> newest_data(store::Tx& tx, std::string_view name) {
    std::string newest;
    for (const std::string& root : blob::list_roots(tx, "data"))
      if (root.starts_with("data/" + std::string(name) + "-")) newest = root.substr(5);
    return newest;
  }
  void put_data(const std::string& version, const std::string& train) {
    const auto put = write([&](store::Tx& tx) -> base::Result<void> {
      TRY_SET(const blob::BlobInfo info, blobs_->put(train));
      return blob::put_artifact(
          tx, {.root = "data/" + version, .path = "export/train.csv", .size = info.size, .digest = info.sha256});
    });
    ASSERT_TRUE(put) << put.error().message;
  }
  static StageSpec stage(std::string name, std::string cmd) {
    return {.name = name, .group = name, .cmd = std::move(cmd)};
  }

  std::unique_ptr<blob::BlobStore> blobs_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineTest, AStageRunsInItsOwnWorkspaceWithItsEnvironment) {
  put_bundle("b1", {{"hello.txt", "hello"}, {"bin/tool.sh", "#!/bin/sh\necho tool $LATHE_STAGE $LATHE_PARAM_LR\n"}});
  PipelineSpec spec{.name = "p", .bundle = "b1", .experiment = "exp"};
  spec.stages = {
      stage("one", "./bin/tool.sh; cat hello.txt > out.txt; echo more > hello.txt; pwd; echo $PATH; env | sort")};
  spec.stages[0].outs = {"out.txt"};
  const std::string id = start(spec, {{"lr", "0.1"}});
  EXPECT_EQ(wait_end(id).state, State::kSucceeded);
  const StageRow row = stages_of(id)["one"];
  EXPECT_EQ(row.state, State::kSucceeded);
  EXPECT_EQ(row.reason, "it has not succeeded before");
  const std::string log = log_of(row.attempt);
  EXPECT_TRUE(log.starts_with("tool one 0.1\n")) << log;
  EXPECT_NE(log.find("/workspaces/" + id + "/" + row.attempt), std::string::npos);
  EXPECT_NE(log.find("\n/opt/lathe/bin:"), std::string::npos);
  EXPECT_NE(log.find("MLFLOW_EXPERIMENT_NAME=exp"), std::string::npos);
  EXPECT_EQ(out_of(row.attempt, "out.txt"), "hello");
  // What it did to its copy does not reach the blob, and the workspace goes.
  EXPECT_EQ(blobs_->get(base::sha256("hello")).value_or(""), "hello");
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(dir_ / "workspaces" / id); }));
}

TEST_P(EngineTest, TheTokenWorksWhileTheAttemptLives) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage(
      "one", "echo $LATHE_TOKEN; while [ ! -e go ]; do sleep 0.05; done; test $MLFLOW_TRACKING_TOKEN = $LATHE_TOKEN")};
  const std::string id = start(spec);
  std::string attempt, token;
  ASSERT_TRUE(eventually([&] {
    attempt = stages_of(id)["one"].attempt;
    token = attempt.empty() ? "" : log_of(attempt);
    return token.ends_with('\n');
  }));
  token.pop_back();
  const auto who = read([&](store::Tx& tx) { return core::find_token(tx, token); });
  ASSERT_TRUE(who && *who);
  EXPECT_EQ((*who)->actor.attempt, attempt);
  const auto info = read([&](store::Tx& tx) { return attempt_info(tx, attempt); });
  ASSERT_TRUE(info);
  EXPECT_EQ(info->stage, "one");
  ASSERT_TRUE(base::write_file_durably(dir_ / "workspaces" / id / attempt / "go", ""));
  EXPECT_EQ(wait_end(id).state, State::kSucceeded);
  EXPECT_FALSE(*read([&](store::Tx& tx) { return core::find_token(tx, token); }));
  EXPECT_FALSE(read([&](store::Tx& tx) { return attempt_info(tx, attempt); }));
}

TEST_P(EngineTest, OutsReachTheStagesThatNeedThemAndUnchangedStagesAreSkipped) {
  put_bundle("b1", {{"a.txt", "1"}, {"b.txt", "1"}});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("first", "mkdir -p d && cat a.txt > d/x && echo y > d/y"),
                 stage("second", "cat d/x d/y b.txt > sum")};
  spec.stages[0].file_deps = {"a.txt"}, spec.stages[0].outs = {"d"};
  spec.stages[1].file_deps = {"d", "b.txt"}, spec.stages[1].outs = {"sum"}, spec.stages[1].after = {"first"};
  const std::string run1 = start(spec);
  EXPECT_EQ(wait_end(run1).state, State::kSucceeded);
  EXPECT_EQ(out_of(stages_of(run1)["second"].attempt, "sum"), "1y\n1");

  const std::string run2 = start(spec);
  EXPECT_EQ(wait_end(run2).state, State::kSucceeded);
  auto stages = stages_of(run2);
  EXPECT_EQ(stages["first"].state, State::kSkipped);
  EXPECT_EQ(stages["second"].state, State::kSkipped);
  EXPECT_EQ(stages["second"].reason, "nothing it depends on has changed since run 1");
  EXPECT_EQ(stages["second"].attempt, stages_of(run1)["second"].attempt);

  put_bundle("b2", {{"a.txt", "1"}, {"b.txt", "2"}});
  spec.bundle = "b2";
  const std::string run3 = start(spec);
  EXPECT_EQ(wait_end(run3).state, State::kSucceeded);
  stages = stages_of(run3);
  EXPECT_EQ(stages["first"].state, State::kSkipped);
  EXPECT_EQ(stages["second"].state, State::kSucceeded);
  EXPECT_EQ(stages["second"].reason, "file b.txt changed");
  EXPECT_EQ(out_of(stages["second"].attempt, "sum"), "1y\n2");

  const std::string run4 = start(spec, {}, true);
  EXPECT_EQ(wait_end(run4).state, State::kSucceeded);
  EXPECT_EQ(stages_of(run4)["first"].reason, "the run was forced");
}

TEST_P(EngineTest, AFailedStageIsRetriedAndThenFailsWhatNeedsIt) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("bad", "exit 3"), stage("after", "true"), stage("apart", "true"), stage("forgot", "true")};
  spec.stages[0].retries = 2, spec.stages[0].retry_delay_us = 1000;
  spec.stages[1].after = {"bad"};
  spec.stages[3].outs = {"missing.txt"};
  const std::string id = start(spec);
  EXPECT_EQ(wait_end(id).state, State::kFailed);
  auto stages = stages_of(id);
  EXPECT_EQ(stages["bad"].state, State::kFailed);
  EXPECT_EQ(stages["bad"].tries, 3);
  EXPECT_EQ(stages["bad"].reason, "exit code 3");
  EXPECT_EQ(stages["after"].state, State::kUpstreamFailed);
  EXPECT_EQ(stages["apart"].state, State::kSucceeded);
  EXPECT_EQ(stages["forgot"].reason, "out 'missing.txt' was not made");
}

TEST_P(EngineTest, ADepThatIsNotThereFailsInWords) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("one", "true")};
  spec.stages[0].file_deps = {"nothing.csv"};
  const std::string id = start(spec);
  EXPECT_EQ(wait_end(id).state, State::kFailed);
  EXPECT_NE(stages_of(id)["one"].reason.find("dep 'nothing.csv' is neither in the bundle"), std::string::npos);
}

TEST_P(EngineTest, ADataDepWithoutAPrepareStageTakesTheNewestVersion) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("train", "cat flowers/train.csv > model")};
  spec.stages[0].data_deps = {{.name = "flowers", .parts = {"train"}}};
  spec.stages[0].outs = {"model"};
  const std::string none = start(spec);
  EXPECT_EQ(wait_end(none).state, State::kFailed);
  EXPECT_NE(stages_of(none)["train"].reason.find("data set 'flowers' has no version yet"), std::string::npos);
  for (const std::string number : {"1", "2"}) {
    put_data("flowers-" + number, number);
    const std::string id = start(spec);
    EXPECT_EQ(wait_end(id).state, State::kSucceeded);
    EXPECT_EQ(out_of(stages_of(id)["train"].attempt, "model"), number);
  }
}

TEST_P(EngineTest, CancelEndsWhatRunsAndWhatWaits) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("long", "echo up; sleep 1000"), stage("next", "true")};
  spec.stages[1].after = {"long"};
  const std::string id = start(spec);
  ASSERT_TRUE(eventually([&] {
    const std::string attempt = stages_of(id)["long"].attempt;
    return !attempt.empty() && log_of(attempt) == "up\n";
  }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return request_cancel(tx, id); }));
  EXPECT_EQ(wait_end(id).state, State::kCancelled);
  EXPECT_EQ(stages_of(id)["long"].state, State::kCancelled);
  EXPECT_EQ(stages_of(id)["next"].state, State::kCancelled);
}

TEST_P(EngineTest, ARestartAdoptsWhatRuns) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("slow", "echo x >> count; while [ ! -e go ]; do sleep 0.05; done; cat count > out"),
                 stage("next", "cat out")};
  spec.stages[0].outs = {"out"};
  spec.stages[1].file_deps = {"out"}, spec.stages[1].after = {"slow"};
  const std::string id = start(spec);
  std::string attempt;
  ASSERT_TRUE(eventually([&] {
    attempt = stages_of(id)["slow"].attempt;
    return !attempt.empty() && std::filesystem::exists(dir_ / "workspaces" / id / attempt / "count");
  }));
  down();
  up();
  EXPECT_EQ(stages_of(id)["slow"].attempt, attempt);
  ASSERT_TRUE(base::write_file_durably(dir_ / "workspaces" / id / attempt / "go", ""));
  EXPECT_EQ(wait_end(id).state, State::kSucceeded);
  EXPECT_EQ(stages_of(id)["slow"].attempt, attempt);
  EXPECT_EQ(out_of(attempt, "out"), "x\n");
}

TEST_P(EngineTest, StopOfAllCancelsTheRun) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("long", "echo up; sleep 1000")};
  spec.stages[0].retries = 3;
  const std::string id = start(spec);
  ASSERT_TRUE(eventually([&] {
    const std::string attempt = stages_of(id)["long"].attempt;
    return !attempt.empty() && log_of(attempt) == "up\n";
  }));
  down();
  ASSERT_TRUE(stop_warden(dir_, kLongUs));
  up();
  EXPECT_EQ(wait_end(id).state, State::kCancelled);
  EXPECT_EQ(stages_of(id)["long"].reason, "`lathe down` ended it");
}

TEST_P(EngineTest, TheLockSaysWhatWasReadAndMade) {
  put_bundle("b1", {{"in.txt", "x"}});
  PipelineSpec spec{.name = "p", .bundle = "b1"};
  spec.stages = {stage("make", "mkdir d && printf foo > d/foo && printf bar > d/bar && cp in.txt m.json")};
  spec.stages[0].file_deps = {"in.txt"}, spec.stages[0].outs = {"d"}, spec.stages[0].metrics = {"m.json"};
  spec.stages[0].params = {{"lr", "0.1"}, {"other.yaml:a", "[1, 2]"}};
  const std::string id = start(spec);
  EXPECT_EQ(wait_end(id).state, State::kSucceeded);
  const auto lock = read([&](store::Tx& tx) { return dvc_lock(tx, id); });
  ASSERT_TRUE(lock) << lock.error().message;
  EXPECT_EQ(*lock, R"(schema: '2.0'
stages:
  make:
    cmd: mkdir d && printf foo > d/foo && printf bar > d/bar && cp in.txt m.json
    deps:
    - path: in.txt
      hash: md5
      md5: 9dd4e461268c8034f5c8564e155c67a6
      size: 1
    params:
      params.yaml:
        lr: 0.1
      other.yaml:
        a:
        - 1
        - 2
    outs:
    - path: d
      hash: md5
      md5: 5ea40360f5b4ec688df672a4db9c17d1.dir
      size: 6
      nfiles: 2
    - path: m.json
      hash: md5
      md5: 9dd4e461268c8034f5c8564e155c67a6
      size: 1
)");
  const auto outs = read([&](store::Tx& tx) { return list_outs(tx, id); });
  ASSERT_EQ(outs->size(), 3u);
  EXPECT_EQ((*outs)[0].path, "d/bar");
}

TEST_P(EngineTest, ATimeThatHasComeStartsARunWithItsParameters) {
  put_bundle("b1", {});
  PipelineSpec spec{.name = "p", .bundle = "b1", .cron = "* * * * *", .cron_params = {{"retrain", "1"}}};
  spec.stages = {stage("one", "test $LATHE_PARAM_RETRAIN = 1")};
  ASSERT_TRUE(write([&](store::Tx& tx) -> base::Result<void> {
    TRY(put_pipeline(tx, spec));
    tx.exec("UPDATE flow_pipelines SET cron_next_us = ? WHERE name = 'p'", tx.now_us());  // a minute is long for a test
    core::emit(tx, "pipeline.changed", "pipeline", "p");
    return tx.status();
  }));
  std::vector<PipelineRun> runs;
  ASSERT_TRUE(eventually([&] {
    runs = *read([](store::Tx& tx) -> base::Result<std::vector<PipelineRun>> { return list_runs(tx, "p"); });
    return !runs.empty();
  }));
  EXPECT_EQ(runs[0].cause, "cron");
  EXPECT_EQ(wait_end(runs[0].id).state, State::kSucceeded);
  EXPECT_GT(*read([](store::Tx& tx) -> base::Result<int64_t> {
    return tx.query_i64("SELECT cron_next_us FROM flow_pipelines").value_or(0);
  }),
            base::system_clock().wall_us() - 60'000'000);
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace flow
