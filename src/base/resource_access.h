// What somebody may do with single experiments and registered models, where that is not what his roles say of the whole
// project. Nearly nobody has one: without it nothing is looked at and nothing costs anything.
//
// Thread: immutable once it is given out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace base {

// MLflow's permissions in their order; kWrite is ours, what an editor of the project may: edit and delete, but not say
// who else may.
enum class Level : int8_t { kDeny = -1, kNone = 0, kRead = 1, kUse = 2, kEdit = 3, kWrite = 4, kManage = 5 };

struct ResourceAccess {
  int64_t principal = 0;             // whose it is
  Level experiments = Level::kNone;  // those that are not named below
  Level models = Level::kNone;
  Level most = Level::kManage;  // a narrower token's limit
  bool creates = false;         // may make experiments and models, and then manages them
  std::map<int64_t, Level> experiment;
  std::map<std::string, Level, std::less<>> model;

  Level of_experiment(int64_t id) const {
    const auto found = experiment.find(id);
    return std::min(found == experiment.end() ? experiments : found->second, most);
  }
  Level of_model(std::string_view name) const {
    const auto found = model.find(name);
    return std::min(found == model.end() ? models : found->second, most);
  }
  // Whatever experiment or model there is. Together with the role's right to read: all that the project's pages show.
  bool reads_all() const {
    const auto readable = [](const auto& named) { return named.second >= Level::kRead; };
    return std::min({experiments, models, most}) >= Level::kRead && std::ranges::all_of(experiment, readable) &&
           std::ranges::all_of(model, readable);
  }
  bool operator==(const ResourceAccess&) const = default;
};

}  // namespace base
