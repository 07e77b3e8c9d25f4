// Projects, identity, audit, lineage: the same on every engine.
#include <gmock/gmock.h>

#include "core/audit_log.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/lineage.h"
#include "core/migrations.h"
#include "core/project.h"
#include "store/testing.h"

namespace core {
namespace {

using base::Code;
using base::Result;
using store::Tx;

class CoreTest : public store::testing::EngineTest {
 protected:
  CoreTest() : EngineTest({migrations()}) {}
};
INSTANTIATE_TEST_SUITE_P(Engines, CoreTest, store::testing::engines(), store::testing::engine_name);

TEST_P(CoreTest, TheDefaultProjectExists) {
  auto found = read([](Tx& tx) { return get_project(tx, "default"); });
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->id, base::kDefaultProject);
}

TEST_P(CoreTest, ProjectsAreMadeOnceAndNamesAreChecked) {
  auto first = write([](Tx& tx) { return ensure_project(tx, "digits"); });
  auto again = write([](Tx& tx) { return ensure_project(tx, "digits"); });
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->id, again->id);
  EXPECT_NE(first->id, base::kDefaultProject);
  for (const std::string& bad :
       std::vector<std::string>{std::string(64, 'a'), "", "-x", "Digits", "a b", "a/b", "d\xC3\xA9j\xC3\xA0"}) {
    auto refused = write([&](Tx& tx) { return ensure_project(tx, bad); });
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
  auto all = read([](Tx& tx) -> Result<std::vector<Project>> { return list_projects(tx); });
  EXPECT_EQ(all->size(), 2u);
  auto absent = read([](Tx& tx) { return get_project(tx, "nowhere"); });
  EXPECT_EQ(absent.error().code, Code::kNotFound);
}

TEST_P(CoreTest, ATokenWorksUntilItIsRevoked) {
  auto secret = write([](Tx& tx) {
    return mint_token(tx, {.principal = "attempt:at_1", .kind = base::ActorKind::kAttempt, .attempt = "at_1"});
  });
  ASSERT_TRUE(secret) << secret.error().message;
  auto who = read([&](Tx& tx) { return find_token(tx, *secret); });
  ASSERT_TRUE(who && *who);
  EXPECT_EQ((*who)->actor.name, "attempt:at_1");
  EXPECT_EQ((*who)->actor.attempt, "at_1");
  EXPECT_EQ((*who)->actor.kind, base::ActorKind::kAttempt);
  EXPECT_EQ((*who)->project, base::kDefaultProject);
  for (const std::string& wrong : {std::string(), *secret + "x", secret->substr(1), std::string(1000, 'x')}) {
    EXPECT_EQ(*read([&](Tx& tx) { return find_token(tx, wrong); }), std::nullopt);
  }
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> {
    TRY(revoke_tokens_of(tx, "attempt:at_1"));
    return 0;
  }));
  EXPECT_EQ(*read([&](Tx& tx) { return find_token(tx, *secret); }), std::nullopt);
  auto lines = read([](Tx& tx) -> Result<std::vector<AuditLine>> { return audit_lines(tx, 0, 10); });
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ((*lines)[0].action, "token.revoked");
}

TEST_P(CoreTest, OnlyTheHashOfATokenIsStored) {
  auto secret = write([](Tx& tx) { return mint_token(tx, {.principal = "user:ann", .kind = base::ActorKind::kUser}); });
  auto stored = read([](Tx& tx) -> Result<std::string> {
    store::Rows rows = tx.query("SELECT hash FROM tokens");
    return rows.next() ? rows.str(0) : "";
  });
  EXPECT_EQ(stored->size(), 32u);
  EXPECT_EQ(stored->find(*secret), std::string::npos);
}

TEST_P(CoreTest, ATokenExpires) {
  auto context = ctx();
  auto secret = store_->write_blocking(context, [&](Tx& tx) {
    return mint_token(
        tx, {.principal = "service:x", .kind = base::ActorKind::kService, .expires_us = context.now_us + 1000});
  });
  const auto live_at = [&](int64_t now_us) {
    auto later = context;
    later.now_us = now_us;
    return store_->read_blocking(later, [&](Tx& tx) { return find_token(tx, *secret); })->has_value();
  };
  EXPECT_TRUE(live_at(context.now_us + 999));
  EXPECT_FALSE(live_at(context.now_us + 1000));
}

TEST_P(CoreTest, APrincipalDoesNotChangeItsKind) {
  ASSERT_TRUE(write([](Tx& tx) { return mint_token(tx, {.principal = "x", .kind = base::ActorKind::kUser}); }));
  auto refused = write([](Tx& tx) { return mint_token(tx, {.principal = "x", .kind = base::ActorKind::kService}); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);
}

TEST_P(CoreTest, AttemptsMayNotStartOrAdministerThings) {
  using base::ActorKind, base::Permission;
  EXPECT_TRUE(permissions_of(ActorKind::kLocal).has(Permission::kAdmin));
  EXPECT_TRUE(permissions_of(ActorKind::kAttempt).has(Permission::kWrite));
  EXPECT_TRUE(permissions_of(ActorKind::kAttempt).has(Permission::kInfer));
  EXPECT_FALSE(permissions_of(ActorKind::kAttempt).has(Permission::kRunCode));
  EXPECT_FALSE(permissions_of(ActorKind::kAttempt).has(Permission::kAdmin));
  EXPECT_FALSE(permissions_of(ActorKind::kService).has(Permission::kWrite));
}

TEST_P(CoreTest, AuditLinesComeNewestFirstInPages) {
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> {
    for (int i = 0; i < 5; ++i) audit(tx, "alias.set", "model", "m" + std::to_string(i), R"({"n":1})");
    return 0;
  }));
  auto page = read([](Tx& tx) -> Result<std::vector<AuditLine>> { return audit_lines(tx, 0, 3); });
  ASSERT_EQ(page->size(), 3u);
  EXPECT_EQ((*page)[0].subject, "m4");
  EXPECT_EQ((*page)[0].actor, "a test");
  auto rest = read([&](Tx& tx) -> Result<std::vector<AuditLine>> { return audit_lines(tx, page->back().id, 3); });
  ASSERT_EQ(rest->size(), 2u);
  EXPECT_EQ((*rest)[1].subject, "m0");
  auto elsewhere = ctx();
  elsewhere.project = 77;
  auto none =
      store_->read_blocking(elsewhere, [](Tx& tx) -> Result<std::vector<AuditLine>> { return audit_lines(tx, 0, 3); });
  EXPECT_TRUE(none->empty());
}

TEST_P(CoreTest, AuditLinesOfAModelGoWithItsName) {
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> {
    audit(tx, "registered_model.created", "registered_model", "a", "{}", "a");
    audit(tx, "alias.set", "model_version", "a/1", "{}", "a");
    audit(tx, "alias.set", "model_version", "ab/1", "{}", "ab");
    audit(tx, "user.added", "user", "a");
    return 0;
  }));
  const auto subjects = [&](const AuditFilter& filter) {
    std::vector<std::string> out;
    auto lines = read([&](Tx& tx) -> Result<std::vector<AuditLine>> { return audit_lines(tx, filter, 10); });
    for (const AuditLine& line : *lines) out.push_back(line.subject);
    return out;
  };
  EXPECT_THAT(subjects({.model = "a"}), testing::ElementsAre("a/1", "a"));
  EXPECT_THAT(subjects({.action = "alias", .model = "a"}), testing::ElementsAre("a/1"));
  EXPECT_THAT(subjects({.models = true}), testing::ElementsAre("ab/1", "a/1", "a"));
  EXPECT_THAT(subjects({}), testing::ElementsAre("a", "ab/1", "a/1", "a"));
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> {
    move_audit(tx, "a", "z");
    move_audit(tx, "", "q");  // what is about no model stays so
    return 0;
  }));
  EXPECT_THAT(subjects({.model = "z"}), testing::ElementsAre("a/1", "a"));
  EXPECT_THAT(subjects({.model = "a"}), testing::IsEmpty());
  EXPECT_THAT(subjects({.model = "q"}), testing::IsEmpty());
}

TEST_P(CoreTest, LineageIsTracedBothWaysThroughDiamondsAndCycles) {
  const Node file{"file", "f"}, data{"data_version", "d"}, a{"attempt", "a"}, b{"attempt", "b"},
      model{"logged_model", "m"};
  ASSERT_TRUE(write([&](Tx& tx) -> Result<int> {
    for (int twice = 0; twice < 2; ++twice) add_edge(tx, file, data, "input");
    add_edge(tx, data, a, "input");
    add_edge(tx, data, b, "input");
    add_edge(tx, a, model, "produced");
    add_edge(tx, b, model, "produced");
    add_edge(tx, model, data, "baseline");  // a cycle
    return 0;
  }));
  const auto traced = [&](Node from, Direction direction, size_t limit = 1000) {
    return *read([&](Tx& tx) -> Result<std::vector<Edge>> { return trace(tx, from, direction, limit); });
  };
  EXPECT_EQ(traced(model, Direction::kUpstream).size(), 6u);
  EXPECT_EQ(traced(file, Direction::kDownstream).size(), 6u);
  EXPECT_EQ(traced(file, Direction::kUpstream).size(), 0u);
  EXPECT_EQ(traced(model, Direction::kUpstream, 2).size(), 2u);
  auto into = read([&](Tx& tx) -> Result<std::vector<Edge>> { return edges_into(tx, model); });
  ASSERT_EQ(into->size(), 2u);
  EXPECT_EQ((*into)[0].role, "produced");
}

}  // namespace
}  // namespace core
