#include "core/named_role.h"

#include <algorithm>
#include <array>

#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"

namespace core {

using base::Level;
using base::Result;

namespace {

constexpr size_t kMaxName = 255, kMaxDescription = 1024, kMaxResource = 255;
constexpr std::string_view kOwnPrefix = "__user_";  // upstream's roles of one user; ours are rows of their own
constexpr std::array<std::string_view, 4> kKinds = {"experiment", "prompt", "registered_model", "workspace"};

Result<int64_t> next_id(store::Tx& tx, std::string_view counter) {
  tx.exec("UPDATE core_counters SET last = last + 1 WHERE name = ?", counter);
  const auto id = tx.query_i64("SELECT last FROM core_counters WHERE name = ?", counter);
  TRY(tx.status());
  return id.value_or(0);
}

int64_t count(store::Tx& tx, std::string_view sql, int64_t of) { return tx.query_i64(sql, of).value_or(0); }

Result<void> check_name(std::string_view name) {
  if (name.find_first_not_of(" \t\r\n") == name.npos) return base::invalid("Role name cannot be empty.");
  if (name.starts_with(kOwnPrefix)) {
    return base::invalid("Role name '" + std::string(name.substr(0, 80)) + "' uses the reserved '" +
                         std::string(kOwnPrefix) + "' prefix. Choose a different name.");
  }
  if (name.size() > kMaxName)
    return base::invalid("Role name is longer than " + std::to_string(kMaxName) + " characters");
  return {};
}

Result<void> check_description(const std::optional<std::string>& text) {
  if (text && text->size() > kMaxDescription)
    return base::invalid("Role description is longer than " + std::to_string(kMaxDescription) + " characters");
  return {};
}

base::Error no_role(int64_t role) {
  return base::Error{base::Code::kNotFound, "Role with id=" + std::to_string(role) + " not found"};
}

Result<void> check_grant(const RoleGrant& grant) {
  if (std::ranges::find(kKinds, grant.kind) == kKinds.end()) {
    return base::invalid("Invalid resource type '" + grant.kind.substr(0, 80) +
                         "'. This server keeps permissions of: ('experiment', 'prompt', 'registered_model', "
                         "'workspace')");
  }
  if (grant.resource.empty() || grant.resource.size() > kMaxResource)
    return base::invalid("resource_pattern must be '*' or one id or name of at most " + std::to_string(kMaxResource) +
                         " characters");
  if (grant.kind == "workspace") {
    if (grant.resource != "*")
      return base::invalid("Invalid resource_pattern '" + grant.resource +
                           "' for resource_type='workspace'. This resource type supports only wildcard ('*') grants.");
    if (grant.level != Level::kUse && grant.level != Level::kManage)
      return base::invalid("Invalid permission '" + std::string(level_name(grant.level)) +
                           "' for resource_type='workspace'. Workspace-wide grants accept only: ('MANAGE', 'USE').");
    return {};
  }
  if (grant.kind == "prompt" && grant.resource == "*")
    return base::invalid(
        "prompts are registered models here: a grant on all of them is one on ('registered_model', '*'); "
        "one prompt is granted by its name");
  if (grant.level == Level::kNone || grant.level == Level::kWrite)
    return base::invalid("Invalid permission '" + std::string(level_name(grant.level)) + "' for resource_type='" +
                         grant.kind +
                         "'. Resource-level grants accept only: ('DENY', 'EDIT', 'MANAGE', 'READ', 'USE').");
  return {};
}

void record(store::Tx& tx, std::string_view action, const NamedRole& role, const RoleGrant* grant = nullptr,
            std::string_view user = {}) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("project", role.project.name).field("name", role.name);
  if (grant != nullptr) {
    json.field(grant->kind, grant->resource).field("permission", level_name(grant->level));
  }
  if (!user.empty()) json.field("user", user);
  json.end_object();
  const std::string id = std::to_string(role.id);
  emit(tx, "principal.revoked", "role", id);
  audit(tx, action, "role", id, body);
}

std::string user_name(store::Tx& tx, int64_t user) {
  auto rows = tx.query("SELECT name FROM users WHERE id = ?", user);
  return rows.next() ? rows.str(0) : std::string();
}

constexpr std::string_view kSelectRole =
    "SELECT r.id, r.project, p.name, r.name, r.description FROM named_roles r JOIN projects p ON p.id = r.project ";

NamedRole role_of(store::Rows& rows) {
  NamedRole role;
  role.id = rows.i64(0);
  role.project = {rows.i64(1), rows.str(2)};
  role.name = rows.str(3);
  if (!rows.is_null(4)) role.description = rows.str(4);
  return role;
}

RoleGrant grant_of(store::Rows& rows) {
  return {rows.i64(0), rows.i64(1), rows.str(2), rows.str(3), static_cast<Level>(rows.i64(4))};
}

constexpr std::string_view kSelectGrant = "SELECT id, role, kind, resource, level FROM named_role_grants ";

void fill_grants(store::Tx& tx, std::vector<NamedRole>& roles) {
  static const std::string kOfRole = std::string(kSelectGrant) + "WHERE role = ? ORDER BY id";
  for (NamedRole& role : roles) {
    auto rows = tx.query(kOfRole, role.id);
    while (rows.next()) role.grants.push_back(grant_of(rows));
  }
}

}  // namespace

Result<NamedRole> get_named_role(store::Tx& tx, int64_t id) {
  static const std::string kById = std::string(kSelectRole) + "WHERE r.id = ?";
  std::vector<NamedRole> found;
  {
    auto rows = tx.query(kById, id);
    if (rows.next()) found.push_back(role_of(rows));
  }
  fill_grants(tx, found);
  TRY(tx.status());
  if (found.empty()) return std::unexpected(no_role(id));
  return std::move(found.front());
}

Result<NamedRole> create_named_role(store::Tx& tx, std::string_view project_name, std::string_view name,
                                    const std::optional<std::string>& description) {
  TRY(check_name(name));
  TRY(check_description(description));
  TRY_SET(const Project project, get_project(tx, project_name));
  tx.lock("core.named_roles", std::to_string(project.id));
  if (count(tx, "SELECT COUNT(*) FROM named_roles WHERE project = ?", project.id) >= kNamedRolesPerProject)
    return base::invalid("a project has at most " + std::to_string(kNamedRolesPerProject) + " roles");
  NamedRole role;
  TRY_SET(role.id, next_id(tx, "named_role"));
  const int64_t made = tx.exec(
      "INSERT INTO named_roles (id, project, name, description, created_us) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      role.id, project.id, name, description, tx.now_us());
  TRY(tx.status());
  if (made == 0) {
    return base::fail(base::Code::kAlreadyExists, "Role (name=" + std::string(name) +
                                                      ", workspace=" + std::string(project_name) + ") already exists.");
  }
  TRY_SET(role, get_named_role(tx, role.id));
  record(tx, "role.added", role);
  TRY(tx.status());
  return role;
}

Result<NamedRole> update_named_role(store::Tx& tx, int64_t id, const std::optional<std::string>& name,
                                    const std::optional<std::string>& description) {
  if (name) TRY(check_name(*name));
  TRY(check_description(description));
  TRY_SET(NamedRole role, get_named_role(tx, id));
  tx.lock("core.named_roles", std::to_string(role.project.id));
  if (name && tx.query_i64("SELECT 1 FROM named_roles WHERE project = ? AND name = ? AND id <> ?", role.project.id,
                           *name, id)) {
    return base::fail(base::Code::kAlreadyExists,
                      "Role with name=" + *name + " already exists in workspace=" + role.project.name);
  }
  if (name) role.name = *name;
  if (description) role.description = *description;
  tx.exec("UPDATE named_roles SET name = ?, description = ? WHERE id = ?", role.name, role.description, id);
  record(tx, "role.changed", role);
  TRY(tx.status());
  return role;
}

Result<void> delete_named_role(store::Tx& tx, int64_t id) {
  TRY_SET(const NamedRole role, get_named_role(tx, id));
  tx.exec("DELETE FROM named_role_users WHERE role = ?", id);
  tx.exec("DELETE FROM named_role_grants WHERE role = ?", id);
  tx.exec("DELETE FROM named_roles WHERE id = ?", id);
  record(tx, "role.deleted", role);
  return tx.status();
}

std::vector<NamedRole> list_named_roles(store::Tx& tx, std::optional<int64_t> project) {
  static const std::string kAll = std::string(kSelectRole) + "ORDER BY r.id";
  static const std::string kOfProject = std::string(kSelectRole) + "WHERE r.project = ? ORDER BY r.id";
  std::vector<NamedRole> out;
  {
    auto rows = project ? tx.query(kOfProject, *project) : tx.query(kAll);
    while (rows.next()) out.push_back(role_of(rows));
  }
  fill_grants(tx, out);
  return out;
}

std::vector<NamedRole> named_roles_of(store::Tx& tx, int64_t user) {
  static const std::string kOfUser =
      std::string(kSelectRole) + "JOIN named_role_users u ON u.role = r.id WHERE u.principal = ? ORDER BY r.id";
  std::vector<NamedRole> out;
  {
    auto rows = tx.query(kOfUser, user);
    while (rows.next()) out.push_back(role_of(rows));
  }
  fill_grants(tx, out);
  return out;
}

Result<RoleGrant> get_role_grant(store::Tx& tx, int64_t id) {
  static const std::string kById = std::string(kSelectGrant) + "WHERE id = ?";
  auto rows = tx.query(kById, id);
  if (rows.next()) return grant_of(rows);
  TRY(tx.status());
  return base::fail(base::Code::kNotFound, "Role permission with id=" + std::to_string(id) + " not found");
}

Result<RoleGrant> add_role_grant(store::Tx& tx, const RoleGrant& given) {
  TRY(check_grant(given));
  TRY_SET(const NamedRole role, get_named_role(tx, given.role));
  tx.lock("core.named_role", std::to_string(role.id));
  if (count(tx, "SELECT COUNT(*) FROM named_role_grants WHERE role = ?", role.id) >= kGrantsPerNamedRole) {
    return base::invalid("a role has at most " + std::to_string(kGrantsPerNamedRole) +
                         " permissions; grant one on '*' instead");
  }
  RoleGrant grant = given;
  TRY_SET(grant.id, next_id(tx, "named_role_grant"));
  const int64_t made = tx.exec(
      "INSERT INTO named_role_grants (id, role, kind, resource, level) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      grant.id, grant.role, grant.kind, grant.resource, static_cast<int64_t>(grant.level));
  TRY(tx.status());
  if (made == 0) {
    return base::fail(base::Code::kAlreadyExists, "Role permission (role_id=" + std::to_string(grant.role) +
                                                      ", resource_type=" + grant.kind +
                                                      ", resource_pattern=" + grant.resource + ") already exists.");
  }
  record(tx, "role.permission_added", role, &grant);
  TRY(tx.status());
  return grant;
}

Result<RoleGrant> change_role_grant(store::Tx& tx, int64_t id, Level level) {
  TRY_SET(RoleGrant grant, get_role_grant(tx, id));
  grant.level = level;
  TRY(check_grant(grant));
  TRY_SET(const NamedRole role, get_named_role(tx, grant.role));
  tx.exec("UPDATE named_role_grants SET level = ? WHERE id = ?", static_cast<int64_t>(level), id);
  record(tx, "role.permission_changed", role, &grant);
  TRY(tx.status());
  return grant;
}

Result<void> remove_role_grant(store::Tx& tx, int64_t id) {
  TRY_SET(const RoleGrant grant, get_role_grant(tx, id));
  TRY_SET(const NamedRole role, get_named_role(tx, grant.role));
  tx.exec("DELETE FROM named_role_grants WHERE id = ?", id);
  record(tx, "role.permission_removed", role, &grant);
  return tx.status();
}

Result<RoleBearer> give_named_role(store::Tx& tx, int64_t user, int64_t id) {
  TRY_SET(const NamedRole role, get_named_role(tx, id));
  tx.lock("core.grants", std::to_string(user));
  if (count(tx, "SELECT COUNT(*) FROM named_role_users WHERE principal = ?", user) >= kNamedRolesPerUser)
    return base::invalid("a user has at most " + std::to_string(kNamedRolesPerUser) + " roles");
  RoleBearer bearer{0, user, id};
  TRY_SET(bearer.id, next_id(tx, "named_role_user"));
  const int64_t made =
      tx.exec("INSERT INTO named_role_users (id, role, principal) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", bearer.id,
              id, user);
  TRY(tx.status());
  if (made == 0) {
    return base::fail(base::Code::kAlreadyExists, "User role assignment (user_id=" + std::to_string(user) +
                                                      ", role_id=" + std::to_string(id) + ") already exists");
  }
  record(tx, "role.given", role, nullptr, user_name(tx, user));
  TRY(tx.status());
  return bearer;
}

Result<void> take_named_role(store::Tx& tx, int64_t user, int64_t id) {
  TRY_SET(const NamedRole role, get_named_role(tx, id));
  const int64_t gone = tx.exec("DELETE FROM named_role_users WHERE role = ? AND principal = ?", id, user);
  TRY(tx.status());
  if (gone == 0) {
    return base::fail(base::Code::kNotFound, "User role assignment (user_id=" + std::to_string(user) +
                                                 ", role_id=" + std::to_string(id) + ") not found");
  }
  record(tx, "role.taken", role, nullptr, user_name(tx, user));
  return tx.status();
}

std::vector<RoleBearer> bearers_of(store::Tx& tx, int64_t role) {
  std::vector<RoleBearer> out;
  auto rows = tx.query("SELECT id, principal, role FROM named_role_users WHERE role = ? ORDER BY id", role);
  while (rows.next()) out.push_back({rows.i64(0), rows.i64(1), rows.i64(2)});
  return out;
}

bool bears_role_in(store::Tx& tx, int64_t user, int64_t project) {
  return tx
      .query_i64(
          "SELECT 1 FROM named_role_users u JOIN named_roles r ON r.id = u.role WHERE u.principal = ? AND r.project = ?"
          " LIMIT 1",
          user, project)
      .has_value();
}

void forget_bearer(store::Tx& tx, int64_t user) { tx.exec("DELETE FROM named_role_users WHERE principal = ?", user); }

Level level_of_project(store::Tx& tx, int64_t user, int64_t project) {
  const auto level = tx.query_i64(
      "SELECT MAX(g.level) FROM named_role_users u JOIN named_roles r ON r.id = u.role JOIN named_role_grants g ON "
      "g.role = r.id WHERE u.principal = ? AND r.project = ? AND g.kind = 'workspace'",
      user, project);
  return level ? static_cast<Level>(*level) : Level::kNone;
}

void rename_in_roles(store::Tx& tx, std::string_view from, std::string_view to) {
  tx.exec(
      "DELETE FROM named_role_grants WHERE kind IN ('registered_model', 'prompt') AND resource = ? AND role IN (SELECT "
      "id FROM named_roles WHERE project = ?)",
      to, tx.project());
  const int64_t moved = tx.exec(
      "UPDATE named_role_grants SET resource = ? WHERE kind IN ('registered_model', 'prompt') AND resource = ? AND "
      "role "
      "IN (SELECT id FROM named_roles WHERE project = ?)",
      to, from, tx.project());
  if (moved > 0) emit(tx, "principal.revoked", "registered_model", from);
}

}  // namespace core
