// Token counts and costs as text and as columns. Internal to the room.
#pragma once

#include <string>
#include <string_view>

#include "traces/traces.h"

namespace traces {

Analytics read_usage(std::string_view json);         // {"input_tokens": 3, …}, also as JSON within a JSON string
Analytics read_costs(std::string_view json);         // {"total_cost": 0.1, …}
std::string usage_text(const Analytics& analytics);  // "" when nothing is known
std::string cost_text(const Analytics& analytics);

}  // namespace traces
