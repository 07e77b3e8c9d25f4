// A PipelineSpec as JSON text: how its row keeps it, and what the API shows. Unknown fields are ignored when read, so
// that an older server can read what a newer one wrote before a downgrade is refused elsewhere. Thread: plain
// functions.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "base/result.h"
#include "flow/flow.h"

namespace flow {

using TextMap = std::map<std::string, std::string>;

std::string spec_to_json(const PipelineSpec& spec);
base::Result<PipelineSpec> spec_from_json(std::string_view text);
std::string map_to_json(const TextMap& map);
base::Result<TextMap> map_from_json(std::string_view text);  // {"k": "v", …}

}  // namespace flow
