// The section `graphs` of lathe.yaml: each an endpoint made of others (serve/graph.h). Used by config.cc only.
#pragma once

#include <vector>

#include "base/yaml.h"
#include "loop/config.h"
#include "loop/config_reader.h"

namespace loop {

inline constexpr size_t kMaxGraphs = 20;  // of one project

std::vector<GraphConfig> read_graphs(ReadState& state, const base::yaml::Node& section);

}  // namespace loop
