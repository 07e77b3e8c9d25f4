// Roles with a name: a project's own sets of grants, given to many users at once (MLflow's roles; the six of identity.h
// are Lathe's). What a user has by them adds up with his own rows (resource_access.h), and a denial wins.
//
// A grant is about an experiment's id, a registered model's or a prompt's name, about all ("*"), or about the project
// itself ("workspace"): USE there makes a contributor of its bearer, MANAGE an administrator of the project.
//
// Changes emit "principal.revoked", so that the gatekeeper looks again, and an audit line. Domain functions on a Tx;
// which project is said by the role, not by the Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/project.h"
#include "core/resource_access.h"

namespace core {

inline constexpr int64_t kNamedRolesPerProject = 1'000;
inline constexpr int64_t kGrantsPerNamedRole = 1'000;
inline constexpr int64_t kNamedRolesPerUser = 100;

struct RoleGrant {
  int64_t id = 0;
  int64_t role = 0;
  std::string kind;      // "experiment", "registered_model", "prompt", "workspace"
  std::string resource;  // an experiment's id, a name, or "*"
  base::Level level = base::Level::kNone;
};

struct NamedRole {
  int64_t id = 0;
  Project project;
  std::string name;
  std::optional<std::string> description;
  std::vector<RoleGrant> grants;  // by id
};

struct RoleBearer {
  int64_t id = 0;
  int64_t user = 0;
  int64_t role = 0;
};

base::Result<NamedRole> create_named_role(store::Tx& tx, std::string_view project, std::string_view name,
                                          const std::optional<std::string>& description);
base::Result<NamedRole> get_named_role(store::Tx& tx, int64_t role);
// Absent: as it was.
base::Result<NamedRole> update_named_role(store::Tx& tx, int64_t role, const std::optional<std::string>& name,
                                          const std::optional<std::string>& description);
base::Result<void> delete_named_role(store::Tx& tx, int64_t role);  // with its grants, from all who bore it

// By id. `project`: nullopt: of all projects.
std::vector<NamedRole> list_named_roles(store::Tx& tx, std::optional<int64_t> project);
std::vector<NamedRole> named_roles_of(store::Tx& tx, int64_t user);  // in all projects

base::Result<RoleGrant> add_role_grant(store::Tx& tx, const RoleGrant& grant);  // its id is answered
base::Result<RoleGrant> get_role_grant(store::Tx& tx, int64_t grant);
base::Result<RoleGrant> change_role_grant(store::Tx& tx, int64_t grant, base::Level level);
base::Result<void> remove_role_grant(store::Tx& tx, int64_t grant);

base::Result<RoleBearer> give_named_role(store::Tx& tx, int64_t user, int64_t role);
base::Result<void> take_named_role(store::Tx& tx, int64_t user, int64_t role);
std::vector<RoleBearer> bearers_of(store::Tx& tx, int64_t role);
bool bears_role_in(store::Tx& tx, int64_t user, int64_t project);
void forget_bearer(store::Tx& tx, int64_t user);  // of a user who is deleted

// What he may with the project itself by his roles there.
base::Level level_of_project(store::Tx& tx, int64_t user, int64_t project);
// Grants on a model by its name follow it; after its deletion they stay, for the next of that name.
void rename_in_roles(store::Tx& tx, std::string_view from, std::string_view to);

}  // namespace core
