// Scalars as DVC's writers spell them. Thread: plain functions.
#pragma once

#include <string>
#include <string_view>

namespace flow {

// One YAML 1.2 scalar, plain where it reads back as the same text, else quoted; never folded.
std::string yaml_scalar(std::string_view text);
// A JSON string with everything beyond ASCII escaped, as Python's json.dumps writes it.
void append_ascii_json(std::string& out, std::string_view text);

}  // namespace flow
