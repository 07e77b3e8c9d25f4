// JSON: Boost.JSON is the value type; these are the few helpers that give a user-friendly error where a field is
// missing or of another type. Hot answers use json_writer.h; hot bodies use simdjson in the door that reads them.
//
// Include in .cc files only: the header is heavy.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

namespace json = boost::json;

inline constexpr size_t kMaxJsonDepth = 64;

// Parses one document; the error tells the byte offset. Depth is limited to kMaxJsonDepth; NaN and Infinity as bare
// words are refused (JSON has none). The value lies in `memory`: an arena of one request's saves an allocation a field.
Result<json::value> parse_json(std::string_view text, json::storage_ptr memory = {});
std::string to_text(const json::value& value);

// Fields of an object. `required_*` fail with "field 'x' is missing" or "field 'x' must be a string, found a number";
// `optional_*` answer nullopt when the field is absent or null. Integers accept 3 and 3.0, not 3.5 and not "3".
Result<std::string> required_string(const json::object& object, std::string_view key);
Result<int64_t> required_int(const json::object& object, std::string_view key);
Result<double> required_double(const json::object& object, std::string_view key);
Result<bool> required_bool(const json::object& object, std::string_view key);
Result<const json::object*> required_object(const json::object& object, std::string_view key);
Result<const json::array*> required_array(const json::object& object, std::string_view key);
Result<std::optional<std::string>> optional_string(const json::object& object, std::string_view key);
Result<std::optional<int64_t>> optional_int(const json::object& object, std::string_view key);
Result<std::optional<double>> optional_double(const json::object& object, std::string_view key);
Result<std::optional<bool>> optional_bool(const json::object& object, std::string_view key);
Result<const json::object*> as_object(const json::value& value, std::string_view what);  // borrowed from value
std::string_view kind_name(json::kind kind);                                             // "a string", "a number", ...

}  // namespace base
