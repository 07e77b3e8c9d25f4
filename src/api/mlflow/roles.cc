// The roles of MLflow's AuthServiceClient: named sets of grants (core/named_role.h) for many users. Whoever rules a
// project (MLflow's workspace) makes its roles and gives them; who bears one of them sees them.
#include "api/mlflow/roles.h"

#include <algorithm>

#include "api/mlflow/auth.h"
#include "api/mlflow/door.h"
#include "core/named_role.h"
#include "core/users.h"

namespace api::mlflow {
namespace {

using base::JsonWriter;
using base::Permission;
using base::Result;
using core::NamedRole;
using core::RoleBearer;
using core::RoleGrant;
using net::Method;
using net::Request;
using store::Tx;

constexpr net::RouteLimits kBody{.body_bytes = size_t{64} << 10};

// The sender, as far as roles go.
struct Sender {
  int64_t user = 0;  // row id; 0: no user of ours
  std::string name;
  int64_t project = 0;  // of the request
  bool server = false, project_admin = false;

  bool rules(int64_t of) const { return server || (project_admin && of == project); }
};

Sender sender_of(const Request& request) {
  Sender sender;
  sender.user = gate::admission_of(request).identity.user;
  const std::string_view name = request.ctx.actor.name;
  sender.name = name.substr(name.find(':') + 1);
  sender.project = request.grant->project;
  sender.server = request.grant->rules_server;
  sender.project_admin = request.grant->permissions.has(Permission::kAdmin);
  return sender;
}

base::Error not_yours() { return {base::Code::kForbidden, "Permission denied"}; }

// Whoever may not know of a role is not told whether it is there.
Result<NamedRole> role_for(Tx& tx, const Sender& sender, int64_t id, bool to_change) {
  auto role = core::get_named_role(tx, id);
  if (!role) {
    if (role.error().code != base::Code::kNotFound || sender.server) return role;
    return std::unexpected(not_yours());
  }
  const bool may = sender.rules(role->project.id) ||
                   (!to_change && sender.user != 0 && core::bears_role_in(tx, sender.user, role->project.id));
  if (!may) return std::unexpected(not_yours());
  return role;
}

Result<core::User> find_user(Tx& tx, std::string_view name) {
  auto user = core::find_user(tx, name);
  TRY(tx.status());
  if (!user) return base::not_found("User with username=" + std::string(name.substr(0, 80)) + " not found");
  return std::move(*user);
}

void write_role_field(JsonWriter& json, const NamedRole& role) {
  json.key("role");
  write_role(json, role);
}

void write_grant(JsonWriter& json, const RoleGrant& grant) {
  json.begin_object().field("id", grant.id).field("role_id", grant.role).field("resource_type", grant.kind);
  json.field("resource_pattern", grant.resource).field("permission", core::level_name(grant.level)).end_object();
}

void write_grant_field(JsonWriter& json, const RoleGrant& grant) {
  json.key("role_permission");
  write_grant(json, grant);
}

void write_bearer(JsonWriter& json, const RoleBearer& bearer) {
  json.begin_object().field("id", bearer.id).field("user_id", bearer.user).field("role_id", bearer.role).end_object();
}

void write_roles(JsonWriter& json, const std::vector<NamedRole>& roles) {
  json.key("roles").begin_array();
  for (const NamedRole& role : roles) write_role(json, role);
  json.end_array();
}

// --- what calls want

struct Call {
  Sender sender;
  int64_t role = 0, grant = 0;
  std::string username;
};

int64_t required_number(Args& args, std::string_view name) {
  const auto number = args.integer(name);
  if (!number) args.missing(name);
  return number.value_or(0);
}

base::Level parse_permission(Args& args) {
  const std::string text = args.required_text("permission");
  const auto level = core::parse_level(text);
  if (!level && !args.error()) {
    args.fail({base::Code::kInvalid, "Invalid permission '" + text.substr(0, 80) +
                                         "'. Valid permissions are: ('READ', 'USE', 'EDIT', 'MANAGE', "
                                         "'NO_PERMISSIONS', 'DENY')"});
  }
  return level.value_or(base::Level::kNone);
}

// A project's roles are made in it, or by whoever rules the server.
Result<void> may_make_in(Tx& tx, const Sender& sender, std::string_view workspace) {
  const auto project = core::get_project(tx, workspace);
  if (!project && sender.server) return std::unexpected(project.error());
  if (!project || !sender.rules(project->id)) return std::unexpected(not_yours());
  return {};
}

Result<std::vector<NamedRole>> list_roles(Tx& tx, const Sender& sender, const std::vector<std::string>& workspaces) {
  if (workspaces.empty()) {
    if (!sender.server) return std::unexpected(not_yours());
    return core::list_named_roles(tx, std::nullopt);
  }
  std::vector<NamedRole> all;
  for (const std::string& workspace : workspaces) {
    const auto project = core::get_project(tx, workspace);
    TRY(tx.status());
    const bool may = project && (sender.rules(project->id) ||
                                 (sender.user != 0 && core::bears_role_in(tx, sender.user, project->id)));
    if (!may && !sender.server) return std::unexpected(not_yours());
    if (!project) continue;
    std::vector<NamedRole> roles = core::list_named_roles(tx, project->id);
    std::move(roles.begin(), roles.end(), std::back_inserter(all));
  }
  std::ranges::sort(all, {}, &NamedRole::id);
  all.erase(std::ranges::unique(all, {}, &NamedRole::id).begin(), all.end());
  return all;
}

// One's own, or those of projects that the sender rules.
Result<std::vector<NamedRole>> roles_of(Tx& tx, const Sender& sender, std::string_view username) {
  const bool own = sender.user != 0 && username == sender.name;
  if (!own && !sender.server && !sender.project_admin) return std::unexpected(not_yours());
  const auto user = find_user(tx, username);
  if (!user) {
    if (user.error().code == base::Code::kNotFound && !sender.server) return std::unexpected(not_yours());
    return std::unexpected(user.error());
  }
  std::vector<NamedRole> roles = core::named_roles_of(tx, user->id);
  if (!own) std::erase_if(roles, [&](const NamedRole& role) { return !sender.rules(role.project.id); });
  return roles;
}

// --- routes

// One call on rows of the store: parameters, transaction, answer.
template <class Parse, class Act, class Render>
auto handler(store::Store& store, bool writes, Parse parse, Act act, Render render) {
  return [&store, writes, parse, act, render](Request& request, net::Response& response) -> base::Task<void> {
    Args args(request);
    if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
    const auto in = parse(args);
    if (args.error()) co_return fail(response, *args.error());
    const Sender sender = sender_of(request);
    auto job = [&](Tx& tx) { return act(tx, sender, in); };
    using Out = decltype(act(std::declval<Tx&>(), sender, in));
    Out out = base::internal("not run");
    if (writes) {
      out = co_await store.write(request.ctx, job);
    } else {
      out = co_await store.read(request.ctx, job);
    }
    if (!out) co_return fail(response, out.error());
    response.send_json(render_answer(out, render));
  };
}

class Roles {
 public:
  explicit Roles(Door& door) : door_(door) {}

  template <class Parse, class Act, class Render = Nothing>
  void change(Method method, std::string_view path, Parse parse, Act act, Render render = {}) {
    door_.add(method, path, Permission::kAdmin, kBody, handler(door_.store(), true, parse, act, render));
  }
  template <class Parse, class Act, class Render>
  void look(std::string_view path, Parse parse, Act act, Render render) {
    door_.add(Method::kGet, path, Permission::kRead, kBody, handler(door_.store(), false, parse, act, render));
  }

 private:
  Door& door_;
};

int64_t role_id(Args& args) { return required_number(args, "role_id"); }

void add_role_acts(Roles& roles) {
  struct New {
    std::string workspace, name;
    std::optional<std::string> description;
  };
  roles.change(
      Method::kPost, "roles/create",
      [](Args& args) {
        New in;
        in.name = args.required_text("name");
        in.workspace = args.required_text("workspace");
        in.description = args.optional_text("description");
        return in;
      },
      [](Tx& tx, const Sender& sender, const New& in) -> Result<NamedRole> {
        TRY(may_make_in(tx, sender, in.workspace));
        return core::create_named_role(tx, in.workspace, in.name, in.description);
      },
      write_role_field);
  struct Change {
    int64_t role;
    std::optional<std::string> name, description;
  };
  roles.change(
      Method::kPatch, "roles/update",
      [](Args& args) {
        Change in{role_id(args), args.optional_text("name"), args.optional_text("description")};
        if (!in.name && !in.description && !args.error()) {
          args.fail(
              {base::Code::kInvalid, "At least one of 'name' or 'description' must be provided to update a role."});
        }
        return in;
      },
      [](Tx& tx, const Sender& sender, const Change& in) -> Result<NamedRole> {
        TRY(role_for(tx, sender, in.role, true));
        return core::update_named_role(tx, in.role, in.name, in.description);
      },
      write_role_field);
  roles.change(Method::kDelete, "roles/delete", role_id, [](Tx& tx, const Sender& sender, int64_t id) -> Result<void> {
    TRY(role_for(tx, sender, id, true));
    return core::delete_named_role(tx, id);
  });
  roles.look(
      "roles/get", role_id, [](Tx& tx, const Sender& sender, int64_t id) { return role_for(tx, sender, id, false); },
      write_role_field);
  roles.look("roles/list", [](Args& args) { return args.texts("workspace"); }, list_roles, write_roles);
}

void add_grant_acts(Roles& roles) {
  roles.change(
      Method::kPost, "roles/permissions/add",
      [](Args& args) {
        RoleGrant in;
        in.role = role_id(args);
        in.kind = args.required_text("resource_type");
        in.resource = args.required_text("resource_pattern");
        in.level = parse_permission(args);
        return in;
      },
      [](Tx& tx, const Sender& sender, const RoleGrant& in) -> Result<RoleGrant> {
        TRY(role_for(tx, sender, in.role, true));
        return core::add_role_grant(tx, in);
      },
      write_grant_field);
  struct Change {
    int64_t grant;
    base::Level level;
  };
  const auto grant_id = [](Args& args) { return required_number(args, "role_permission_id"); };
  // The role of a grant decides who may change it.
  const auto of_grant = [](Tx& tx, const Sender& sender, int64_t id) -> Result<void> {
    const auto grant = core::get_role_grant(tx, id);
    if (!grant) return std::unexpected(sender.server ? grant.error() : not_yours());
    TRY(role_for(tx, sender, grant->role, true));
    return {};
  };
  roles.change(
      Method::kPatch, "roles/permissions/update",
      [grant_id](Args& args) { return Change{grant_id(args), parse_permission(args)}; },
      [of_grant](Tx& tx, const Sender& sender, const Change& in) -> Result<RoleGrant> {
        TRY(of_grant(tx, sender, in.grant));
        return core::change_role_grant(tx, in.grant, in.level);
      },
      write_grant_field);
  roles.change(Method::kDelete, "roles/permissions/remove", grant_id,
               [of_grant](Tx& tx, const Sender& sender, int64_t id) -> Result<void> {
                 TRY(of_grant(tx, sender, id));
                 return core::remove_role_grant(tx, id);
               });
  roles.look(
      "roles/permissions/list", role_id,
      [](Tx& tx, const Sender& sender, int64_t id) { return role_for(tx, sender, id, false); },
      [](JsonWriter& json, const NamedRole& role) {
        json.key("role_permissions").begin_array();
        for (const RoleGrant& grant : role.grants) write_grant(json, grant);
        json.end_array();
      });
}

void add_bearer_acts(Roles& roles) {
  struct Bearing {
    int64_t role;
    std::string username;
  };
  const auto parse = [](Args& args) {
    Bearing in;
    in.username = args.required_text("username");
    in.role = role_id(args);
    return in;
  };
  roles.change(
      Method::kPost, "roles/assign", parse,
      [](Tx& tx, const Sender& sender, const Bearing& in) -> Result<RoleBearer> {
        TRY(role_for(tx, sender, in.role, true));
        TRY_SET(const core::User user, find_user(tx, in.username));
        return core::give_named_role(tx, user.id, in.role);
      },
      [](JsonWriter& json, const RoleBearer& bearer) {
        json.key("assignment");
        write_bearer(json, bearer);
      });
  roles.change(Method::kDelete, "roles/unassign", parse,
               [](Tx& tx, const Sender& sender, const Bearing& in) -> Result<void> {
                 TRY(role_for(tx, sender, in.role, true));
                 TRY_SET(const core::User user, find_user(tx, in.username));
                 return core::take_named_role(tx, user.id, in.role);
               });
  roles.look(
      "roles/users/list", role_id,
      [](Tx& tx, const Sender& sender, int64_t id) -> Result<std::vector<RoleBearer>> {
        TRY(role_for(tx, sender, id, false));
        return core::bearers_of(tx, id);
      },
      [](JsonWriter& json, const std::vector<RoleBearer>& bearers) {
        json.key("assignments").begin_array();
        for (const RoleBearer& bearer : bearers) write_bearer(json, bearer);
        json.end_array();
      });
  roles.look("users/roles/list", [](Args& args) { return args.required_text("username"); }, roles_of, write_roles);
}

}  // namespace

void write_role(JsonWriter& json, const NamedRole& role) {
  json.begin_object().field("id", role.id).field("name", role.name).field("workspace", role.project.name);
  json.key("description");
  role.description ? json.value(*role.description) : json.null();
  json.key("permissions").begin_array();
  for (const RoleGrant& grant : role.grants) write_grant(json, grant);
  json.end_array().end_object();
}

void add_role_routes(Door& door) {
  Roles roles(door);
  add_role_acts(roles);
  add_grant_acts(roles);
  add_bearer_acts(roles);
}

}  // namespace api::mlflow
