#include "base/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace base {
namespace {

std::string in_quotes(std::string_view key) { return "'" + std::string(key) + "'"; }

// The field, or null when it is absent or null.
const json::value* field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && !value->is_null() ? value : nullptr;
}

std::unexpected<Error> wrong_kind(std::string_view key, std::string_view want, const json::value& found) {
  return invalid("field " + in_quotes(key) + " must be " + std::string(want) + ", found " +
                 std::string(kind_name(found.kind())));
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
    return invalid("field " + in_quotes(key) + " must be an integer, found " + to_text(value));
  }
  if (value.is_uint64()) return invalid("field " + in_quotes(key) + " is too large for a 64-bit integer");
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
Result<T> required(const json::object& object, std::string_view key,
                   Result<T> (*read)(std::string_view, const json::value&)) {
  const json::value* value = field(object, key);
  if (!value) return invalid("field " + in_quotes(key) + " is missing");
  return read(key, *value);
}

template <class T>
Result<std::optional<T>> optional(const json::object& object, std::string_view key,
                                  Result<T> (*read)(std::string_view, const json::value&)) {
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

namespace {

// Boost.JSON 1.81 computes doubles a unit in the last place off. This handler builds the same values, but reads doubles
// from their characters, exactly.
struct ExactHandler {
  static constexpr size_t max_object_size = json::object::max_size();
  static constexpr size_t max_array_size = json::array::max_size();
  static constexpr size_t max_key_size = json::string::max_size();
  static constexpr size_t max_string_size = json::string::max_size();
  using Code = boost::system::error_code;
  using Text = json::string_view;

  json::value_stack stack;
  std::string number;  // the pieces of the number being read

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(size_t n, Code&) { return stack.push_object(n), true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(size_t n, Code&) { return stack.push_array(n), true; }
  bool on_key_part(Text s, size_t, Code&) { return stack.push_chars(s), true; }
  bool on_key(Text s, size_t, Code&) { return stack.push_key(s), true; }
  bool on_string_part(Text s, size_t, Code&) { return stack.push_chars(s), true; }
  bool on_string(Text s, size_t, Code&) { return stack.push_string(s), true; }
  bool on_number_part(Text s, Code&) { return number.append(s.data(), s.size()), true; }
  bool on_int64(int64_t i, Text, Code&) { return number.clear(), stack.push_int64(i), true; }
  bool on_uint64(uint64_t u, Text, Code&) { return number.clear(), stack.push_uint64(u), true; }
  bool on_double(double, Text s, Code& error) {
    number.append(s.data(), s.size());
    double exact = 0;
    const auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), exact);
    if (status == std::errc::result_out_of_range) exact = std::strtod(number.c_str(), nullptr);  // 0 or infinite
    number.clear();
    if (std::isinf(exact)) return error = json::error::exponent_overflow, false;
    return stack.push_double(exact), true;
  }
  bool on_bool(bool b, Code&) { return stack.push_bool(b), true; }
  bool on_null(Code&) { return stack.push_null(), true; }
  bool on_comment_part(Text, Code&) { return true; }
  bool on_comment(Text, Code&) { return true; }
};

}  // namespace

Result<json::value> parse_json(std::string_view text, json::storage_ptr memory) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  boost::system::error_code error;
  try {
    json::basic_parser<ExactHandler> parser(options);
    parser.handler().stack.reset(std::move(memory));
    const size_t read = parser.write_some(false, text.data(), text.size(), error);
    if (!error && read < text.size()) {
      return invalid("not valid JSON: extra characters at byte " + std::to_string(read));
    }
    if (error) {
      const std::string why =
          error == json::error::too_deep ? "nested deeper than " + std::to_string(kMaxJsonDepth) : error.message();
      return invalid("not valid JSON: " + why + " at byte " + std::to_string(read));
    }
    return parser.handler().stack.release();
  } catch (const std::exception& e) {  // out of memory, or a number too long
    return invalid(std::string("not valid JSON: ") + e.what());
  }
}

std::string to_text(const json::value& value) { return json::serialize(value); }

Result<std::string> required_string(const json::object& o, std::string_view k) { return required(o, k, read_string); }
Result<int64_t> required_int(const json::object& o, std::string_view k) { return required(o, k, read_int); }
Result<double> required_double(const json::object& o, std::string_view k) { return required(o, k, read_double); }
Result<bool> required_bool(const json::object& o, std::string_view k) { return required(o, k, read_bool); }
Result<std::optional<std::string>> optional_string(const json::object& o, std::string_view k) {
  return optional(o, k, read_string);
}
Result<std::optional<int64_t>> optional_int(const json::object& o, std::string_view k) {
  return optional(o, k, read_int);
}
Result<std::optional<double>> optional_double(const json::object& o, std::string_view k) {
  return optional(o, k, read_double);
}
Result<std::optional<bool>> optional_bool(const json::object& o, std::string_view k) {
  return optional(o, k, read_bool);
}

Result<const json::object*> required_object(const json::object& object, std::string_view key) {
  const json::value* value = field(object, key);
  if (!value) return invalid("field " + in_quotes(key) + " is missing");
  if (!value->is_object()) return wrong_kind(key, "an object", *value);
  return &value->get_object();
}

Result<const json::array*> required_array(const json::object& object, std::string_view key) {
  const json::value* value = field(object, key);
  if (!value) return invalid("field " + in_quotes(key) + " is missing");
  if (!value->is_array()) return wrong_kind(key, "a list", *value);
  return &value->get_array();
}

Result<const json::object*> as_object(const json::value& value, std::string_view what) {
  if (!value.is_object())
    return invalid(std::string(what) + " must be an object, found " + std::string(kind_name(value.kind())));
  return &value.get_object();
}

}  // namespace base
