#include "api/mlflow/auth.h"

#include <charconv>

#include "api/mlflow/door.h"
#include "api/mlflow/roles.h"
#include "core/password.h"
#include "core/project.h"
#include "core/resource_access.h"
#include "core/users.h"
#include "track/experiments.h"
#include "track/registered.h"

namespace api::mlflow {
namespace {

using base::JsonWriter;
using base::Level;
using base::Permission;
using base::Result;
using core::Resource;
using net::Method;
using net::Request;
using net::Response;
using store::Tx;

constexpr net::RouteLimits kBody{.body_bytes = size_t{64} << 10};

struct AuthDoor {
  store::Store& store;
  gate::Gatekeeper& keeper;
};

// Users are the whole server's, whatever project the request was about.
base::Context of_server(const Request& request) {
  base::Context ctx = request.ctx;
  ctx.project = core::kServerProject;
  return ctx;
}

std::string_view plain_name(const base::Actor& actor) {
  const std::string_view name = actor.name;
  return name.substr(name.find(':') + 1);
}

bool rules_project(const Request& request) {
  return request.grant->rules_server || request.grant->permissions.has(Permission::kAdmin);
}

base::Error not_yours() { return {base::Code::kForbidden, "Permission denied"}; }

Result<core::User> find_user(Tx& tx, std::string_view name) {
  auto user = core::find_user(tx, name);
  TRY(tx.status());
  if (!user) return base::not_found("User with username=" + std::string(name.substr(0, 80)) + " not found");
  return std::move(*user);
}

// --- users ----------------------------------------------------------------------------------------------------------

// Somebody who is kept away from something does not learn of it by asking for his own permissions.
std::vector<core::ResourceGrant> shown(std::vector<core::ResourceGrant> grants, const Request& request) {
  if (!rules_project(request))
    std::erase_if(grants, [](const core::ResourceGrant& grant) { return grant.level < Level::kRead; });
  return grants;
}

void write_grants(JsonWriter& json, const core::User& user, const std::vector<core::ResourceGrant>& grants) {
  const auto write = [&](Resource kind, std::string_view list, std::string_view id) {
    json.key(list).begin_array();
    for (const core::ResourceGrant& grant : grants) {
      if (grant.kind != kind) continue;
      json.begin_object().field(id, grant.resource).field("user_id", user.id);
      json.field("permission", core::level_name(grant.level)).end_object();
    }
    json.end_array();
  };
  write(Resource::kExperiment, "experiment_permissions", "experiment_id");
  write(Resource::kModel, "registered_model_permissions", "name");
  json.key("scorer_permissions").begin_array().end_array();
}

void send_user(Response& response, const core::User& user, std::string_view more = {},
               const std::vector<core::ResourceGrant>& grants = {}) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("user").begin_object();
  json.field("id", user.id).field("username", user.name).field("is_admin", user.admin);
  write_grants(json, user, grants);  // of the older clients
  json.end_object();
  if (!more.empty()) json.field(more, true);
  json.end_object();
  response.send_json(std::move(body));
}

base::Task<void> create_user(const AuthDoor& door, Request& request, Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string name = args.text("username"), password = args.text("password");
  if (args.error()) co_return fail(response, *args.error());
  if (name.empty() || password.empty())
    co_return fail(response, {base::Code::kInvalid, "Username and password cannot be empty."});
  if (const auto good = core::check_new_password(password); !good) co_return fail(response, good.error());
  auto hash = co_await door.keeper.passwords().hash(password);
  if (!hash) co_return fail(response, hash.error());
  core::NewUser user;
  user.name = name;
  user.password = std::move(*hash);
  user.roles = {{request.grant->project_name, core::Role::kContributor}};
  auto add = [&](Tx& tx) -> Result<core::User> {
    if (core::find_user(tx, name)) {
      return base::fail(base::Code::kAlreadyExists, "User (username=" + name + ") already exists.");
    }
    return core::add_user(tx, user);
  };
  const auto added = co_await door.store.write(of_server(request), add);
  if (!added) co_return fail(response, added.error());
  send_user(response, *added);
}

struct UserGrants {
  core::User user;
  std::vector<core::ResourceGrant> grants;  // those that the sender may see
};

Result<UserGrants> find_with_grants(Tx& tx, std::string_view name, const Request& request) {
  UserGrants out;
  TRY_SET(out.user, find_user(tx, name));
  out.grants = shown(core::list_grants(tx, out.user.id), request);
  TRY(tx.status());
  return out;
}

base::Task<void> get_user(const AuthDoor& door, Request& request, Response& response) {
  Args args(request);
  const std::string name = args.required_text("username");
  if (args.error()) co_return fail(response, *args.error());
  if (!rules_project(request) && name != plain_name(request.ctx.actor)) co_return fail(response, not_yours());
  auto find = [&](Tx& tx) { return find_with_grants(tx, name, request); };
  const auto found = co_await door.store.read(request.ctx, find);
  if (!found) co_return fail(response, found.error());
  send_user(response, found->user, {}, found->grants);
}

base::Task<void> current_user(const AuthDoor& door, Request& request, Response& response) {
  const std::string name(plain_name(request.ctx.actor));
  auto find = [&](Tx& tx) { return find_user(tx, name); };
  const auto user = co_await door.store.read_point(of_server(request), find);
  if (user) co_return send_user(response, *user, "is_basic_auth");
  if (user.error().code != base::Code::kNotFound) co_return fail(response, user.error());
  core::User local;  // whoever runs the server, or a stage: no user, and yet somebody
  local.name = name;
  local.admin = request.grant->rules_server;
  send_user(response, local, "is_basic_auth");
}

// For whoever rules the project: its reviewers and role bearers are chosen from all users of the server.
base::Task<void> list_users(const AuthDoor& door, Request& request, Response& response) {
  struct Listed {
    core::User user;
    std::vector<core::NamedRole> roles;  // those that the sender may see
  };
  auto read = [&](Tx& tx) -> Result<std::vector<Listed>> {
    std::vector<Listed> out;
    for (core::User& user : core::list_users(tx)) {
      Listed& listed = out.emplace_back(std::move(user));
      listed.roles = core::named_roles_of(tx, listed.user.id);
      if (request.grant->rules_server || listed.user.name == plain_name(request.ctx.actor)) continue;
      std::erase_if(listed.roles, [&](const auto& role) { return role.project.id != request.grant->project; });
    }
    TRY(tx.status());
    return out;
  };
  const auto users = co_await door.store.read(request.ctx, read);
  if (!users) co_return fail(response, users.error());
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("users").begin_array();
  for (const Listed& listed : *users) {
    json.begin_object().field("id", listed.user.id).field("username", listed.user.name);
    json.field("is_admin", listed.user.admin).key("roles").begin_array();
    for (const core::NamedRole& role : listed.roles) write_role(json, role);
    json.end_array().end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
}

base::Task<void> update_password(const AuthDoor& door, Request& request, Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string name = args.required_text("username"), password = args.required_text("password");
  const std::string current = args.text("current_password");
  if (args.error()) co_return fail(response, *args.error());
  const bool own = name == plain_name(request.ctx.actor) && request.ctx.actor.kind == base::ActorKind::kUser;
  if (!own && !request.grant->rules_server) co_return fail(response, not_yours());
  if (own) {  // a session that was taken over must not change it
    if (current.empty()) {
      co_return fail(response, {base::Code::kInvalid, "Current password is required when changing your own password."});
    }
    const auto presented = net::read_presented(door.keeper.policy(), request);
    const std::string address(presented ? presented->address : std::string_view());
    if (const auto right = co_await door.keeper.passwords().check(name, current, address); !right) {
      if (right.error().code != base::Code::kUnauthenticated) co_return fail(response, right.error());
      co_return fail(response, {base::Code::kInvalid, "Current password does not match."});
    }
    if (password == current)
      co_return fail(response, {base::Code::kInvalid, "New password must differ from the current password."});
  }
  if (const auto good = core::check_new_password(password); !good) co_return fail(response, good.error());
  const auto hash = co_await door.keeper.passwords().hash(password);
  if (!hash) co_return fail(response, hash.error());
  auto change = [&](Tx& tx) -> Result<core::User> {
    TRY(find_user(tx, name));
    return core::change_user(tx, name, {.password = *hash, .admin = {}, .disabled = {}, .roles = {}});
  };
  const auto changed = co_await door.store.write(of_server(request), change);
  if (!changed) co_return fail(response, changed.error());
  door.keeper.revoke_user(changed->id);
  response.send_json("{}");
}

base::Task<void> update_admin(const AuthDoor& door, Request& request, Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string name = args.required_text("username");
  const auto admin = args.boolean("is_admin");
  if (!admin) args.missing("is_admin");
  if (args.error()) co_return fail(response, *args.error());
  auto change = [&](Tx& tx) -> Result<core::User> {
    TRY(find_user(tx, name));
    return core::change_user(tx, name, {.password = {}, .admin = *admin, .disabled = {}, .roles = {}});
  };
  const auto changed = co_await door.store.write(of_server(request), change);
  if (!changed) co_return fail(response, changed.error());
  door.keeper.revoke_user(changed->id);
  response.send_json("{}");
}

base::Task<void> delete_user(const AuthDoor& door, Request& request, Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string name = args.required_text("username");
  if (args.error()) co_return fail(response, *args.error());
  if (name == plain_name(request.ctx.actor) && request.ctx.actor.kind == base::ActorKind::kUser) {
    co_return fail(response, {base::Code::kInvalid,
                              "Users cannot delete their own account. Ask another admin to delete this user instead."});
  }
  auto remove = [&](Tx& tx) -> Result<int64_t> {
    TRY_SET(const core::User user, find_user(tx, name));
    TRY(core::delete_user(tx, name));
    return user.id;
  };
  const auto gone = co_await door.store.write(of_server(request), remove);
  if (!gone) co_return fail(response, gone.error());
  door.keeper.revoke_user(*gone);
  response.send_json("{}");
}

// --- permissions ----------------------------------------------------------------------------------------------------

struct Subject {
  std::string username;
  Resource kind = Resource::kExperiment;
  std::string resource;  // an experiment's id, a model's name, "*"
};

struct Wanted {
  Subject subject;
  std::optional<Level> level;
};

void parse_kind(Args& args, Subject& subject) {
  const std::string type = args.required_text("resource_type");
  if (type == "experiment") {
    subject.kind = Resource::kExperiment;
  } else if (type == "registered_model" || type == "prompt") {
    subject.kind = Resource::kModel;  // a prompt is a registered model
  } else if (!args.error()) {
    args.fail({base::Code::kInvalid, "Invalid resource type '" + type.substr(0, 80) +
                                         "'. This server keeps permissions of: ('experiment', 'prompt', "
                                         "'registered_model')"});
  }
}

Level parse_permission(Args& args, bool with_none) {
  const std::string text = args.required_text("permission");
  const auto level = core::parse_level(text);
  if (level && (with_none || *level != Level::kNone)) return *level;
  if (!args.error()) {
    args.fail({base::Code::kInvalid, "Invalid permission '" + text.substr(0, 80) +
                                         "'. Valid permissions are: ('READ', 'USE', 'EDIT', 'MANAGE', " +
                                         (with_none ? "'NO_PERMISSIONS', 'DENY')" : "'DENY')")});
  }
  return Level::kNone;
}

// What a subject is about must be there, and the caller must manage it.
Result<void> check_subject(Tx& tx, const Subject& subject, const base::ResourceAccess* limits, bool rules) {
  if (subject.resource == "*") return rules ? Result<void>() : Result<void>(std::unexpected(not_yours()));
  const auto there = [&]() -> Result<void> {
    if (subject.kind == Resource::kExperiment) {
      TRY(track::get_experiment(tx, subject.resource));
    } else {
      TRY(track::get_registered_model(tx, subject.resource));
    }
    return {};
  };
  if (rules) return there();
  if (limits == nullptr || core::level_now(tx, *limits, subject.kind, subject.resource) < Level::kManage)
    return std::unexpected(not_yours());
  return there();
}

// An experiment's id in its one spelling, so that a row is found under it.
void check_resource(Args& args, const Subject& subject) {
  if (subject.kind != Resource::kExperiment || subject.resource == "*" || args.error()) return;
  int64_t id = -1;
  const char* end = subject.resource.data() + subject.resource.size();
  const auto [stop, error] = std::from_chars(subject.resource.data(), end, id);
  if (error != std::errc() || stop != end || id < 0 || std::to_string(id) != subject.resource)
    args.fail({base::Code::kInvalid, "'" + subject.resource.substr(0, 80) + "' is no experiment id"});
}

struct Granted {
  int64_t user = 0;
  Level level = Level::kNone;
};

enum class Act : uint8_t { kPut, kCreate, kUpdate, kRemove, kDelete };

Result<Granted> act_on(Tx& tx, const Wanted& wanted, Act act, const base::ResourceAccess* limits, bool rules) {
  const Subject& s = wanted.subject;
  TRY(check_subject(tx, s, limits, rules));
  TRY_SET(const core::User user, find_user(tx, s.username));
  const auto before = core::find_grant(tx, user.id, s.kind, s.resource);
  const std::string what = s.kind == Resource::kExperiment
                               ? "Experiment permission with experiment_id=" + s.resource
                               : "Registered model permission with workspace=default, name=" + s.resource;
  if (act == Act::kCreate && before) {
    return base::fail(base::Code::kAlreadyExists, what + " and username=" + s.username + " already exists.");
  }
  if ((act == Act::kUpdate || act == Act::kDelete) && !before)
    return base::not_found(what + " and username=" + s.username + " not found");
  if (act == Act::kRemove || act == Act::kDelete) {
    TRY(core::remove_grant(tx, user.id, s.kind, s.resource));
    return Granted{user.id, Level::kNone};
  }
  TRY(core::put_grant(tx, user.id, {s.kind, s.resource, *wanted.level}));
  return Granted{user.id, *wanted.level};
}

// How a route names its subject, what it does, and how it answers.
struct PermissionRoute {
  std::optional<Resource> kind;  // none: resource_type and resource_id say
  Act act;
  std::string_view answer = {};  // field that repeats what was granted
};

void write_grant(JsonWriter& json, std::string_view field, const Subject& subject, const Granted& granted) {
  json.key(field).begin_object();
  if (subject.kind == Resource::kExperiment) {
    json.field("experiment_id", subject.resource);
  } else {
    json.field("workspace", "default").field("name", subject.resource);
  }
  json.field("user_id", granted.user).field("permission", core::level_name(granted.level)).end_object();
}

Subject parse_subject(Args& args, std::optional<Resource> kind) {
  Subject subject;
  subject.username = args.required_text("username");
  if (!kind) {
    parse_kind(args, subject);
    subject.resource = args.required_text("resource_id");
    if (subject.resource == "*" && args.text("resource_type") == "prompt")
      args.fail(
          {base::Code::kInvalid,
           "prompts are registered models here: a permission on all of them is one on ('registered_model', '*')"});
  } else {
    subject.kind = *kind;
    subject.resource = args.required_text(*kind == Resource::kExperiment ? "experiment_id" : "name");
  }
  check_resource(args, subject);
  return subject;
}

base::Task<void> change_permission(const AuthDoor& door, const PermissionRoute& route, Request& request,
                                   Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  Wanted wanted;
  wanted.subject = parse_subject(args, route.kind);
  if (route.act != Act::kRemove && route.act != Act::kDelete)
    wanted.level = parse_permission(args, route.kind.has_value());
  if (args.error()) co_return fail(response, *args.error());
  const auto limits = limits_of(request);
  auto act = [&](Tx& tx) { return act_on(tx, wanted, route.act, limits.get(), rules_project(request)); };
  const auto done = co_await door.store.write(request.ctx, act);
  if (!done) co_return fail(response, done.error());
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  if (!route.answer.empty()) write_grant(json, route.answer, wanted.subject, *done);
  json.end_object();
  response.send_json(std::move(body));
}

// A row as it was given: of the old clients.
base::Task<void> get_grant(const AuthDoor& door, Resource kind, std::string_view field, Request& request,
                           Response& response) {
  Args args(request);
  const Subject subject = parse_subject(args, kind);
  if (args.error()) co_return fail(response, *args.error());
  const auto limits = limits_of(request);
  auto find = [&](Tx& tx) -> Result<Granted> {
    if (subject.username != plain_name(request.ctx.actor))
      TRY(check_subject(tx, subject, limits.get(), rules_project(request)));
    TRY_SET(const core::User user, find_user(tx, subject.username));
    const auto level = core::find_grant(tx, user.id, subject.kind, subject.resource);
    if (!level) {
      return base::not_found("the permission of username=" + subject.username + " on " +
                             std::string(core::name(subject.kind)) + " " + subject.resource + " not found");
    }
    return Granted{user.id, *level};
  };
  const auto found = co_await door.store.read(request.ctx, find);
  if (!found) co_return fail(response, found.error());
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  write_grant(json, field, subject, *found);
  json.end_object();
  response.send_json(std::move(body));
}

// What a user may do there in the end, by roles and rows.
Result<Level> level_of(Tx& tx, const core::User& user, std::string_view project, const Subject& subject) {
  core::Identity identity;
  identity.actor = {user.kind, user.actor(), ""};
  identity.user = user.id;
  TRY_SET(const auto reach, core::reach_of(tx, identity, project));
  if (!reach || !reach->known) return Level::kNone;
  if (reach->permissions.has(Permission::kAdmin)) return Level::kManage;
  if (reach->resources) return core::level_now(tx, *reach->resources, subject.kind, subject.resource);
  if (reach->permissions.has(Permission::kWrite)) return Level::kWrite;
  return reach->permissions.has(Permission::kRead) ? Level::kRead : Level::kNone;
}

base::Task<void> get_permission(const AuthDoor& door, Request& request, Response& response) {
  Args args(request);
  const Subject subject = parse_subject(args, std::nullopt);
  if (args.error()) co_return fail(response, *args.error());
  const auto limits = limits_of(request);
  auto find = [&](Tx& tx) -> Result<Level> {
    if (subject.username != plain_name(request.ctx.actor)) {
      const auto managed = check_subject(tx, subject, limits.get(), rules_project(request));
      if (!managed && managed.error().code != base::Code::kNotFound) return std::unexpected(managed.error());
    }
    TRY_SET(const core::User user, find_user(tx, subject.username));
    return level_of(tx, user, request.grant->project_name, subject);
  };
  const auto level = co_await door.store.read(request.ctx, find);
  if (!level) co_return fail(response, level.error());
  std::string body;
  JsonWriter json(body);
  json.begin_object()
      .field("allowed", *level >= Level::kUse)
      .field("permission", core::level_name(*level))
      .end_object();
  response.send_json(std::move(body));
}

base::Task<void> list_permissions(const AuthDoor& door, bool of_sender, Request& request, Response& response) {
  Args args(request);
  const std::string own(plain_name(request.ctx.actor));
  const std::string name = of_sender ? own : args.required_text("username");
  if (args.error()) co_return fail(response, *args.error());
  if (name != own && !rules_project(request)) co_return fail(response, not_yours());
  struct Found {
    UserGrants own;
    std::vector<core::NamedRole> roles;
  };
  auto find = [&](Tx& tx) -> Result<Found> {
    Found out;
    TRY_SET(out.own, find_with_grants(tx, name, request));
    out.roles = core::named_roles_of(tx, out.own.user.id);
    TRY(tx.status());
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, find);
  if (!found) co_return fail(response, found.error());
  const core::User& user = found->own.user;
  const bool all = rules_project(request);
  std::string body;
  JsonWriter json(body);
  json.begin_object().field("is_admin", user.admin).key("permissions").begin_array();
  const auto row = [&](int64_t role, std::string_view role_name, std::string_view project, std::string_view kind,
                       std::string_view resource, Level level) {
    json.begin_object().field("role_id", role).field("role_name", role_name).field("workspace", project);
    json.field("resource_type", kind).field("resource_pattern", resource);
    json.field("permission", core::level_name(level)).end_object();
  };
  for (const core::ResourceGrant& grant : found->own.grants)  // upstream keeps them in a role of the user's own
    row(user.id, "__user_" + std::to_string(user.id) + "__", request.grant->project_name, core::name(grant.kind),
        grant.resource, grant.level);
  for (const core::NamedRole& role : found->roles) {
    if (name != own && !request.grant->rules_server && role.project.id != request.grant->project) continue;
    for (const core::RoleGrant& grant : role.grants) {
      if (all || grant.level >= Level::kRead)
        row(role.id, role.name, role.project.name, grant.kind, grant.resource, grant.level);
    }
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
}

void add_user_routes(Door& door, const AuthDoor& auth) {
  const auto add = [&](Method method, std::string_view path, net::Scope scope, auto handler) {
    door.add(
        method, path, Permission::kRead, kBody,
        [auth, handler](Request& request, Response& response) { return handler(auth, request, response); }, scope);
  };
  add(Method::kPost, "users/create", net::Scope::kServer, create_user);
  add(Method::kGet, "users/get", net::Scope::kProject, get_user);
  add(Method::kGet, "users/current", net::Scope::kProject, current_user);
  door.add(Method::kGet, "users/list", Permission::kAdmin, kBody,
           [auth](Request& request, Response& response) { return list_users(auth, request, response); });
  add(Method::kPatch, "users/update-admin", net::Scope::kServer, update_admin);
  add(Method::kDelete, "users/delete", net::Scope::kServer, delete_user);
  add(Method::kPatch, "users/update-password", net::Scope::kSelf, update_password);
}

void add_permission_routes(Door& door, const AuthDoor& auth) {
  // Whether the caller manages the resource is looked up with it.
  const auto change = [&](Method method, std::string_view path, PermissionRoute route) {
    door.add(method, path, Permission::kWrite, kBody, [auth, route](Request& request, Response& response) {
      return change_permission(auth, route, request, response);
    });
  };
  change(Method::kPost, "users/permissions/grant", {std::nullopt, Act::kPut});
  change(Method::kPost, "users/permissions/revoke", {std::nullopt, Act::kRemove});
  struct Old {
    Resource kind;
    std::string_view folder, field;
  };
  for (const Old& old : {Old{Resource::kExperiment, "experiments/permissions/", "experiment_permission"},
                         Old{Resource::kModel, "registered-models/permissions/", "registered_model_permission"}}) {
    const auto path = [&](const char* act) { return std::string(old.folder) + act; };
    change(Method::kPost, path("create"), {old.kind, Act::kCreate, old.field});
    change(Method::kPatch, path("update"), {old.kind, Act::kUpdate});
    change(Method::kDelete, path("delete"), {old.kind, Act::kDelete});
    door.add(Method::kGet, path("get"), Permission::kRead, kBody, [auth, old](Request& request, Response& response) {
      return get_grant(auth, old.kind, old.field, request, response);
    });
  }
  door.add(Method::kGet, "users/permissions/get", Permission::kRead, kBody,
           [auth](Request& request, Response& response) { return get_permission(auth, request, response); });
  door.add(Method::kGet, "users/permissions/list", Permission::kRead, kBody,
           [auth](Request& request, Response& response) { return list_permissions(auth, false, request, response); });
  door.add(Method::kGet, "users/current/permissions", Permission::kRead, kBody,
           [auth](Request& request, Response& response) { return list_permissions(auth, true, request, response); });
}

}  // namespace

void add_auth_routes(net::RouteTable& routes, store::Store& store, blob::BlobStore& blobs, net::Offload& offload,
                     gate::Gatekeeper& keeper) {
  Door door(routes, store, blobs, offload, {});
  const AuthDoor auth{store, keeper};
  add_user_routes(door, auth);
  add_permission_routes(door, auth);
  add_role_routes(door);
}

}  // namespace api::mlflow
