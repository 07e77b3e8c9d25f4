#include "base/json.h"

#include <cmath>

namespace base {
namespace {

std::string quoted(std::string_view key) { return "'" + std::string(key) + "'"; }

// The field, or null when it is absent or null.
const json::value* field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && !value->is_null() ? value : nullptr;
}

std::unexpected<Error> wrong_kind(std::string_view key, std::string_view want, const json::value& found) {
  return invalid("field " + quoted(key) + " must be " + std::string(want) + ", found " + std::string(kind_name(found.kind())));
}

Result<std::string> read_string(std::string_view key, const json::value& value) {
  if (!value.is_string()) return wrong_kind(key, "a string", value);
  return std::string(value.get_string());
}

Result<int64_t> read_int(std::string_view key, const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_double()) {
    const double d = value.get_double();
    if (d == std::floor(d) && std::abs(d) < 9.0e15) return int64_t(d);
    return invalid("field " + quoted(key) + " must be an integer, found " + to_text(value));
  }
  if (value.is_uint64()) return invalid("field " + quoted(key) + " is too large for a 64-bit integer");
  return wrong_kind(key, "an integer", value);
}

Result<double> read_double(std::string_view key, const json::value& value) {
  if (!value.is_number()) return wrong_kind(key, "a number", value);
  return value.to_number<double>();
}

Result<bool> read_bool(std::string_view key, const json::value& value) {
  if (!value.is_bool()) return wrong_kind(key, "true or false", value);
  return value.get_bool();
}

template <class T>
Result<T> required(const json::object& object, std::string_view key, Result<T> (*read)(std::string_view, const json::value&)) {
  const json::value* value = field(object, key);
  if (!value) return invalid("field " + quoted(key) + " is missing");
  return read(key, *value);
}

template <class T>
Result<std::optional<T>> optional(const json::object& object, std::string_view key, Result<T> (*read)(std::string_view, const json::value&)) {
  const json::value* value = field(object, key);
  if (!value) return std::optional<T>();
  TRY_SET(T got, read(key, *value));
  return std::optional<T>(std::move(got));
}

}  // namespace

std::string_view kind_name(json::kind kind) {
  switch (kind) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_: return "a number";
    case json::kind::string: return "a string";
    case json::kind::array: return "a list";
    case json::kind::object: return "an object";
  }
  return "something else";
}

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::stream_parser parser({}, options);
  boost::system::error_code error;
  try {
    const size_t read = parser.write_some({text.data(), text.size()}, error);
    if (!error && read < text.size()) {
      return invalid("not valid JSON: extra characters at byte " + std::to_string(read));
    }
    if (!error) parser.finish(error);
    if (error) {
      const std::string why = error == json::error::too_deep ? "nested deeper than " + std::to_string(kMaxJsonDepth) : error.message();
      return invalid("not valid JSON: " + why + " at byte " + std::to_string(read));
    }
    return parser.release();
  } catch (const std::exception& e) {  // out of memory, or a number too long
    return invalid(std::string("not valid JSON: ") + e.what());
  }
}

std::string to_text(const json::value& value) { return json::serialize(value); }

Result<std::string> required_string(const json::object& o, std::string_view k) { return required(o, k, read_string); }
Result<int64_t> required_int(const json::object& o, std::string_view k) { return required(o, k, read_int); }
Result<double> required_double(const json::object& o, std::string_view k) { return required(o, k, read_double); }
Result<bool> required_bool(const json::object& o, std::string_view k) { return required(o, k, read_bool); }
Result<std::optional<std::string>> optional_string(const json::object& o, std::string_view k) { return optional(o, k, read_string); }
Result<std::optional<int64_t>> optional_int(const json::object& o, std::string_view k) { return optional(o, k, read_int); }
Result<std::optional<double>> optional_double(const json::object& o, std::string_view k) { return optional(o, k, read_double); }
Result<std::optional<bool>> optional_bool(const json::object& o, std::string_view k) { return optional(o, k, read_bool); }

Result<const json::object*> required_object(const json::object& object, std::string_view key) {
  const json::value* value = field(object, key);
  if (!value) return invalid("field " + quoted(key) + " is missing");
  if (!value->is_object()) return wrong_kind(key, "an object", *value);
  return &value->get_object();
}

Result<const json::array*> required_array(const json::object& object, std::string_view key) {
  const json::value* value = field(object, key);
  if (!value) return invalid("field " + quoted(key) + " is missing");
  if (!value->is_array()) return wrong_kind(key, "a list", *value);
  return &value->get_array();
}

Result<const json::object*> as_object(const json::value& value, std::string_view what) {
  if (!value.is_object()) return invalid(std::string(what) + " must be an object, found " + std::string(kind_name(value.kind())));
  return &value.get_object();
}

}  // namespace base
