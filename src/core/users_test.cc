// Users, roles, tokens and sessions on both engines.
#include "core/users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/audit_log.h"
#include "core/migrations.h"
#include "core/named_role.h"
#include "core/password.h"
#include "core/project.h"
#include "core/resource_access.h"
#include "core/session.h"
#include "store/testing.h"

namespace core {
namespace {

using base::Code;
using base::Permission;
using base::Result;
using store::Tx;
using testing::ElementsAre;
class UsersTest : public store::testing::EngineTest {
 protected:
  UsersTest() : EngineTest({migrations()}) {}

  template <class F>
  auto of_server(F f) {
    base::Context context = ctx();
    context.project = kServerProject;
    return store_->write_blocking(context, std::move(f));
  }
  User add(const std::string& name, std::vector<ProjectRole> roles = {}) {
    auto user = of_server([&](Tx& tx) { return add_user(tx, {.name = name, .password = "h", .roles = roles}); });
    EXPECT_TRUE(user) << user.error().message;
    return user ? *user : User{};
  }
  static Identity identity_of(const User& user) {
    Identity identity;
    identity.actor = {user.kind, user.actor(), ""};
    identity.user = user.id;
    return identity;
  }
  std::optional<Reach> reach(const Identity& identity, const std::string& project) {
    auto found = read([&](Tx& tx) { return reach_of(tx, identity, project); });
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : std::nullopt;
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, UsersTest, store::testing::engines(), store::testing::engine_name);

TEST_P(UsersTest, TheFirstIsAdministratorAndTheLastStaysOne) {
  EXPECT_FALSE(*read([](Tx& tx) -> Result<bool> { return has_users(tx); }));
  EXPECT_TRUE(add("ann").admin);
  EXPECT_FALSE(add("bob").admin);
  for (const UserChange& change : {UserChange{.admin = false}, UserChange{.disabled = true}}) {
    auto refused = of_server([&](Tx& tx) { return change_user(tx, "ann", change); });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kConflict);
  }
  ASSERT_TRUE(of_server([](Tx& tx) { return change_user(tx, "bob", {.admin = true}); }));
  EXPECT_TRUE(of_server([](Tx& tx) { return change_user(tx, "ann", {.disabled = true}); }));
}

TEST_P(UsersTest, NamesAreCheckedAndTakenOnce) {
  add("ann");
  for (const std::string& bad : {std::string(), std::string("Ann"), std::string("a b"), std::string("-a"),
                                 std::string("a:b"), std::string("ä"), std::string(65, 'a')}) {
    auto refused = of_server([&](Tx& tx) { return add_user(tx, {.name = bad}); });
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
  EXPECT_EQ(of_server([](Tx& tx) { return add_user(tx, {.name = "ann"}); }).error().code, Code::kAlreadyExists);
  EXPECT_EQ(of_server([](Tx& tx) { return change_user(tx, "eve", {}); }).error().code, Code::kNotFound);
}

TEST_P(UsersTest, ARoleHoldsInItsProjectOnly) {
  ASSERT_TRUE(write([](Tx& tx) { return ensure_project(tx, "vision"); }));
  add("ann");
  const User bob = add("bob", {{"vision", Role::kEditor}});
  const auto inside = reach(identity_of(bob), "vision");
  EXPECT_TRUE(inside->known);
  EXPECT_TRUE(inside->permissions.has(Permission::kWrite));
  EXPECT_FALSE(inside->permissions.has(Permission::kRunCode));
  EXPECT_FALSE(inside->server);
  for (const char* elsewhere : {"", "default", "nowhere"}) {
    const auto outside = reach(identity_of(bob), elsewhere);
    EXPECT_FALSE(outside->known) << elsewhere;
    EXPECT_EQ(outside->permissions, base::Permissions{});
  }
  EXPECT_THAT(*read([&](Tx& tx) { return projects_of(tx, identity_of(bob)); }), ElementsAre("vision"));
  ASSERT_TRUE(of_server([](Tx& tx) {
    return change_user(tx, "bob", {.roles = {{{"*", {Role::kViewer, Role::kInfer}}, {"vision", {}}}}});
  }));
  EXPECT_EQ(reach(identity_of(bob), "vision")->permissions, (base::Permissions{Permission::kRead, Permission::kInfer}));
  EXPECT_THAT(*read([&](Tx& tx) { return projects_of(tx, identity_of(bob)); }), ElementsAre("default", "vision"));
  EXPECT_FALSE(of_server([](Tx& tx) { return change_user(tx, "bob", {.roles = {{{"nowhere", {Role::kViewer}}}}}); }));
}

TEST_P(UsersTest, ATokenMayLessThanItsOwner) {
  ASSERT_TRUE(write([](Tx& tx) { return ensure_project(tx, "vision"); }));
  const User ann = add("ann");
  const auto vision = read([](Tx& tx) { return get_project(tx, "vision"); })->id;
  auto minted = of_server([&](Tx& tx) {
    return mint_user_token(tx, {.user = ann.id, .label = "ci", .role = Role::kRunner, .scope = vision});
  });
  ASSERT_TRUE(minted) << minted.error().message;
  EXPECT_TRUE(minted->secret.starts_with(kTokenPrefix));
  const auto who = read([&](Tx& tx) { return find_token(tx, minted->secret); });
  ASSERT_TRUE(who && *who);
  EXPECT_EQ((*who)->actor.name, "user:ann");
  const auto own = reach(**who, "");  // the token's project is its default
  EXPECT_EQ(own->project_name, "vision");
  EXPECT_TRUE(own->permissions.has(Permission::kRunCode));
  EXPECT_FALSE(own->permissions.has(Permission::kAdmin)) << "an administrator's token for runners";
  EXPECT_FALSE(own->server);
  EXPECT_FALSE(reach(**who, "default")->known);
  EXPECT_FALSE(reach(**who, "default")->server);
  const auto listed = read([&](Tx& tx) -> Result<std::vector<TokenInfo>> { return list_tokens(tx, ann.id); });
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ((*listed)[0].project, "vision");
  EXPECT_FALSE(of_server([&](Tx& tx) { return revoke_token(tx, minted->id, ann.id + 1); })) << "of somebody else";
  EXPECT_EQ(*of_server([&](Tx& tx) { return revoke_token(tx, minted->id, ann.id); }), hash_of_secret(minted->secret));
  EXPECT_FALSE(*read([&](Tx& tx) { return find_token(tx, minted->secret); }));
}

TEST_P(UsersTest, ARowStandsForItselfAboveAndBelowTheRole) {
  using base::Level;
  add("ann");
  const User bob = add("bob", {{"default", Role::kEditor}});
  const User carl = add("carl", {{"default", Role::kContributor}});
  EXPECT_EQ(reach(identity_of(bob), "default")->resources, nullptr) << "without a row nothing is looked at";
  const auto plain = reach(identity_of(carl), "default")->resources;
  ASSERT_TRUE(plain && plain->creates);
  EXPECT_EQ(plain->of_experiment(7), Level::kRead);
  const auto grant = [&](const User& user, Resource kind, const char* what, Level level) {
    ASSERT_TRUE(write([&](Tx& tx) { return put_grant(tx, user.id, {kind, what, level}); }));
  };
  grant(bob, Resource::kExperiment, "7", Level::kRead);
  grant(bob, Resource::kModel, "*", Level::kEdit);
  grant(bob, Resource::kModel, "!odd", Level::kDeny);
  auto access = reach(identity_of(bob), "default")->resources;
  ASSERT_TRUE(access);
  EXPECT_EQ(access->of_experiment(7), Level::kRead);
  EXPECT_EQ(access->of_experiment(8), Level::kWrite);
  EXPECT_EQ(access->of_model("any"), Level::kEdit);
  EXPECT_EQ(access->of_model("!odd"), Level::kDeny);
  EXPECT_FALSE(access->creates);
  auto narrow = identity_of(bob);
  narrow.role = Role::kViewer;  // a token's
  access = reach(narrow, "default")->resources;
  ASSERT_TRUE(access);
  EXPECT_EQ(access->of_experiment(8), Level::kRead);
  EXPECT_EQ(access->of_model("!odd"), Level::kDeny);
  ASSERT_TRUE(write([&](Tx& tx) -> Result<void> {
    EXPECT_EQ(level_now(tx, *access, Resource::kModel, "any"), Level::kRead);
    move_grants(tx, Resource::kModel, "!odd", "even");
    EXPECT_EQ(find_grant(tx, bob.id, Resource::kModel, "even"), Level::kDeny);
    drop_grants(tx, Resource::kModel, "even");
    EXPECT_EQ(remove_grant(tx, bob.id, Resource::kModel, "even").value(), false);
    EXPECT_EQ(list_grants(tx, bob.id).size(), 2u);
    return tx.status();
  }));
  const User dora = add("dora");  // no role at all: a row lets her in, and no further
  EXPECT_FALSE(reach(identity_of(dora), "default")->known);
  grant(dora, Resource::kExperiment, "7", Level::kManage);
  const auto hers = reach(identity_of(dora), "default");
  ASSERT_TRUE(hers->known && hers->resources);
  EXPECT_EQ(hers->permissions, base::Permissions{});
  EXPECT_EQ(hers->resources->of_experiment(7), Level::kManage);
  EXPECT_EQ(hers->resources->of_experiment(8), Level::kNone);
}

TEST_P(UsersTest, NamedRolesAddUpWithRowsAndADenialWins) {
  using base::Level;
  add("ann");
  const User bob = add("bob", {{"default", Role::kViewer}});
  const auto made = write([&](Tx& tx) -> Result<NamedRole> {
    TRY_SET(const NamedRole editors, create_named_role(tx, "default", "editors", std::nullopt));
    TRY(add_role_grant(tx, {0, editors.id, "experiment", "*", Level::kEdit}));
    TRY(add_role_grant(tx, {0, editors.id, "prompt", "greet", Level::kManage}));
    TRY_SET(const NamedRole barred, create_named_role(tx, "default", "barred", "kept out"));
    TRY(add_role_grant(tx, {0, barred.id, "experiment", "9", Level::kDeny}));
    TRY(give_named_role(tx, bob.id, editors.id));
    TRY(give_named_role(tx, bob.id, barred.id));
    TRY(put_grant(tx, bob.id, {Resource::kExperiment, "7", Level::kManage}));
    TRY(put_grant(tx, bob.id, {Resource::kExperiment, "9", Level::kManage}));
    return editors;
  });
  ASSERT_TRUE(made) << made.error().message;
  const auto access = reach(identity_of(bob), "default")->resources;
  ASSERT_TRUE(access);
  EXPECT_EQ(access->of_experiment(7), Level::kManage);
  EXPECT_EQ(access->of_experiment(8), Level::kEdit);
  EXPECT_EQ(access->of_experiment(9), Level::kDeny);
  EXPECT_EQ(access->of_model("greet"), Level::kManage);
  EXPECT_EQ(access->of_model("other"), Level::kRead);
  ASSERT_TRUE(write([&](Tx& tx) -> Result<void> {
    for (const auto& [what, level] : {std::pair{"7", Level::kManage}, {"8", Level::kEdit}, {"9", Level::kDeny}})
      EXPECT_EQ(level_now(tx, *access, Resource::kExperiment, what), level) << what;
    move_grants(tx, Resource::kModel, "greet", "hello");
    EXPECT_EQ(level_now(tx, *access, Resource::kModel, "hello"), Level::kManage);
    EXPECT_EQ(level_now(tx, *access, Resource::kModel, "greet"), Level::kRead);
    drop_grants(tx, Resource::kModel, "hello");
    EXPECT_EQ(level_now(tx, *access, Resource::kModel, "hello"), Level::kManage) << "a role waits for the next";
    return take_named_role(tx, bob.id, made->id);
  }));
  EXPECT_EQ(reach(identity_of(bob), "default")->resources->of_experiment(8), Level::kRead);
}

TEST_P(UsersTest, ANamedRoleOfTheWorkspaceOpensTheProject) {
  using base::Level;
  add("ann");
  const User bob = add("bob");
  EXPECT_FALSE(reach(identity_of(bob), "default")->known);
  const auto role = write([&](Tx& tx) -> Result<NamedRole> {
    TRY_SET(const NamedRole members, create_named_role(tx, "default", "members", std::nullopt));
    TRY(add_role_grant(tx, {0, members.id, "workspace", "*", Level::kUse}));
    TRY(give_named_role(tx, bob.id, members.id));
    return get_named_role(tx, members.id);
  });
  ASSERT_TRUE(role) << role.error().message;
  auto now = reach(identity_of(bob), "default");
  ASSERT_TRUE(now->known && now->resources);
  EXPECT_TRUE(now->resources->creates);
  EXPECT_FALSE(now->permissions.has(base::Permission::kAdmin));
  EXPECT_EQ(*read([&](Tx& tx) { return projects_of(tx, identity_of(bob)); }), std::vector<std::string>{"default"});
  ASSERT_TRUE(write([&](Tx& tx) { return change_role_grant(tx, role->grants[0].id, Level::kManage); }));
  now = reach(identity_of(bob), "default");
  EXPECT_TRUE(now->permissions.has(base::Permission::kAdmin));
  EXPECT_EQ(now->resources, nullptr);
  ASSERT_TRUE(write([&](Tx& tx) { return delete_named_role(tx, role->id); }));
  EXPECT_FALSE(reach(identity_of(bob), "default")->known);
  const auto next = write([&](Tx& tx) { return create_named_role(tx, "default", "members", std::nullopt); });
  EXPECT_GT(next->id, role->id) << "an id is never another role's";
}

TEST_P(UsersTest, ARoleHoldsOnlyWhatIsEnforced) {
  using base::Level;
  add("ann");
  const auto role = write([](Tx& tx) { return create_named_role(tx, "default", "r", std::nullopt); });
  ASSERT_TRUE(role);
  const auto refused = [&](const char* kind, const char* resource, Level level) {
    const auto made = write([&](Tx& tx) { return add_role_grant(tx, {0, role->id, kind, resource, level}); });
    EXPECT_FALSE(made) << kind << " " << resource;
    EXPECT_EQ(made ? Code::kInternal : made.error().code, Code::kInvalid);
  };
  refused("scorer", "*", Level::kDeny);
  refused("prompt", "*", Level::kRead);
  refused("workspace", "default", Level::kUse);
  refused("workspace", "*", Level::kRead);
  refused("experiment", "1", Level::kNone);
  refused("experiment", "", Level::kRead);
  for (const char* name : {"", "  ", "__user_7__"})
    EXPECT_FALSE(write([&](Tx& tx) { return create_named_role(tx, "default", name, std::nullopt); })) << name;
}

TEST_P(UsersTest, ADeletedUserLeavesNothingToTheNextOfItsName) {
  add("ann");
  const User bob = add("bob", {{"default", Role::kEditor}});
  ASSERT_TRUE(write([&](Tx& tx) { return put_grant(tx, bob.id, {Resource::kExperiment, "7", base::Level::kManage}); }));
  ASSERT_TRUE(of_server([](Tx& tx) { return delete_user(tx, "bob"); }));
  EXPECT_FALSE(reach(identity_of(bob), "default").has_value()) << "disabled and gone are the same";
  const User again = add("bob");
  EXPECT_NE(again.id, bob.id);
  EXPECT_FALSE(reach(identity_of(again), "default")->known);
  auto refused = of_server([](Tx& tx) { return delete_user(tx, "ann"); });
  EXPECT_EQ(refused.error().code, Code::kConflict);
}

TEST_P(UsersTest, DisabledMeansNobody) {
  add("ann");
  const User bob = add("bob", {{"default", Role::kViewer}});
  EXPECT_TRUE(reach(identity_of(bob), "default")->known);
  ASSERT_TRUE(of_server([](Tx& tx) { return change_user(tx, "bob", {.disabled = true}); }));
  EXPECT_FALSE(reach(identity_of(bob), "default"));
}

TEST_P(UsersTest, SessionsEndWhenIdleByAgeAndWithThePassword) {
  const User ann = add("ann");
  base::Context context = ctx();
  const auto open = [&] {
    return hash_of_secret(
        *store_->write_blocking(context, [&](Tx& tx) { return open_session(tx, ann.id, "127.0.0.1"); }));
  };
  const auto live_at = [&](const std::string& hash, int64_t after_us) {
    base::Context later = context;
    later.now_us += after_us;
    return store_->read_blocking(later, [&](Tx& tx) { return find_session(tx, hash); })->has_value();
  };
  const std::string session = open();
  EXPECT_TRUE(live_at(session, kSessionIdleUs - 1));
  EXPECT_FALSE(live_at(session, kSessionIdleUs));
  for (int64_t at = 0; at < kSessionAgeUs; at += kSessionIdleUs - 1) {  // used all the time
    base::Context later = context;
    later.now_us += at;
    ASSERT_TRUE(store_->write_blocking(later, [&](Tx& tx) -> Result<void> {
      note_session_use(tx, session);
      return tx.status();
    }));
  }
  EXPECT_TRUE(live_at(session, kSessionAgeUs - 1));
  EXPECT_FALSE(live_at(session, kSessionAgeUs));
  const std::string other = open();
  ASSERT_TRUE(of_server([](Tx& tx) { return change_user(tx, "ann", {.password = "other"}); }));
  EXPECT_FALSE(live_at(other, 0));
  for (size_t i = 0; i < kSessionsPerUser + 5; ++i) open();
  EXPECT_EQ(*read([](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT count(*) FROM sessions").value_or(0); }),
            static_cast<int64_t>(kSessionsPerUser));
}

TEST_P(UsersTest, EveryChangeLeavesAnAuditLine) {
  add("ann");
  add("bob");
  ASSERT_TRUE(of_server([](Tx& tx) {
    return change_user(tx, "bob", {.password = "x", .admin = true, .disabled = true, .roles = {{{"default", {}}}}});
  }));
  base::Context context = ctx();
  const auto lines = store_->read_blocking(context, [](Tx& tx) -> Result<std::vector<AuditLine>> {
    return audit_lines(tx, AuditFilter{.action = "user", .with_server = true}, 100);
  });
  std::vector<std::string> actions;
  for (const auto& line : *lines) actions.push_back(line.action);
  EXPECT_THAT(actions, ElementsAre("user.roles_changed", "user.disabled", "user.made_admin", "user.password_changed",
                                   "user.added", "user.added"));
  const auto hidden =
      read([](Tx& tx) -> Result<std::vector<AuditLine>> { return audit_lines(tx, AuditFilter{}, 100); });
  EXPECT_TRUE(hidden->empty()) << "a project's administrator does not see the server's";
}

TEST(Password, IsArgon2idAndNobodysTakesAsLong) {
  const auto hash = hash_password("correct horse");
  ASSERT_TRUE(hash) << hash.error().message;
  EXPECT_TRUE(hash->starts_with("$argon2id$v=19$m=32768,t=2,p=1$"));
  EXPECT_FALSE(needs_rehash(*hash));
  EXPECT_TRUE(needs_rehash("$argon2id$v=19$m=8192,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + std::string(43, 'A')));
  EXPECT_TRUE(verify_password(*hash, "correct horse"));
  EXPECT_FALSE(verify_password(*hash, "correct hors"));
  EXPECT_FALSE(verify_password("", ""));
  const auto spent = [](const std::string& text) {
    timespec before{}, after{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    EXPECT_FALSE(verify_password(text, "wrong password"));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    return static_cast<double>(after.tv_sec - before.tv_sec) +
           static_cast<double>(after.tv_nsec - before.tv_nsec) * 1e-9;
  };
  const double known = std::min(spent(*hash), spent(*hash));
  const double unknown = std::min(spent(""), spent(""));
  EXPECT_NEAR(known / unknown, 1, 0.5);
  for (const std::string& bad :
       {std::string("short"), std::string(2000, 'x'), std::string("\xff\xff\xff\xff\xff\xff\xff\xff")})
    EXPECT_EQ(hash_password(bad).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace core
