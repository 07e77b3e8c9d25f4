// MLflow's roles on the wire (roles.cc), for auth.cc, which lists users with theirs. Thread: any.
#pragma once

#include "api/mlflow/door.h"
#include "core/named_role.h"

namespace api::mlflow {

void write_role(base::JsonWriter& json, const core::NamedRole& role);
void add_role_routes(Door& door);

}  // namespace api::mlflow
