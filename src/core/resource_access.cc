#include "core/resource_access.h"

#include <array>
#include <charconv>
#include <utility>

#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/named_role.h"

namespace core {

using base::Level;
using base::Result;

namespace {

constexpr std::array<std::pair<Level, std::string_view>, 6> kLevels = {{{Level::kRead, "READ"},
                                                                        {Level::kUse, "USE"},
                                                                        {Level::kEdit, "EDIT"},
                                                                        {Level::kManage, "MANAGE"},
                                                                        {Level::kNone, "NO_PERMISSIONS"},
                                                                        {Level::kDeny, "DENY"}}};

Level level_of(int64_t number) { return static_cast<Level>(number); }

Level add_up(Level a, Level b) {
  if (a == Level::kDeny || b == Level::kDeny) return Level::kDeny;
  return std::max(a, b);
}

Level by_role(base::Permissions permissions) {
  if (permissions.has(base::Permission::kWrite)) return Level::kWrite;
  return permissions.has(base::Permission::kRead) ? Level::kRead : Level::kNone;
}

void record(store::Tx& tx, std::string_view action, int64_t user, Resource kind, std::string_view resource,
            std::string_view level) {
  std::string who;
  {
    auto rows = tx.query("SELECT name FROM principals WHERE id = ?", user);
    if (rows.next()) who = rows.str(0);
  }
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field(name(kind), resource);
  if (!level.empty()) json.field("permission", level);
  json.end_object();
  emit(tx, "principal.revoked", "principal", who);
  audit(tx, action, "principal", who, body);
}

}  // namespace

std::string_view name(Resource kind) { return kind == Resource::kExperiment ? "experiment" : "registered_model"; }

std::string_view level_name(Level level) {
  for (const auto& [known, text] : kLevels) {
    if (known == level) return text;
  }
  return "EDIT";  // kWrite, to whoever knows MLflow's words only
}

std::optional<Level> parse_level(std::string_view text) {
  for (const auto& [level, known] : kLevels) {
    if (known == text) return level;
  }
  return std::nullopt;
}

Result<void> put_grant(store::Tx& tx, int64_t user, const ResourceGrant& grant) {
  tx.lock("core.grants", std::to_string(user));
  if (tx.query_i64("SELECT COUNT(*) FROM resource_grants WHERE project = ? AND principal = ?", tx.project(), user)
          .value_or(0) >= kGrantsPerUser) {
    return base::invalid("a user has at most " + std::to_string(kGrantsPerUser) +
                         " permissions on single experiments and models; grant one on '*' instead");
  }
  tx.exec(
      "INSERT INTO resource_grants (project, principal, kind, resource, level) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (project, principal, kind, resource) DO UPDATE SET level = excluded.level",
      tx.project(), user, name(grant.kind), grant.resource, static_cast<int64_t>(grant.level));
  record(tx, "permission.granted", user, grant.kind, grant.resource, level_name(grant.level));
  return tx.status();
}

std::optional<Level> find_grant(store::Tx& tx, int64_t user, Resource kind, std::string_view resource) {
  const auto found = tx.query_i64(
      "SELECT level FROM resource_grants WHERE project = ? AND principal = ? AND kind = ? AND resource = ?",
      tx.project(), user, name(kind), resource);
  return found ? std::optional(level_of(*found)) : std::nullopt;
}

Result<bool> remove_grant(store::Tx& tx, int64_t user, Resource kind, std::string_view resource) {
  const int64_t gone =
      tx.exec("DELETE FROM resource_grants WHERE project = ? AND principal = ? AND kind = ? AND resource = ?",
              tx.project(), user, name(kind), resource);
  if (gone > 0) record(tx, "permission.revoked", user, kind, resource, "");
  TRY(tx.status());
  return gone > 0;
}

std::vector<ResourceGrant> list_grants(store::Tx& tx, int64_t user) {
  std::vector<ResourceGrant> out;
  auto rows = tx.query(
      "SELECT kind, resource, level FROM resource_grants WHERE project = ? AND principal = ? ORDER BY kind, resource",
      tx.project(), user);
  while (rows.next()) {
    const Resource kind = rows.text(0) == name(Resource::kExperiment) ? Resource::kExperiment : Resource::kModel;
    out.push_back({kind, rows.str(1), level_of(rows.i64(2))});
  }
  return out;
}

void move_grants(store::Tx& tx, Resource kind, std::string_view from, std::string_view to) {
  if (from == to) return;
  if (kind == Resource::kModel) rename_in_roles(tx, from, to);
  drop_grants(tx, kind, to);
  const int64_t moved =
      tx.exec("UPDATE resource_grants SET resource = ? WHERE project = ? AND kind = ? AND resource = ?", to,
              tx.project(), name(kind), from);
  if (moved > 0) emit(tx, "principal.revoked", name(kind), from);
}

void drop_grants(store::Tx& tx, Resource kind, std::string_view resource) {
  const int64_t gone = tx.exec("DELETE FROM resource_grants WHERE project = ? AND kind = ? AND resource = ?",
                               tx.project(), name(kind), resource);
  if (gone > 0) emit(tx, "principal.revoked", name(kind), resource);
}

Result<std::shared_ptr<const base::ResourceAccess>> resource_access(store::Tx& tx, int64_t user, int64_t project,
                                                                    base::Permissions by_roles, bool creates,
                                                                    base::Permissions most) {
  base::ResourceAccess access;
  access.principal = user;
  access.experiments = access.models = by_role(by_roles);
  access.most = most == base::kEveryPermission ? Level::kManage : by_role(most);
  access.creates = creates && access.most >= Level::kWrite;
  const Level usual = access.experiments;
  bool any = false;
  std::optional<Level> experiments, models;
  {
    auto rows = tx.query(
        "SELECT kind, resource, level FROM resource_grants WHERE project = ? AND principal = ? UNION ALL "
        "SELECT g.kind, g.resource, g.level FROM named_role_users u JOIN named_roles r ON r.id = u.role "
        "JOIN named_role_grants g ON g.role = r.id WHERE r.project = ? AND u.principal = ? AND g.kind <> 'workspace'",
        project, user, project, user);
    const auto add = [](auto& levels, const auto& of, Level level) {
      const auto [place, first] = levels.try_emplace(of, level);
      if (!first) place->second = add_up(place->second, level);
    };
    while (rows.next()) {
      any = true;
      const bool experiment = rows.text(0) == name(Resource::kExperiment);
      const std::string_view resource = rows.text(1);
      const Level level = level_of(rows.i64(2));
      if (resource == "*") {
        auto& all = experiment ? experiments : models;
        all = all ? add_up(*all, level) : level;
      } else if (experiment) {
        int64_t id = 0;
        std::from_chars(resource.data(), resource.data() + resource.size(), id);
        add(access.experiment, id, level);
      } else {
        add(access.model, std::string(resource), level);
      }
    }
  }
  TRY(tx.status());
  if (!any && (!creates || by_roles.has(base::Permission::kWrite)))
    return std::shared_ptr<const base::ResourceAccess>();
  access.experiments = experiments.value_or(usual);
  access.models = models.value_or(usual);
  if (experiments) {
    for (auto& [id, level] : access.experiment) level = add_up(level, *experiments);
  }
  if (models) {
    for (auto& [name, level] : access.model) level = add_up(level, *models);
  }
  return std::make_shared<const base::ResourceAccess>(std::move(access));
}

Level level_now(store::Tx& tx, const base::ResourceAccess& access, Resource kind, std::string_view resource) {
  std::optional<Level> level;
  auto rows = tx.query(
      "SELECT level FROM resource_grants WHERE project = ? AND principal = ? AND kind = ? AND resource IN (?, '*') "
      "UNION ALL SELECT g.level FROM named_role_users u JOIN named_roles r ON r.id = u.role "
      "JOIN named_role_grants g ON g.role = r.id WHERE r.project = ? AND u.principal = ? AND g.kind IN (?, ?) "
      "AND g.resource IN (?, '*')",
      tx.project(), access.principal, name(kind), resource, tx.project(), access.principal, name(kind),
      kind == Resource::kModel ? std::string_view("prompt") : name(kind), resource);
  while (rows.next()) level = level ? add_up(*level, level_of(rows.i64(0))) : level_of(rows.i64(0));
  const Level usual = kind == Resource::kExperiment ? access.experiments : access.models;
  return std::min(level.value_or(usual), access.most);
}

bool allows_experiment(store::Tx& tx, const base::ResourceAccess& access, int64_t id, Level least) {
  const Level level = access.of_experiment(id);
  if (level >= least) return true;
  if (level == Level::kDeny) return false;
  return level_now(tx, access, Resource::kExperiment, std::to_string(id)) >= least;
}

bool allows_model(store::Tx& tx, const base::ResourceAccess& access, std::string_view name, Level least) {
  const Level level = access.of_model(name);
  if (level >= least) return true;
  if (level == Level::kDeny) return false;
  return level_now(tx, access, Resource::kModel, name) >= least;
}

}  // namespace core
