// Promotions that meet: one wins, a verdict about yesterday's champion is refused, rollback goes back. On both engines.
#include "loop/promote.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "core/audit.h"
#include "loop/lineage.h"
#include "loop/roller.h"
#include "loop/testing.h"
#include "serve/traffic.h"
#include "track/models.h"
#include "watch/watch.h"

namespace loop {
namespace {

// Serves nothing: here only the order of the acts counts.
class IdleRuntime final : public serve::Runtime {
 public:
  base::Result<Prepared> prepare(int64_t, std::string_view, int64_t, Code) override {
    if (on_prepare) on_prepare();
    ++prepared;
    return Prepared{.runs_code = runs_code};
  }
  base::Result<void> refresh() override {
    ++refreshed;
    return {};
  }
  serve::Capture& capture() override { std::abort(); }

  std::function<void()> on_prepare;
  bool runs_code = false;
  std::atomic<int> prepared{0}, refreshed{0};
};

class Promote : public testing::LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    auto blobs = blob::BlobStore::open(dir_);
    ASSERT_TRUE(blobs);
    blobs_ = std::move(*blobs);
    promoter_ = std::make_unique<Promoter>(*store_, *blobs_, runtime_);
    const auto applied = write([this](store::Tx& tx) -> base::Result<void> {
      TRY(apply_project(tx));
      return {};
    });
    ASSERT_TRUE(applied) << applied.error().message;
    const auto rows = blobs_->put("a,digit\n1,0\n2,1\n3,0\n");
    predictions_ = *blobs_->put("row,label,predicted\n0,0,0\n1,1,1\n2,0,1\n");
    const auto made = write([&](store::Tx& tx) -> base::Result<void> {
      TRY(blob::register_upload(tx, *rows));
      TRY_SET(const auto version,
              data::create_version(tx, {.name = "digits",
                                        .label = "digit",
                                        .features = {"a"},
                                        .rows = {{"test", 3}},
                                        .files = {{.path = "test.csv", .size = rows->size, .digest = rows->sha256}}}));
      data_ = version.id;
      return {};
    });
    ASSERT_TRUE(made) << made.error().message;
  }

  // A run whose gate passed `model` against the revision that is live now; answers the verdict's id.
  std::string verdict(const std::string& model, int64_t champion_revision, bool passed = true) {
    const auto made = write([&](store::Tx& tx) -> base::Result<std::string> {
      TRY_SET(const auto run, flow::create_run(tx, {.pipeline = "digits"}));
      TRY_SET(const auto created, track::create_model(tx, {.experiment_id = "0", .name = model}));
      TRY_SET(const auto logged, track::get_logged_model(tx, created.info.model_id));
      const std::string id = tx.ctx().new_id("vd"), evaluation = tx.ctx().new_id("ev");
      TRY(blob::hold_blob(tx, predictions_, "evaluation", evaluation));
      tx.exec(
          "INSERT INTO loop_evaluations (project, id, run, attempt, purpose, side, subject, model_version, "
          "data_version, "
          "part, rows_digest, row_count, metric, value, low, high, summary, predictions, created_us) VALUES (?, ?, ?, "
          "'', "
          "'gate', 'challenger', ?, '', ?, 'test', '', 3, 'accuracy', 0.5, 0.1, 0.9, '{}', ?, 1)",
          tx.project(), evaluation, run.id, logged.model_id, data_, predictions_.sha256.hex());
      tx.exec(
          "INSERT INTO loop_verdicts (project, id, run, attempt, pipeline, environment, endpoint, model, challenger, "
          "artifact_root, transform, champion, champion_revision, kind, passed, reason, numbers, created_us) VALUES "
          "(?, "
          "?, ?, '', 'digits', 'production', 'digits', 'digits', ?, ?, '', '', ?, 'update', ?, 'passed', '{}', ?)",
          tx.project(), id, run.id, logged.model_id, logged.artifact_root, champion_revision, passed, tx.now_us());
      TRY(tx.status());
      return id;
    });
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or("");
  }

  base::Result<Promotion> promote(const std::string& verdict) {
    return promoter_->promote(ctx(), {.verdict = verdict});
  }
  int64_t live() {
    return read([](store::Tx& tx) { return serve::get_endpoint(tx, "digits"); })->live_revision;
  }
  int64_t champion() {
    return (*read([](store::Tx& tx) { return track::version_by_alias(tx, "digits", "champion"); }))->version;
  }

  IdleRuntime runtime_;
  std::unique_ptr<blob::BlobStore> blobs_;
  std::unique_ptr<Promoter> promoter_;
  blob::BlobInfo predictions_;
  std::string data_;
};

TEST_P(Promote, OneActDoesItAllAndTwiceIsOnce) {
  const std::string first = verdict("a", 0);
  const auto done = promote(first);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->revision, 1);
  EXPECT_EQ(done->previous, 0);
  EXPECT_EQ(live(), 1);
  EXPECT_EQ(champion(), 1);
  EXPECT_TRUE(
      *read([](store::Tx& tx) -> base::Result<bool> { return watch::get_baseline(tx, "digits", 1).has_value(); }));
  const auto again = promote(first);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->at_us, done->at_us);
  EXPECT_EQ(runtime_.prepared, 1);
  const auto listed =
      read([](store::Tx& tx) -> base::Result<std::vector<Promotion>> { return list_promotions(tx, "digits"); });
  EXPECT_EQ(listed->size(), 1U);
}

TEST_P(Promote, TheAuditLineSaysWhetherAnUploadedModelsCodeAnswers) {
  const auto details = [this] {
    return *read([](store::Tx& tx) -> base::Result<std::vector<core::AuditLine>> {
      auto lines = core::audit_lines(tx, 0, 100);
      std::erase_if(lines, [](const core::AuditLine& line) { return line.action != "model_version.promoted"; });
      return lines;
    });
  };
  ASSERT_TRUE(promote(verdict("a", 0)));
  ASSERT_EQ(details().size(), 1U);
  EXPECT_NE(details()[0].body.find("\"runs_code\":false"), std::string::npos) << details()[0].body;
  runtime_.runs_code = true;
  ASSERT_TRUE(promote(verdict("b", 1)));
  ASSERT_EQ(details().size(), 2U);
  EXPECT_NE(details()[0].body.find("\"runs_code\":true"), std::string::npos) << details()[0].body;
}

TEST_P(Promote, AVerdictAboutYesterdaysChampionIsRefused) {
  ASSERT_TRUE(promote(verdict("a", 0)));
  const std::string stale = verdict("b", 1);
  ASSERT_TRUE(promote(verdict("c", 1)));
  const auto refused = promote(stale);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kConflict);
  EXPECT_NE(refused.error().message.find("was about revision 1"), std::string::npos) << refused.error().message;
  EXPECT_EQ(live(), 2);
  EXPECT_EQ(champion(), 2);
  EXPECT_FALSE(promote(verdict("d", 2, false))) << "one that did not pass";
  EXPECT_EQ(live(), 2);
}

// The champion changes while the other's model is loaded: between its first transaction and its second.
TEST_P(Promote, TheChampionMayChangeDuringThePreparation) {
  ASSERT_TRUE(promote(verdict("a", 0)));
  const std::string slow = verdict("b", 1), fast = verdict("c", 1);
  runtime_.on_prepare = [&] {
    runtime_.on_prepare = nullptr;
    EXPECT_TRUE(promote(fast));
  };
  const auto refused = promote(slow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kConflict);
  EXPECT_EQ(champion(), 3) << "b was registered as 2 before it was refused";
  const auto listed =
      read([](store::Tx& tx) -> base::Result<std::vector<Promotion>> { return list_promotions(tx, "digits"); });
  EXPECT_EQ(listed->size(), 2U) << "of the refused one nothing but a version and an idle revision is left";
}

TEST_P(Promote, OfTwoAtOnceOneWins) {
  ASSERT_TRUE(promote(verdict("a", 0)));
  const std::string verdicts[] = {verdict("b", 1), verdict("c", 1)};
  std::atomic<int> won{0}, lost{0};
  std::vector<std::thread> threads;
  for (const std::string& one : verdicts)
    threads.emplace_back([&] {
      const auto done = promote(one);
      if (!done) EXPECT_EQ(done.error().code, base::Code::kConflict) << done.error().message;
      done ? ++won : ++lost;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 1);
  const auto endpoint = read([](store::Tx& tx) { return serve::get_endpoint(tx, "digits"); });
  const auto revision = read([&](store::Tx& tx) { return serve::get_revision(tx, "digits", endpoint->live_revision); });
  EXPECT_EQ(revision->model_version, champion()) << "alias and revision changed together";
}

TEST_P(Promote, RollbackGoesToThePreviousRevisionAndBack) {
  EXPECT_FALSE(promoter_->rollback(ctx(), "digits")) << "nothing serves yet";
  ASSERT_TRUE(promote(verdict("a", 0)));
  EXPECT_FALSE(promoter_->rollback(ctx(), "digits")) << "nothing earlier";
  ASSERT_TRUE(promote(verdict("b", 1)));
  const auto back = promoter_->rollback(ctx(), "digits");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->kind, "rolled_back");
  EXPECT_EQ(live(), 1);
  EXPECT_EQ(champion(), 1);
  const auto forth = promoter_->rollback(ctx(), "digits");
  ASSERT_TRUE(forth) << forth.error().message;
  EXPECT_EQ(live(), 2);
  EXPECT_EQ(champion(), 2);
  EXPECT_EQ(runtime_.refreshed, 4);
}

TEST_P(Promote, LineageGoesFromARevisionToTheDataAndBack) {
  const std::string id = verdict("a", 0);
  ASSERT_TRUE(promote(id));
  ASSERT_TRUE(write([&](store::Tx& tx) -> base::Result<void> {
    core::add_edge(tx, {"file", "digits/raw/a.csv@" + std::string(64, 'a')}, {"data_version", data_}, "input");
    core::add_edge(tx, {"data_version", data_}, {"attempt", "at_1"}, "input");
    TRY_SET(const auto version, track::get_model_version(tx, "digits", 1));
    core::add_edge(tx, {"attempt", "at_1"}, {"logged_model", version.model_id}, "produced");
    return tx.status();
  }));
  const auto upstream = read([](store::Tx& tx) -> base::Result<LineageGraph> {
    TRY_SET(const auto node, find_node(tx, "revision:digits/1"));
    return lineage(tx, node, core::Direction::kUpstream);
  });
  ASSERT_TRUE(upstream) << upstream.error().message;
  std::vector<std::string> kinds;
  for (const auto& node : upstream->nodes) kinds.push_back(node.node.kind);
  for (const char* kind : {"revision", "model_version", "logged_model", "attempt", "data_version", "file", "verdict"})
    EXPECT_NE(std::ranges::find(kinds, kind), kinds.end()) << kind;
  EXPECT_FALSE(upstream->truncated);
  const auto downstream = read([&](store::Tx& tx) {
    return lineage(tx, {"file", "digits/raw/a.csv@" + std::string(64, 'a')}, core::Direction::kDownstream);
  });
  kinds.clear();
  for (const auto& node : downstream->nodes) kinds.push_back(node.node.kind + ":" + node.node.id);
  EXPECT_NE(std::ranges::find(kinds, "revision:digits/1"), kinds.end());
  EXPECT_FALSE(read([](store::Tx& tx) { return find_node(tx, "no such thing"); }));
}

TEST_P(Promote, ACanaryHasAShareAndNothingElse) {
  EXPECT_EQ(promoter_->promote(ctx(), {.verdict = verdict("a", 0), .share = 1000}).error().code,
            base::Code::kConflict);  // nothing serves yet
  ASSERT_TRUE(promote(verdict("b", 0)));
  const int64_t first = live();
  const std::string better = verdict("c", first);
  const auto canary = promoter_->promote(ctx(), {.verdict = better, .share = 1000});
  ASSERT_TRUE(canary) << canary.error().message;
  EXPECT_EQ(canary->kind, "canary");
  EXPECT_EQ(live(), first);
  auto endpoint = *read([](store::Tx& tx) { return serve::get_endpoint(tx, "digits"); });
  EXPECT_EQ(endpoint.traffic.share_of(canary->revision, first), 1000U);
  EXPECT_EQ(endpoint.traffic.share_of(first, first), 9000U);
  EXPECT_FALSE(*read([&](store::Tx& tx) -> base::Result<bool> {
    return watch::get_baseline(tx, "digits", canary->revision).has_value();
  }));

  // By hand: half of it; a look that is older is refused.
  const auto half = promoter_->divide(ctx(), {.endpoint = "digits",
                                              .plan = {.parts = {{first, 5000}, {canary->revision, 5000}}},
                                              .generation = endpoint.generation});
  ASSERT_TRUE(half) << half.error().message;
  EXPECT_EQ(promoter_->divide(ctx(), {.endpoint = "digits", .generation = endpoint.generation}).error().code,
            base::Code::kConflict);

  // All of it: the same revision, and the division is over.
  const auto done = promote(better);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->kind, "promoted");
  EXPECT_EQ(done->revision, canary->revision);
  endpoint = *read([](store::Tx& tx) { return serve::get_endpoint(tx, "digits"); });
  EXPECT_EQ(endpoint.live_revision, canary->revision);
  EXPECT_FALSE(endpoint.traffic.divides());
  ASSERT_TRUE(promoter_->rollback(ctx(), "digits"));
  EXPECT_EQ(live(), first);
  EXPECT_EQ(promoter_->rollback(ctx(), "digits", endpoint.generation).error().code, base::Code::kConflict);
}

// A rollout as rows: begun with its promotion, stopped when a person acts, gone on with after a restart.
TEST_P(Promote, ARolloutIsFencedByTheEndpointsGeneration) {
  ASSERT_TRUE(promote(verdict("a", 0)));
  const int64_t first = live();
  const auto canary = promoter_->promote(ctx(), {.verdict = verdict("b", first), .share = 1000});
  ASSERT_TRUE(canary);
  const auto generation = read([](store::Tx& tx) { return serve::get_endpoint(tx, "digits"); })->generation;
  const Rollout rollout{.endpoint = "digits",
                        .verdict = canary->verdict,
                        .revision = canary->revision,
                        .champion = first,
                        .rule = {.steps = {1000, 5000}, .wait_us = 1, .bake_us = 5, .min_requests = 1},
                        .at = {.step = 0, .since_us = 1},
                        .generation = generation};
  ASSERT_TRUE(write([&](store::Tx& tx) { return begin_rollout(tx, rollout); }));
  const auto running = read([](store::Tx& tx) { return running_rollout(tx, "digits"); });
  ASSERT_TRUE(running && *running);
  EXPECT_EQ((*running)->rule.steps, rollout.rule.steps);
  EXPECT_EQ((*running)->state, "running");

  Roller roller(*store_, *blobs_, runtime_, base::system_clock(), {.look_us = 0});
  EXPECT_EQ(roller.look(), 1U);  // no request yet: it waits
  EXPECT_EQ((*read([](store::Tx& tx) { return running_rollout(tx, "digits"); }))->at.step, 0U);
  // The challenger answered: it goes on, then has all, then bakes.
  ASSERT_TRUE(write([&](store::Tx& tx) -> base::Result<void> {
    tx.exec(
        "INSERT INTO endpoint_traffic (project, endpoint, at_us, revision, requests, failures, row_count, seconds, "
        "buckets) VALUES (?, 'digits', ?, ?, 100, 0, 100, 0.1, '0.001:100')",
        tx.project(), base::system_clock().wall_us() / serve::kTrafficStepUs * serve::kTrafficStepUs, canary->revision);
    return tx.status();
  }));
  EXPECT_EQ(roller.look(), 1U);
  const auto second = *read([](store::Tx& tx) { return running_rollout(tx, "digits"); });
  ASSERT_TRUE(second);
  EXPECT_EQ(second->at.step, 1U);
  auto endpoint = *read([](store::Tx& tx) { return serve::get_endpoint(tx, "digits"); });
  EXPECT_EQ(endpoint.traffic.share_of(canary->revision, first), 5000U);
  EXPECT_EQ(second->generation, endpoint.generation);

  // Somebody else acts: the rollout is no longer about this endpoint.
  ASSERT_TRUE(promoter_->divide(ctx(), {.endpoint = "digits"}));
  EXPECT_EQ(roller.look(), 1U);
  EXPECT_EQ(roller.look(), 0U);
  const auto all =
      read([](store::Tx& tx) -> base::Result<std::vector<Rollout>> { return list_rollouts(tx, "digits"); });
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ((*all)[0].state, "stopped");
}

INSTANTIATE_TEST_SUITE_P(Engines, Promote, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace loop
