// Users: people (with a password) and services (with tokens only), and their roles, each in one project or in all.
// They belong to the server, not to a project: their principal, events and audit lines have project kServerProject.
//
// Whatever takes something away (disable, role, password) raises the user's stamp and emits "principal.revoked"; the
// gatekeeper (src/gate) then asks again for everybody it knows. The last administrator cannot be taken away.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/resource_access.h"
#include "core/identity.h"

namespace core {

inline constexpr int64_t kServerProject = 0;
inline constexpr std::string_view kEveryProject = "*";  // as a role's project

struct ProjectRole {
  std::string project;  // name, or kEveryProject
  Role role;
};

struct User {
  int64_t id = 0;
  std::string name;
  base::ActorKind kind = base::ActorKind::kUser;
  std::string password;  // hash; "": cannot log in
  bool admin = false;    // of the whole server
  bool disabled = false;
  int64_t stamp = 0;
  int64_t created_us = 0;
  std::vector<ProjectRole> roles;
  std::string actor() const;  // "user:ann", "service:ci"
};

struct NewUser {
  std::string name;  // [a-z0-9][a-z0-9._@-]{0,63}
  base::ActorKind kind = base::ActorKind::kUser;
  std::string password;  // hash
  bool admin = false;    // the first user is one in any case
  std::vector<ProjectRole> roles;
};

base::Result<User> add_user(store::Tx& tx, const NewUser& user);
base::Result<User> get_user(store::Tx& tx, std::string_view name);
std::optional<User> find_user(store::Tx& tx, std::string_view name);  // without roles
std::vector<User> list_users(store::Tx& tx);
bool has_users(store::Tx& tx);

// What is to be different; absent: as it was.
struct UserChange {
  std::optional<std::string> password;  // hash; ends all sessions
  std::optional<bool> admin;
  std::optional<bool> disabled;  // ends all sessions
  // Instead of the roles that the user has in each project named here; a project without roles is left.
  std::optional<std::vector<std::pair<std::string, std::vector<Role>>>> roles;
};
base::Result<User> change_user(store::Tx& tx, std::string_view name, const UserChange& change);

// Forgets a user and all that is his: roles, permissions, tokens, sessions. What he made stays, under his name.
base::Result<void> delete_user(store::Tx& tx, std::string_view name);

// The same password, hashed at another cost: nobody is sent away.
base::Result<void> store_rehash(store::Tx& tx, int64_t user, std::string_view old_hash, std::string_view new_hash);

// What somebody may do in a project.
struct Reach {
  int64_t project = 0;
  std::string project_name;
  bool known = false;  // the project exists and somebody has a role in it
  base::Permissions permissions;
  bool server = false;                                    // rules over the whole server
  std::shared_ptr<const base::ResourceAccess> resources;  // null: permissions decide alone
};
// `project`: as asked for; "": the identity's own, else `default`. Answers nullopt for a disabled user.
base::Result<std::optional<Reach>> reach_of(store::Tx& tx, const Identity& identity, std::string_view project);
// Names of the projects that the identity may enter, in order.
base::Result<std::vector<std::string>> projects_of(store::Tx& tx, const Identity& identity);
// Whether it may read all there is, in every project: what is about the server as a whole (metrics) tells of them all.
bool reads_everything(store::Tx& tx, const Identity& identity);
// Names of its roles in a project.
std::vector<std::string> role_names(store::Tx& tx, const Identity& identity, int64_t project);

}  // namespace core
