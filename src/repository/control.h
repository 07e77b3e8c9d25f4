// What clients may change of a repository and ask about it beyond its routes: Triton's repository calls and SageMaker's
// /models. Thread: index() anywhere; the others block.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace repository {

struct ModelState {  // of one version, or of a model that never was loaded: no version, no state
  std::string name;
  std::string version;
  std::string state;  // READY, UNAVAILABLE, LOADING, UNLOADING
  std::string reason;
};

class ModelControl {
 public:
  virtual ~ModelControl() = default;
  virtual std::vector<ModelState> index(bool ready_only) const = 0;
  // Loads or loads anew; an ensemble with the models of its steps. `config_json` replaces config.pbtxt until the next
  // load. Whatever fails, what was served before goes on being served. kUnavailable unless the mode is explicit.
  virtual base::Result<void> load(std::string_view name, const std::optional<std::string>& config_json) = 0;
  virtual base::Result<void> unload(std::string_view name, bool dependents) = 0;

  struct Added {
    std::string name;
    base::Path folder;
  };
  // SageMaker's: a folder below the place for such folders, under a name. kAlreadyExists, kNotFound, kForbidden.
  virtual base::Result<void> add(std::string_view name, const base::Path& folder) = 0;
  virtual base::Result<void> remove(std::string_view name) = 0;
  virtual std::vector<Added> added() const = 0;
};

}  // namespace repository
