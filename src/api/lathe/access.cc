#include "api/lathe/access.h"

#include <algorithm>

#include "api/lathe/errors.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/password.h"
#include "core/project.h"
#include "core/session.h"
#include "core/users.h"
#include "track/experiments.h"

namespace api::lathe {
namespace {

using base::Result;
using gate::Via;
using net::Request;
using net::Response;

constexpr size_t kRolesAtOnce = 100;
constexpr int64_t kMaxTokenSeconds = int64_t{10} * 366 * 24 * 3600;

// Changes of access are the whole server's, whatever project the request was about.
base::Context of_server(const Request& request) {
  base::Context ctx = request.ctx;
  ctx.project = core::kServerProject;
  return ctx;
}

base::Task<Result<base::json::object>> read_object(Request& request) {
  // A form of another site can send any text, but not this type.
  const std::string_view type = request.header("content-type");
  if (!type.starts_with("application/json")) {
    co_return base::fail(base::Code::kInvalid,
                         "the Content-Type is '" + std::string(type.substr(0, 80)) + "'; it must be application/json");
  }
  CO_TRY_SET(const std::string body, co_await request.read_body());
  CO_TRY_SET(auto value, base::parse_json(body));
  CO_TRY(base::as_object(value, "the body"));
  co_return std::move(value.as_object());
}

Result<void> only(const base::json::object& object, std::initializer_list<std::string_view> allowed) {
  for (const auto& field : object) {
    const std::string_view key = field.key();
    if (std::ranges::find(allowed, key) != allowed.end()) continue;
    std::string list;
    for (const auto name : allowed) list.append(list.empty() ? "" : ", ").append(name);
    return base::invalid("unknown field '" + std::string(key.substr(0, 80)) + "'; allowed: " + list);
  }
  return {};
}

void no_store(Response& response) { response.header("Cache-Control", "no-store"); }

void refuse(Response& response, const Request& request, const base::Error& error, int64_t retry_after_s = 0) {
  if (error.code == base::Code::kTooMany)
    response.header("Retry-After", std::to_string(std::max<int64_t>(retry_after_s, 1)));
  fail(response, request, error);
}

// --- login and logout ------------------------------------------------------------------------------------------------

struct Login {
  std::string user, password;
};

base::Task<Result<Login>> read_login(Request& request) {
  CO_TRY_SET(const auto object, co_await read_object(request));
  CO_TRY(only(object, {"user", "password"}));
  Login login;
  CO_TRY_SET(login.user, base::required_string(object, "user"));
  CO_TRY_SET(login.password, base::required_string(object, "password"));
  co_return login;
}

base::Task<void> post_login(const AccessDoor& door, Request& request, Response& response) {
  no_store(response);
  const auto presented = net::read_presented(door.keeper.policy(), request);
  if (!presented) co_return fail(response, request, presented.error());
  const auto login = co_await read_login(request);
  if (!login) co_return fail(response, request, login.error());
  const std::string address(presented->address);
  const auto checked = co_await door.keeper.passwords().check(login->user, login->password, address);
  if (!checked) {
    co_return refuse(response, request, checked.error(), door.keeper.passwords().retry_after_s(address, login->user));
  }
  base::Context ctx = of_server(request);
  ctx.actor = {checked->user.kind, checked->user.actor(), ""};
  std::string old;
  if (presented->kind == net::Presented::Kind::kSession) old = core::hash_of_secret(presented->secret);
  auto open = [&](store::Tx& tx) -> Result<std::string> {
    if (!old.empty()) core::end_session(tx, old);
    core::audit(tx, "session.opened", "user", checked->user.name);
    return core::open_session(tx, checked->user.id, address);
  };
  const auto secret = co_await door.store.write(ctx, open);
  if (!secret) co_return fail(response, request, secret.error());
  if (!old.empty()) door.keeper.revoke_secret(old);
  response.header("Set-Cookie", net::session_cookie(*secret, presented->secure, core::kSessionAgeUs / 1'000'000));
  response.send(204, "", "");
}

base::Task<void> post_logout(const AccessDoor& door, Request& request, Response& response) {
  no_store(response);
  const auto& who = gate::admission_of(request);
  const std::string hash = who.via == Via::kSession ? who.hash : std::string();
  if (!hash.empty()) {
    auto end = [&hash, &who](store::Tx& tx) -> Result<void> {
      core::end_session(tx, hash);
      core::audit(tx, "session.ended", "user", who.identity.actor.name);
      core::emit(tx, "principal.revoked", "principal", who.identity.actor.name);
      return tx.status();
    };
    const auto ended = co_await door.store.write(of_server(request), end);
    if (!ended) co_return fail(response, request, ended.error());
    door.keeper.revoke_secret(hash);
  }
  const auto presented = net::read_presented(door.keeper.policy(), request);
  response.header("Set-Cookie", net::session_cookie("", presented && presented->secure, 0));
  response.send(204, "", "");
}

// --- me --------------------------------------------------------------------------------------------------------------

std::string_view kind_name(base::ActorKind kind) {
  switch (kind) {
    case base::ActorKind::kSystem:
    case base::ActorKind::kLocal: return "local";
    case base::ActorKind::kUser: return "user";
    case base::ActorKind::kService: return "service";
    case base::ActorKind::kAttempt: return "attempt";
  }
  return "local";
}

std::string_view plain_name(const base::Actor& actor) {
  const std::string_view name = actor.name;
  return actor.kind == base::ActorKind::kAttempt ? name : name.substr(name.find(':') + 1);
}

constexpr base::Permission kAsked[] = {base::Permission::kRead, base::Permission::kWrite, base::Permission::kInfer,
                                       base::Permission::kRunCode, base::Permission::kAdmin};

base::Task<void> get_me(const AccessDoor& door, Request& request, Response& response) {
  no_store(response);
  const auto& who = gate::admission_of(request);
  struct Reach {
    std::vector<std::string> projects, roles;
  };
  auto read = [&who](store::Tx& tx) -> Result<Reach> {
    Reach reach;
    TRY_SET(reach.projects, core::projects_of(tx, who.identity));
    if (who.project_known) reach.roles = core::role_names(tx, who.identity, who.project);
    TRY(tx.status());
    return reach;
  };
  const auto reach = co_await door.store.read_point(request.ctx, read);
  if (!reach) co_return fail(response, request, reach.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", plain_name(who.actor)).field("kind", kind_name(who.actor.kind));
  json.key("roles").begin_array();
  if (who.actor.kind == base::ActorKind::kLocal) json.value("admin");
  for (const auto& role : reach->roles) json.value(role);
  json.end_array().field("admin", who.rules_server);
  json.field("project", who.project_name).key("permissions").begin_array();
  for (const auto permission : kAsked) {
    if (who.permissions.has(permission)) json.value(net::name(permission));
  }
  json.end_array().key("projects").begin_array();
  for (const auto& project : reach->projects) json.value(project);
  json.end_array().field("mode", door.keeper.has_users() ? "users" : "local");
  const auto limits = who.limited ? who.resources.load() : nullptr;
  json.field("by_resource", limits != nullptr);
  json.field("creates", limits ? limits->creates : who.permissions.has(base::Permission::kWrite));
  json.field("reads_project", who.permissions.has(base::Permission::kRead) && (!limits || limits->reads_all()));
  json.field("session", who.via == Via::kSession).end_object();
  response.send_json(std::move(body));
}

base::Task<void> post_password(const AccessDoor& door, Request& request, Response& response) {
  no_store(response);
  const auto& who = gate::admission_of(request);
  const auto object = co_await read_object(request);
  if (!object) co_return fail(response, request, object.error());
  if (auto ok = only(*object, {"old_password", "new_password"}); !ok) co_return fail(response, request, ok.error());
  const auto old_password = base::required_string(*object, "old_password");
  if (!old_password) co_return fail(response, request, old_password.error());
  const auto new_password = base::required_string(*object, "new_password");
  if (!new_password) co_return fail(response, request, new_password.error());
  if (who.identity.user == 0) {
    co_return fail(response, request,
                   {base::Code::kForbidden, "'" + who.actor.name + "' is no user, and has no password"});
  }
  if (auto ok = core::check_new_password(*new_password); !ok) co_return fail(response, request, ok.error());
  const std::string name(plain_name(who.actor));
  const auto presented = net::read_presented(door.keeper.policy(), request);
  const std::string address(presented ? presented->address : std::string_view());
  const auto checked = co_await door.keeper.passwords().check(name, *old_password, address);
  if (!checked) {
    if (checked.error().code == base::Code::kUnauthenticated)
      co_return fail(response, request, {base::Code::kForbidden, "the old password is wrong"});
    co_return refuse(response, request, checked.error(), door.keeper.passwords().retry_after_s(address, name));
  }
  const auto hash = co_await door.keeper.passwords().hash(*new_password);
  if (!hash) co_return refuse(response, request, hash.error());
  auto change = [&](store::Tx& tx) { return core::change_user(tx, name, {.password = *hash}); };
  const auto changed = co_await door.store.write(of_server(request), change);
  if (!changed) co_return fail(response, request, changed.error());
  door.keeper.revoke_user(changed->id);
  response.send(204, "", "");
}

// --- users -----------------------------------------------------------------------------------------------------------

void write_user(base::JsonWriter& json, const core::User& user) {
  json.begin_object().field("name", user.name).field("kind", kind_name(user.kind)).field("admin", user.admin);
  json.field("disabled", user.disabled).field("created_us", user.created_us).key("roles").begin_object();
  for (size_t i = 0; i < user.roles.size();) {  // in the order of projects
    const std::string& project = user.roles[i].project;
    json.key(project).begin_array();
    for (; i < user.roles.size() && user.roles[i].project == project; ++i) json.value(core::name(user.roles[i].role));
    json.end_array();
  }
  json.end_object().end_object();
}

void send_user(Response& response, const core::User& user, int status) {
  std::string body;
  base::JsonWriter json(body);
  write_user(json, user);
  no_store(response);
  response.send_json(std::move(body), status);
}

// {"default": ["viewer", "infer"], "*": "viewer"}; null or [] takes the roles of that project away.
using Roles = std::vector<std::pair<std::string, std::vector<core::Role>>>;
Result<std::optional<Roles>> roles_in(const base::json::object& object) {
  const auto* given = object.if_contains("roles");
  if (given == nullptr) return std::nullopt;
  TRY_SET(const auto* map, base::as_object(*given, "field 'roles'"));
  if (map->size() > kRolesAtOnce)
    return base::invalid("roles of more than " + std::to_string(kRolesAtOnce) + " projects at once");
  Roles out;
  for (const auto& [project, value] : *map) {
    std::vector<core::Role> roles;
    const auto take = [&roles](const base::json::value& text) -> Result<void> {
      if (!text.is_string()) return base::invalid("a role must be a string");
      TRY_SET(const core::Role role, core::parse_role(text.as_string()));
      roles.push_back(role);
      return {};
    };
    if (value.is_string()) {
      TRY(take(value));
    } else if (value.is_array()) {
      for (const auto& each : value.as_array()) TRY(take(each));
    } else if (!value.is_null()) {
      return base::invalid("the roles of project '" + std::string(project).substr(0, 80) +
                           "' must be a role, a list of roles, or null");
    }
    out.emplace_back(project, std::move(roles));
  }
  return out;
}

base::Task<void> get_users(const AccessDoor& door, Request& request, Response& response) {
  auto read = [](store::Tx& tx) -> Result<std::vector<core::User>> {
    auto users = core::list_users(tx);
    TRY(tx.status());
    return users;
  };
  const auto users = co_await door.store.read(request.ctx, read);
  if (!users) co_return fail(response, request, users.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("users").begin_array();
  for (const auto& user : *users) write_user(json, user);
  json.end_array().end_object();
  no_store(response);
  response.send_json(std::move(body));
}

struct UserRequest {
  core::NewUser user;
  std::string password;
};

base::Task<Result<UserRequest>> read_new_user(Request& request) {
  CO_TRY_SET(const auto object, co_await read_object(request));
  CO_TRY(only(object, {"name", "password", "kind", "admin", "roles"}));
  UserRequest out;
  CO_TRY_SET(out.user.name, base::required_string(object, "name"));
  CO_TRY_SET(const auto kind, base::optional_string(object, "kind"));
  if (kind && *kind != "user" && *kind != "service")
    co_return base::invalid("field 'kind' is '" + kind->substr(0, 80) + "'; allowed: user, service");
  if (kind == "service") out.user.kind = base::ActorKind::kService;
  CO_TRY_SET(const auto password, base::optional_string(object, "password"));
  if (out.user.kind == base::ActorKind::kService && password)
    co_return base::invalid("a service has tokens and no password");
  if (out.user.kind == base::ActorKind::kUser && !password) co_return base::invalid("field 'password' is missing");
  out.password = password.value_or("");
  CO_TRY_SET(const auto admin, base::optional_bool(object, "admin"));
  out.user.admin = admin.value_or(false);
  CO_TRY_SET(const auto roles, roles_in(object));
  for (const auto& [project, list] : roles.value_or(Roles())) {
    for (const auto role : list) out.user.roles.push_back({project, role});
  }
  co_return out;
}

base::Task<void> post_user(const AccessDoor& door, Request& request, Response& response) {
  auto wanted = co_await read_new_user(request);
  if (!wanted) co_return fail(response, request, wanted.error());
  if (wanted->user.kind == base::ActorKind::kUser) {
    auto hash = co_await door.keeper.passwords().hash(wanted->password);
    if (!hash) co_return refuse(response, request, hash.error());
    wanted->user.password = std::move(*hash);
  }
  auto add = [&](store::Tx& tx) { return core::add_user(tx, wanted->user); };
  const auto added = co_await door.store.write(of_server(request), add);
  if (!added) co_return fail(response, request, added.error());
  send_user(response, *added, 201);
}

base::Task<void> patch_user(const AccessDoor& door, Request& request, Response& response) {
  const auto object = co_await read_object(request);
  if (!object) co_return fail(response, request, object.error());
  core::UserChange change;
  std::optional<std::string> password;
  const auto read = [&]() -> Result<void> {
    TRY(only(*object, {"password", "admin", "disabled", "roles"}));
    TRY_SET(password, base::optional_string(*object, "password"));
    TRY_SET(change.admin, base::optional_bool(*object, "admin"));
    TRY_SET(change.disabled, base::optional_bool(*object, "disabled"));
    TRY_SET(change.roles, roles_in(*object));
    return {};
  };
  if (auto ok = read(); !ok) co_return fail(response, request, ok.error());
  if (password) {
    auto hash = co_await door.keeper.passwords().hash(*password);
    if (!hash) co_return refuse(response, request, hash.error());
    change.password = std::move(*hash);
  }
  auto apply = [&, name = std::string(request.param("name"))](store::Tx& tx) {
    return core::change_user(tx, name, change);
  };
  const auto changed = co_await door.store.write(of_server(request), apply);
  if (!changed) co_return fail(response, request, changed.error());
  door.keeper.revoke_user(changed->id);
  send_user(response, *changed, 200);
}

// --- tokens ----------------------------------------------------------------------------------------------------------

// Whether this caller may deal with the owner's tokens at all: a token that was made narrower must not make, see or
// end others.
Result<void> may_manage_tokens(const gate::Admission& who) {
  const bool narrow = who.via == Via::kToken && (who.identity.role || who.identity.project != 0);
  if (who.actor.kind == base::ActorKind::kAttempt || narrow) {
    return base::fail(base::Code::kForbidden, "this token is for one purpose, and may not deal with other tokens");
  }
  return {};
}

void write_token(base::JsonWriter& json, const core::TokenInfo& token) {
  json.begin_object().field("id", token.id).field("user", token.owner).field("label", token.label);
  json.field("role", token.role).field("project", token.project).field("created_us", token.created_us);
  json.field("expires_us", token.expires_us).field("last_used_us", token.seen_us).end_object();
}

base::Task<void> get_tokens(const AccessDoor& door, Request& request, Response& response) {
  const auto& who = gate::admission_of(request);
  if (auto ok = may_manage_tokens(who); !ok) co_return fail(response, request, ok.error());
  const bool rules = who.rules_server;
  const bool all = who.identity.user == 0 || request.query_value("all") == "true";
  if (all && !rules) {
    co_return fail(response, request,
                   {base::Code::kForbidden, "everybody's tokens are for the server's administrators to see"});
  }
  auto read = [all, user = who.identity.user](store::Tx& tx) -> Result<std::vector<core::TokenInfo>> {
    auto tokens = core::list_tokens(tx, all ? std::nullopt : std::optional(user));
    TRY(tx.status());
    return tokens;
  };
  const auto tokens = co_await door.store.read(request.ctx, read);
  if (!tokens) co_return fail(response, request, tokens.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("tokens").begin_array();
  for (const auto& token : *tokens) write_token(json, token);
  json.end_array().end_object();
  no_store(response);
  response.send_json(std::move(body));
}

struct TokenRequest {
  std::string user, label, project;
  std::optional<core::Role> role;
  int64_t expires_in_s = 0;
};

base::Task<Result<TokenRequest>> read_new_token(Request& request) {
  CO_TRY_SET(const auto object, co_await read_object(request));
  CO_TRY(only(object, {"user", "label", "project", "role", "expires_in_s"}));
  TokenRequest out;
  CO_TRY_SET(const auto user, base::optional_string(object, "user"));
  CO_TRY_SET(const auto label, base::optional_string(object, "label"));
  CO_TRY_SET(const auto project, base::optional_string(object, "project"));
  CO_TRY_SET(const auto role, base::optional_string(object, "role"));
  CO_TRY_SET(const auto seconds, base::optional_int(object, "expires_in_s"));
  out.user = user.value_or("");
  out.label = label.value_or("");
  out.project = project.value_or("");
  if (role && !role->empty()) {
    CO_TRY_SET(out.role, core::parse_role(*role));
  }
  if (seconds && (*seconds < 1 || *seconds > kMaxTokenSeconds)) {
    co_return base::invalid("expires_in_s is " + std::to_string(*seconds) + "; it must be from 1 to " +
                            std::to_string(kMaxTokenSeconds));
  }
  out.expires_in_s = seconds.value_or(0);
  co_return out;
}

struct Minted {
  core::MintedToken token;
  std::string owner;
  int64_t expires_us = 0;
};

// In one transaction: the owner is who may still do what the token may.
Result<Minted> mint(store::Tx& tx, const TokenRequest& wanted, const std::string& owner) {
  TRY_SET(const core::User user, core::get_user(tx, owner));
  if (user.disabled) return base::fail(base::Code::kConflict, "'" + owner + "' is disabled");
  core::NewUserToken token{.user = user.id, .label = wanted.label, .role = wanted.role};
  core::Identity identity;
  identity.actor = {user.kind, user.actor(), ""};
  identity.user = user.id;
  if (!wanted.project.empty()) {
    TRY_SET(const auto reach, core::reach_of(tx, identity, wanted.project));
    if (!reach || !reach->known) {
      return base::not_found("project '" + wanted.project.substr(0, 80) + "' does not exist, or '" + owner +
                             "' has no role in it");
    }
    token.scope = reach->project;
    if (wanted.role) {
      const auto asked = core::permissions_of(*wanted.role);
      if ((reach->permissions & asked) != asked) {
        return base::fail(base::Code::kForbidden, "'" + owner + "' may not do all that the role '" +
                                                      std::string(core::name(*wanted.role)) + "' allows in '" +
                                                      wanted.project + "'");
      }
    }
  }
  if (wanted.expires_in_s != 0) token.expires_us = tx.now_us() + wanted.expires_in_s * 1'000'000;
  TRY_SET(auto minted, core::mint_user_token(tx, token));
  return Minted{std::move(minted), owner, token.expires_us};
}

base::Task<void> post_token(const AccessDoor& door, Request& request, Response& response) {
  no_store(response);
  const auto& who = gate::admission_of(request);
  const auto wanted = co_await read_new_token(request);
  if (!wanted) co_return fail(response, request, wanted.error());
  const std::string self(who.identity.user != 0 ? plain_name(who.actor) : std::string_view());
  const std::string owner = wanted->user.empty() ? self : wanted->user;
  // What a token makes could outlive it, and be wider: only who has logged in makes tokens, or the server's
  // administrator for others.
  const bool rules = who.rules_server;
  if (auto ok = may_manage_tokens(who); !ok) co_return fail(response, request, ok.error());
  if (owner.empty()) co_return fail(response, request, {base::Code::kInvalid, "field 'user' says whose token it is"});
  if (owner != self && !rules) {
    co_return fail(response, request,
                   {base::Code::kForbidden, "tokens of others are for the server's administrators to make"});
  }
  if (who.via == Via::kToken && owner == self) {
    co_return fail(response, request,
                   {base::Code::kForbidden, "a token does not make further tokens of its owner: log in instead"});
  }
  auto make = [&](store::Tx& tx) { return mint(tx, *wanted, owner); };
  const auto minted = co_await door.store.write(of_server(request), make);
  if (!minted) co_return fail(response, request, minted.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("id", minted->token.id).field("token", minted->token.secret);
  json.field("user", minted->owner).field("expires_us", minted->expires_us).end_object();
  response.send_json(std::move(body), 201);
}

base::Task<void> delete_token(const AccessDoor& door, Request& request, Response& response) {
  const auto& who = gate::admission_of(request);
  if (auto ok = may_manage_tokens(who); !ok) co_return fail(response, request, ok.error());
  const bool rules = who.rules_server;
  const std::string id(request.param("id"));
  auto revoke = [&](store::Tx& tx) {
    return core::revoke_token(tx, id, rules ? std::nullopt : std::optional(who.identity.user));
  };
  const auto hash = co_await door.store.write(of_server(request), revoke);
  if (!hash) co_return fail(response, request, hash.error());
  door.keeper.revoke_secret(*hash);
  response.send(204, "", "");
}

// --- projects --------------------------------------------------------------------------------------------------------

base::Task<void> get_projects(const AccessDoor& door, Request& request, Response& response) {
  auto read = [&request](store::Tx& tx) { return core::projects_of(tx, gate::admission_of(request).identity); };
  const auto projects = co_await door.store.read(request.ctx, read);
  if (!projects) co_return fail(response, request, projects.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("projects").begin_array();
  for (const auto& name : *projects) json.begin_object().field("name", name).end_object();
  json.end_array().end_object();
  response.send_json(std::move(body));
}

base::Task<void> post_project(const AccessDoor& door, Request& request, Response& response) {
  const auto object = co_await read_object(request);
  if (!object) co_return fail(response, request, object.error());
  if (auto ok = only(*object, {"name"}); !ok) co_return fail(response, request, ok.error());
  const auto name = base::required_string(*object, "name");
  if (!name) co_return fail(response, request, name.error());
  auto add = [&](store::Tx& tx) -> Result<void> {
    tx.lock("projects", "");
    if (core::get_project(tx, *name))
      return base::fail(base::Code::kAlreadyExists, "there is a project '" + *name + "' already");
    TRY(tx.status());
    TRY_SET(const core::Project project, core::ensure_project(tx, *name));
    TRY(track::ensure_default_experiment(tx, project.id, door.artifact_root));
    core::emit(tx, "project.added", "project", *name);
    core::audit(tx, "project.added", "project", *name);
    return tx.status();
  };
  const auto added = co_await door.store.write(of_server(request), add);
  if (!added) co_return fail(response, request, added.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("name", *name).end_object();
  response.send_json(std::move(body), 201);
}

}  // namespace

void add_access_routes(net::RouteTable& routes, const AccessDoor& door) {
  using net::Method;
  using net::Scope;
  const auto add = [&](Method method, std::string path, Scope scope,
                       base::Task<void> (*handler)(const AccessDoor&, Request&, Response&)) {
    const bool has_body = method == Method::kPost || method == Method::kPatch;
    // Login is open; the rest asks for a login, and no permission in any project.
    routes.add({method, "/api/lathe/v1" + path, net::Protocol::kLathe, base::Permission::kNone,
                net::RouteLimits{.body_bytes = has_body ? size_t{64} << 10 : 0},
                [door, handler](Request& request, Response& response) { return handler(door, request, response); },
                scope});
  };
  add(Method::kPost, "/login", Scope::kProject, post_login);
  add(Method::kPost, "/logout", Scope::kSelf, post_logout);
  add(Method::kGet, "/me", Scope::kSelf, get_me);
  add(Method::kPost, "/me/password", Scope::kSelf, post_password);
  add(Method::kGet, "/users", Scope::kServer, get_users);
  add(Method::kPost, "/users", Scope::kServer, post_user);
  add(Method::kPatch, "/users/{name}", Scope::kServer, patch_user);
  add(Method::kGet, "/tokens", Scope::kSelf, get_tokens);
  add(Method::kPost, "/tokens", Scope::kSelf, post_token);
  add(Method::kDelete, "/tokens/{id}", Scope::kSelf, delete_token);
  add(Method::kGet, "/projects", Scope::kSelf, get_projects);
  add(Method::kPost, "/projects", Scope::kServer, post_project);
}

}  // namespace api::lathe
