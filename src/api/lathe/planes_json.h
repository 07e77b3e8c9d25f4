// A project's data planes as JSON: in the list of them and in the server's status.
#pragma once

#include <vector>

#include "base/json_writer.h"
#include "plane/planes.h"

namespace api::lathe {

struct PlaneFacts {
  plane::Plane plane;
  std::vector<plane::EndpointLag> endpoints;
};
std::vector<PlaneFacts> plane_facts(store::Tx& tx);
void write_planes(base::JsonWriter& json, const std::vector<PlaneFacts>& planes, int64_t now_us);  // an array

}  // namespace api::lathe
