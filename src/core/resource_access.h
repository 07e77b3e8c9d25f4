// Grants on single experiments and registered models, above or below what a user's roles give (base/resource_access.h).
// A row stands for itself: who has READ on an experiment reads it and no more, whatever his role in the project;
// several rows that apply (one by name, one for "*") add up, and a denial wins. Administrators have no limits.
//
// Changes emit "principal.revoked", so that the gatekeeper looks again. Domain functions on a Tx of the project.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/permissions.h"
#include "base/resource_access.h"
#include "base/result.h"
#include "store/tx.h"

namespace core {

inline constexpr int64_t kGrantsPerUser = 10'000;  // in a project

enum class Resource : uint8_t { kExperiment, kModel };
std::string_view name(Resource kind);  // "experiment", "registered_model"

std::string_view level_name(base::Level level);  // "READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS", "DENY"
std::optional<base::Level> parse_level(std::string_view text);

struct ResourceGrant {
  Resource kind;
  std::string resource;  // an experiment's id, a model's name, or "*"
  base::Level level;
};

base::Result<void> put_grant(store::Tx& tx, int64_t user, const ResourceGrant& grant);
std::optional<base::Level> find_grant(store::Tx& tx, int64_t user, Resource kind, std::string_view resource);
base::Result<bool> remove_grant(store::Tx& tx, int64_t user, Resource kind, std::string_view resource);
std::vector<ResourceGrant> list_grants(store::Tx& tx, int64_t user);
// A model's grants follow its new name, and end with it.
void move_grants(store::Tx& tx, Resource kind, std::string_view from, std::string_view to);
void drop_grants(store::Tx& tx, Resource kind, std::string_view resource);

// What a user who is no administrator of the project may, by his permissions there and his rows. `creates`: he is one
// who makes experiments and models of his own (Role::kContributor). Null: his permissions alone decide.
base::Result<std::shared_ptr<const base::ResourceAccess>> resource_access(store::Tx& tx, int64_t user, int64_t project,
                                                                          base::Permissions by_role, bool creates,
                                                                          base::Permissions most);

// The level of one resource now, from the store, as resource_access() would give it.
base::Level level_now(store::Tx& tx, const base::ResourceAccess& access, Resource kind, std::string_view resource);

// Whether that much is allowed: by what the caller carries, or by a row that was written a moment ago.
bool allows_experiment(store::Tx& tx, const base::ResourceAccess& access, int64_t id, base::Level least);
bool allows_model(store::Tx& tx, const base::ResourceAccess& access, std::string_view name, base::Level least);

}  // namespace core
