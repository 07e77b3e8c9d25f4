// One definition, many stages: foreach + do, matrix, and our own tune (seeded random or grid). Thread: plain functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "flow/dvc_scope.h"

namespace flow {

inline constexpr size_t kMaxTrials = 1000;

struct Variant {
  std::string name;                           // "train@logreg-t3"; the definition's own name if it is not expanded
  Node body;                                  // not resolved yet
  Scope scope;                                // with item and key
  std::map<std::string, std::string> values;  // scalars of matrix and tune, by name: also in the stage's environment
};

base::Result<std::vector<Variant>> expand(const std::string& name, const Node& definition, const Scope& scope);

}  // namespace flow
