// Scalars as DVC's writers spell them. Thread: plain functions.
#pragma once

#include <string>
#include <string_view>

#include "base/yaml.h"

namespace flow {

// One YAML 1.2 scalar, plain where it reads back as the same text, else quoted; on one line.
std::string yaml_scalar(std::string_view text);
// "key: value\n" at `indent`, as ruamel.yaml 0.19 lays it out for DVC: maps and lists in block style (a list's dashes
// stand below its key), long plain and single-quoted text folded at width 80 (so a folded line may end in a space).
void append_yaml_entry(std::string& out, size_t indent, std::string_view key, const base::yaml::Node& value);
void append_yaml_text_item(std::string& out, size_t indent, std::string_view text);  // "- text\n"
// A JSON string with everything beyond ASCII escaped, as Python's json.dumps writes it.
void append_ascii_json(std::string& out, std::string_view text);

}  // namespace flow
