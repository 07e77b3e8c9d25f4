#include "core/users.h"

#include <algorithm>

#include "base/assert.h"
#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/named_role.h"
#include "core/project.h"
#include "core/resource_access.h"
#include "core/session.h"

namespace core {
namespace {

constexpr size_t kMaxName = 64;
constexpr std::string_view kDefaultName = "default";

base::Result<void> check_name(std::string_view name) {
  const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool good =
      !name.empty() && name.size() <= kMaxName && alnum(name[0]) &&
      std::ranges::all_of(name, [&](char c) { return alnum(c) || c == '.' || c == '_' || c == '@' || c == '-'; });
  if (good) return {};
  return base::invalid(
      "user name '" + std::string(name.substr(0, 80)) +
      "' is not allowed: 1 to 64 of a-z, 0-9, '.', '_', '@' and '-', beginning with a letter or digit");
}

base::Result<int64_t> project_id(store::Tx& tx, std::string_view name) {
  if (name == kEveryProject) return kServerProject;
  TRY_SET(const Project project, get_project(tx, name));
  return project.id;
}

std::vector<ProjectRole> roles_of(store::Tx& tx, int64_t user) {
  std::vector<ProjectRole> roles;
  store::Rows rows = tx.query(
      "SELECT COALESCE(p.name, '*'), r.role FROM roles r LEFT JOIN projects p ON p.id = r.project WHERE r.principal = ?"
      " ORDER BY 1, 2",
      user);
  while (rows.next()) {
    if (const auto role = parse_role(rows.text(1))) roles.push_back({rows.str(0), *role});
  }
  return roles;
}

std::string roles_json(const std::vector<ProjectRole>& roles) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().key("roles").begin_array();
  for (const auto& role : roles) json.value(role.project + ":" + std::string(name(role.role)));
  json.end_array().end_object();
  return out;
}

User user_of(store::Rows& rows) {
  User user;
  user.id = rows.i64(0);
  user.name = rows.str(1);
  user.kind = static_cast<base::ActorKind>(rows.i64(2));
  user.password = rows.str(3);
  user.admin = rows.boolean(4);
  user.disabled = rows.boolean(5);
  user.stamp = rows.i64(6);
  user.created_us = rows.i64(7);
  return user;
}

constexpr std::string_view kSelectUser =
    "SELECT u.id, u.name, p.kind, u.password, u.admin, u.disabled, u.stamp, u.created_us FROM users u"
    " JOIN principals p ON p.id = u.id";

base::Result<void> put_roles(store::Tx& tx, int64_t user, std::string_view project, const std::vector<Role>& roles) {
  TRY_SET(const int64_t id, project_id(tx, project));
  tx.exec("DELETE FROM roles WHERE project = ? AND principal = ?", id, user);
  for (const Role role : roles) {
    tx.exec("INSERT INTO roles (project, principal, role) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", id, user,
            name(role));
  }
  return tx.status();
}

}  // namespace

std::string User::actor() const { return (kind == base::ActorKind::kService ? "service:" : "user:") + name; }

bool has_users(store::Tx& tx) { return tx.query_i64("SELECT 1 FROM users LIMIT 1").has_value(); }

std::optional<User> find_user(store::Tx& tx, std::string_view name) {
  static const std::string kByName = std::string(kSelectUser) + " WHERE u.name = ?";
  store::Rows rows = tx.query(kByName, name);
  if (!rows.next()) return std::nullopt;
  return user_of(rows);
}

base::Result<User> get_user(store::Tx& tx, std::string_view name) {
  auto user = find_user(tx, name);
  TRY(tx.status());
  if (!user) return base::not_found("there is no user '" + std::string(name.substr(0, 80)) + "'");
  user->roles = roles_of(tx, user->id);
  return std::move(*user);
}

std::vector<User> list_users(store::Tx& tx) {
  static const std::string kAll = std::string(kSelectUser) + " ORDER BY u.name";
  std::vector<User> users;
  {
    store::Rows rows = tx.query(kAll);
    while (rows.next()) users.push_back(user_of(rows));
  }
  for (User& user : users) user.roles = roles_of(tx, user.id);
  return users;
}

base::Result<User> add_user(store::Tx& tx, const NewUser& given) {
  ASSERT_ALWAYS(tx.project() == kServerProject);
  TRY(check_name(given.name));
  tx.lock("users", "");
  const bool first = !has_users(tx);
  if (first && given.kind == base::ActorKind::kService)
    return base::invalid("the first user must be a person: it becomes the administrator");
  if (find_user(tx, given.name)) {
    return base::fail(base::Code::kAlreadyExists, "there is a user '" + given.name + "' already");
  }
  User user;
  user.name = given.name;
  user.kind = given.kind;
  user.admin = given.admin || first;
  const std::string principal = user.actor();
  tx.exec("INSERT INTO principals (project, name, kind, attempt, created_us) VALUES (?, ?, ?, '', ?)", kServerProject,
          principal, static_cast<int>(user.kind), tx.now_us());
  const auto id = tx.query_i64("SELECT id FROM principals WHERE project = ? AND name = ?", kServerProject, principal);
  TRY(tx.status());
  user.id = id.value_or(0);
  tx.exec(
      "INSERT INTO users (id, name, password, admin, disabled, stamp, created_us, changed_us)"
      " VALUES (?, ?, ?, ?, 0, 1, ?, ?)",
      user.id, user.name, given.password, user.admin, tx.now_us(), tx.now_us());
  for (const auto& role : given.roles) {
    TRY_SET(const int64_t project, project_id(tx, role.project));
    tx.exec("INSERT INTO roles (project, principal, role) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", project, user.id,
            name(role.role));
  }
  emit(tx, "user.added", "user", user.name);
  audit(tx, "user.added", "user", user.name, roles_json(roles_of(tx, user.id)));
  TRY(tx.status());
  return get_user(tx, user.name);
}

base::Result<User> change_user(store::Tx& tx, std::string_view name, const UserChange& change) {
  ASSERT_ALWAYS(tx.project() == kServerProject);
  tx.lock("users", "");
  TRY_SET(User user, get_user(tx, name));
  const bool admin = change.admin.value_or(user.admin);
  const bool disabled = change.disabled.value_or(user.disabled);
  if (user.admin && !user.disabled && (!admin || disabled) &&
      tx.query_i64("SELECT count(*) FROM users WHERE admin = 1 AND disabled = 0").value_or(0) <= 1) {
    return base::fail(base::Code::kConflict, "'" + user.name +
                                                 "' is the last administrator who can log in; make another one first "
                                                 "(lathe user role NAME --admin)");
  }
  if (change.password && user.kind == base::ActorKind::kService)
    return base::invalid("'" + user.name + "' is a service: it has tokens and no password");
  tx.exec("UPDATE users SET password = ?, admin = ?, disabled = ?, stamp = stamp + 1, changed_us = ? WHERE id = ?",
          change.password ? *change.password : user.password, admin, disabled, tx.now_us(), user.id);
  if (change.password) audit(tx, "user.password_changed", "user", user.name);
  if (admin != user.admin) audit(tx, admin ? "user.made_admin" : "user.no_longer_admin", "user", user.name);
  if (disabled != user.disabled) audit(tx, disabled ? "user.disabled" : "user.enabled", "user", user.name);
  if (change.roles) {
    for (const auto& [project, roles] : *change.roles) TRY(put_roles(tx, user.id, project, roles));
    audit(tx, "user.roles_changed", "user", user.name, roles_json(roles_of(tx, user.id)));
  }
  if (change.password || disabled) end_sessions_of(tx, user.id);
  emit(tx, "principal.revoked", "principal", user.actor());
  TRY(tx.status());
  return get_user(tx, name);
}

base::Result<void> delete_user(store::Tx& tx, std::string_view name) {
  ASSERT_ALWAYS(tx.project() == kServerProject);
  tx.lock("users", "");
  TRY_SET(const User user, get_user(tx, name));
  if (user.admin && !user.disabled &&
      tx.query_i64("SELECT count(*) FROM users WHERE admin = 1 AND disabled = 0").value_or(0) <= 1) {
    return base::fail(base::Code::kConflict,
                      "'" + user.name + "' is the last administrator who can log in; make another one first");
  }
  tx.exec("DELETE FROM resource_grants WHERE principal = ?", user.id);
  forget_bearer(tx, user.id);
  tx.exec("DELETE FROM roles WHERE principal = ?", user.id);
  tx.exec("DELETE FROM sessions WHERE principal = ?", user.id);
  tx.exec("DELETE FROM tokens WHERE principal = ?", user.id);
  tx.exec("DELETE FROM users WHERE id = ?", user.id);
  // The row stays, under another name: an id that was given again would make its next bearer look like the last one.
  tx.exec("UPDATE principals SET name = ? WHERE id = ?", "deleted:" + std::to_string(user.id) + ":" + user.actor(),
          user.id);
  emit(tx, "principal.revoked", "principal", user.actor());
  emit(tx, "user.deleted", "user", user.name);
  audit(tx, "user.deleted", "user", user.name);
  return tx.status();
}

base::Result<void> store_rehash(store::Tx& tx, int64_t user, std::string_view old_hash, std::string_view new_hash) {
  tx.exec("UPDATE users SET password = ? WHERE id = ? AND password = ?", new_hash, user, old_hash);
  return tx.status();
}

namespace {

struct OfUser {
  bool admin = false, disabled = true;
};

OfUser state_of(store::Tx& tx, int64_t user) {
  store::Rows rows = tx.query("SELECT admin, disabled FROM users WHERE id = ?", user);
  if (!rows.next()) return {};
  return {rows.boolean(0), rows.boolean(1)};
}

base::Permissions narrowed(base::Permissions permissions, const Identity& identity) {
  if (!identity.role) return permissions;
  return permissions & permissions_of(*identity.role);
}

}  // namespace

base::Result<std::optional<Reach>> reach_of(store::Tx& tx, const Identity& identity, std::string_view project) {
  Reach reach;
  {
    const bool own = project.empty() && identity.project != 0;
    store::Rows rows =
        own ? tx.query("SELECT id, name FROM projects WHERE id = ?", identity.project)
            : tx.query("SELECT id, name FROM projects WHERE name = ?", project.empty() ? kDefaultName : project);
    reach.known = rows.next();
    if (reach.known) {
      reach.project = rows.i64(0);
      reach.project_name = rows.str(1);
    } else {
      reach.project_name = project;
    }
  }
  const bool outside = identity.project != 0 && identity.project != reach.project;
  if (identity.user == 0) {  // the machine's own user, or an attempt
    reach.known = reach.known && !outside;
    if (reach.known) reach.permissions = permissions_of(identity.actor.kind);
    reach.server = identity.actor.kind == base::ActorKind::kLocal || identity.actor.kind == base::ActorKind::kSystem;
    TRY(tx.status());
    return reach;
  }
  const OfUser user = state_of(tx, identity.user);
  if (user.disabled) {
    TRY(tx.status());
    return std::nullopt;
  }
  if (user.admin) {
    // A token that is for one project, or for one role, does not rule the server.
    reach.server = identity.project == 0 && !identity.role;
    reach.permissions = permissions_of(Role::kAdmin);
  } else {
    bool any = false;
    bool creates = false;
    {
      store::Rows rows = tx.query("SELECT role FROM roles WHERE principal = ? AND project IN (?, ?)", identity.user,
                                  reach.project, kServerProject);
      while (rows.next()) {
        TRY_SET(const Role role, parse_role(rows.text(0)));
        reach.permissions = reach.permissions | permissions_of(role);
        creates = creates || role == Role::kContributor;
        any = true;
      }
    }
    if (const base::Level level = level_of_project(tx, identity.user, reach.project); level >= base::Level::kUse) {
      reach.permissions = reach.permissions | permissions_of(Role::kContributor);
      if (level == base::Level::kManage) reach.permissions = reach.permissions | permissions_of(Role::kAdmin);
      any = creates = true;
    }
    if (reach.known && !reach.permissions.has(base::Permission::kAdmin)) {
      const base::Permissions most = identity.role ? permissions_of(*identity.role) : base::kEveryPermission;
      TRY_SET(reach.resources, resource_access(tx, identity.user, reach.project, reach.permissions, creates, most));
    }
    reach.known = reach.known && (any || reach.resources != nullptr);
  }
  reach.known = reach.known && !outside;
  if (!reach.known) reach.resources.reset();
  reach.permissions = reach.known ? narrowed(reach.permissions, identity) : base::Permissions{};
  TRY(tx.status());
  return reach;
}

base::Result<std::vector<std::string>> projects_of(store::Tx& tx, const Identity& identity) {
  std::vector<std::string> names;
  const bool all = identity.user == 0 || state_of(tx, identity.user).admin;
  store::Rows rows =
      all ? tx.query("SELECT id, name FROM projects ORDER BY name")
          : tx.query(
                "SELECT p.id, p.name FROM projects p WHERE EXISTS (SELECT 1 FROM roles r WHERE r.principal = ? AND"
                " r.project IN (0, p.id)) OR EXISTS (SELECT 1 FROM named_role_users u JOIN named_roles r ON r.id = "
                "u.role"
                " JOIN named_role_grants g ON g.role = r.id WHERE u.principal = ? AND r.project = p.id AND"
                " g.kind = 'workspace') ORDER BY p.name",
                identity.user, identity.user);
  while (rows.next()) {
    if (identity.project == 0 || identity.project == rows.i64(0)) names.push_back(rows.str(1));
  }
  TRY(tx.status());
  return names;
}

bool reads_everything(store::Tx& tx, const Identity& identity) {
  if (identity.role && !permissions_of(*identity.role).has(base::Permission::kRead)) return false;
  const auto others = [&](int64_t own) {
    return tx.query_i64("SELECT count(*) FROM projects WHERE id <> ?", own).value_or(1);
  };
  if (identity.project != 0 && others(identity.project) > 0) return false;
  if (identity.user == 0) return true;
  const OfUser user = state_of(tx, identity.user);
  if (user.disabled || user.admin) return !user.disabled;
  return tx.query_i64(
               "SELECT count(*) FROM projects p WHERE NOT EXISTS (SELECT 1 FROM roles r WHERE r.principal = ?"
               " AND r.project IN (0, p.id) AND r.role NOT IN ('infer', 'plane'))",
               identity.user)
             .value_or(1) == 0;
}

std::vector<std::string> role_names(store::Tx& tx, const Identity& identity, int64_t project) {
  std::vector<std::string> names;
  if (identity.user == 0) return names;
  if (state_of(tx, identity.user).admin) names.emplace_back(name(Role::kAdmin));
  store::Rows rows = tx.query("SELECT DISTINCT role FROM roles WHERE principal = ? AND project IN (0, ?) ORDER BY role",
                              identity.user, project);
  while (rows.next()) {
    if (std::ranges::find(names, rows.text(0)) == names.end()) names.push_back(rows.str(0));
  }
  const base::Level level = level_of_project(tx, identity.user, project);
  const auto also = [&](Role role) {
    if (std::ranges::find(names, name(role)) == names.end()) names.emplace_back(name(role));
  };
  if (level >= base::Level::kUse) also(Role::kContributor);
  if (level == base::Level::kManage) also(Role::kAdmin);
  return names;
}

}  // namespace core
