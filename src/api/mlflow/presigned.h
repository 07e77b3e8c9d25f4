// Presigned addresses of a run's own place (presigned.cc).
#pragma once

#include "api/mlflow/door.h"

namespace api::mlflow {

void add_presigned_routes(Door& door);

}  // namespace api::mlflow
