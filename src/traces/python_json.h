// Values of JSON as Python's json.dumps(ensure_ascii=False) writes them: ", " and ": ". Internal to the room; heavy.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace traces {

struct PythonText {
  bool sort_keys = false;
  bool ascii = false;  // escape what is not ASCII, as json.dumps does by default
};
void append_python(std::string& out, const base::json::value& value, PythonText how = {});
std::string to_python(const base::json::value& value, PythonText how = {});

// The value of a JSON text; nullopt for what is none. NaN and infinities, as Python writes them, are not read.
std::optional<base::json::value> try_parse(std::string_view json);
// A JSON string's text, else the JSON itself.
std::string text_or_json(std::string_view json);

}  // namespace traces
