// Projects: the namespace of everything; = MLflow's workspace. `default` has row id base::kDefaultProject.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace core {

struct Project {
  int64_t id = 0;
  std::string name;
};

base::Result<Project> ensure_project(store::Tx& tx,
                                     std::string_view name);  // made if absent; name: [a-z0-9][a-z0-9_-]{0,62}
base::Result<Project> get_project(store::Tx& tx, std::string_view name);
std::vector<Project> list_projects(store::Tx& tx);
std::string project_name(store::Tx& tx);  // of the Tx's own project

}  // namespace core
