#include "api/mlflow/args.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "api/mlflow/errors.h"
#include "base/json_writer.h"
#include "net/text.h"

namespace api::mlflow {

namespace json = base::json;

namespace {

// The Python name of a JSON value's type: upstream's messages name it.
std::string_view python_type(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "NoneType";
    case json::kind::bool_: return "bool";
    case json::kind::int64:
    case json::kind::uint64: return "int";
    case json::kind::double_: return "float";
    case json::kind::string: return "str";
    case json::kind::array: return "list";
    case json::kind::object: return "dict";
  }
  return "object";
}

// Whether `key` is the camelCase form of `snake`.
bool is_camel_of(std::string_view key, std::string_view snake) {
  size_t at = 0;
  for (size_t i = 0; i < snake.size(); ++i, ++at) {
    char c = snake[i];
    if (c == '_' && i + 1 < snake.size()) {
      c = snake[++i];
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    }
    if (at >= key.size() || key[at] != c) return false;
  }
  return at == key.size();
}

const json::value* look_up(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (!value && name.find('_') != name.npos) {
    for (const auto& field : object) {
      if (is_camel_of(field.key(), name)) value = &field.value();
    }
  }
  return value && !value->is_null() ? value : nullptr;
}

bool whole(std::string_view text, int64_t& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string Args::Place::path() const {
  return where.empty() ? std::string(name) : std::string(where).append(".").append(name);
}

void Args::fail(base::Error error) {
  if (!error_) error_ = std::move(error);
}

void Args::missing(std::string_view path) {
  fail({base::Code::kInvalid,
        "Missing value for required parameter '" + std::string(path) + "'." + std::string(kSeeDocs)});
}

void Args::wrong(std::string_view path, const json::value& value) {
  constexpr size_t kShown = 200;
  std::string shown;
  if (value.is_double()) {
    base::append_double(shown, value.as_double());
  } else {
    shown = base::to_text(value);
  }
  if (shown.size() > kShown) shown.resize(kShown), shown += "…";
  if (!net::is_utf8(shown)) shown = "…";  // cut inside a character
  fail({base::Code::kInvalid, "Invalid value " + shown + " for parameter '" + std::string(path) +
                                  "' supplied:  Hint: Value was of type '" + std::string(python_type(value)) + "'." +
                                  std::string(kSeeDocs)});
}

void Args::take_body(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == body.npos) return;  // no body: no parameters
  auto parsed = base::parse_json(body, &memory_);
  if (parsed && parsed->is_string()) {  // old clients encode twice
    const std::string inner(parsed->as_string());
    parsed = base::parse_json(inner, &memory_);
  }
  if (!parsed) return fail({base::Code::kInvalid, "The request's body is " + parsed.error().message});
  if (parsed->is_null()) return;
  if (!parsed->is_object()) {
    return fail({base::Code::kInvalid,
                 "The request's body must be a JSON object, found " + std::string(base::kind_name(parsed->kind()))});
  }
  body_.emplace(std::move(*parsed));
}

const json::object& Args::root() {
  static const json::object kNone;
  return body_ ? body_->get_object() : kNone;
}

const json::value* Args::find(std::string_view name) { return look_up(root(), name); }

std::optional<std::string> Args::read_text(const json::value& value, Place place) {
  if (!value.is_string()) {
    wrong(place.path(), value);
    return std::nullopt;
  }
  const auto& text = value.as_string();
  if (text.find('\0') != json::string::npos) {
    fail({base::Code::kInvalid,
          "Invalid value for parameter '" + place.path() + "' supplied: text must not contain the character U+0000."});
    return std::nullopt;
  }
  return std::string(text.data(), text.size());
}

std::optional<int64_t> Args::read_integer(const json::value& value, Place place) {
  int64_t number = 0;
  if (value.is_int64()) return value.as_int64();
  if (value.is_double()) {
    const double d = value.as_double();
    if (d == std::floor(d) && std::abs(d) < 9.2e18) return static_cast<int64_t>(d);
  }
  if (value.is_string() && whole(std::string_view(value.as_string()), number)) return number;
  wrong(place.path(), value);
  return std::nullopt;
}

std::optional<std::string> Args::optional_text(std::string_view name) {
  if (!in_body(request_)) {
    auto value = request_.query_value(name);
    if (value && (!net::is_utf8(*value) || value->find('\0') != value->npos)) {
      fail({base::Code::kInvalid,
            "Invalid value for parameter '" + std::string(name) + "' supplied: it is not valid text."});
      return std::nullopt;
    }
    return value;
  }
  const json::value* value = find(name);
  return value ? read_text(*value, {"", name}) : std::nullopt;
}

std::string Args::text(std::string_view name) { return optional_text(name).value_or(""); }

std::string Args::required_text(std::string_view name) {
  auto value = optional_text(name);
  if (!value || value->empty()) missing(name);
  return std::move(value).value_or("");
}

std::optional<int64_t> Args::integer(std::string_view name) {
  if (in_body(request_)) {
    const json::value* value = find(name);
    return value ? read_integer(*value, {"", name}) : std::nullopt;
  }
  const auto text = optional_text(name);
  if (!text || text->empty()) return std::nullopt;
  int64_t number = 0;
  if (whole(*text, number)) return number;
  wrong(name, json::value(*text));
  return std::nullopt;
}

std::optional<bool> Args::boolean(std::string_view name) {
  if (in_body(request_)) {
    const json::value* value = find(name);
    if (!value) return std::nullopt;
    if (value->is_bool()) return value->as_bool();
    wrong(name, *value);
    return std::nullopt;
  }
  const auto text = optional_text(name);
  if (!text) return std::nullopt;
  if (net::equals_ignoring_case(*text, "true")) return true;
  if (net::equals_ignoring_case(*text, "false")) return false;
  fail({base::Code::kInvalid, "Invalid boolean value: " + *text + ", must be 'true' or 'false'."});
  return std::nullopt;
}

std::optional<int64_t> Args::choice(std::string_view name, std::span<const std::string_view> names,
                                    int64_t first_number) {
  if (!has(name)) return std::nullopt;
  json::value shown;
  if (in_body(request_)) {
    shown = *find(name);
  } else {
    shown = optional_text(name).value_or("");
  }
  int64_t number = 0;
  if (shown.is_int64() || (shown.is_string() && whole(std::string_view(shown.as_string()), number))) {
    if (shown.is_int64()) number = shown.as_int64();
    if (number >= first_number && number < first_number + static_cast<int64_t>(names.size())) return number;
  } else if (shown.is_string()) {
    const auto found = std::ranges::find(names, std::string_view(shown.as_string()));
    if (found != names.end()) return first_number + (found - names.begin());
  }
  std::string allowed;
  for (const std::string_view value : names) allowed.append(allowed.empty() ? "" : ", ").append(value);
  std::string text = base::to_text(shown);
  if (text.size() > 200) text = std::string(python_type(shown));
  fail({base::Code::kInvalid, "Invalid value " + text + " for parameter '" + std::string(name) +
                                  "' supplied: it must be one of " + allowed + "." + std::string(kSeeDocs)});
  return std::nullopt;
}

bool Args::has(std::string_view name) {
  return in_body(request_) ? find(name) != nullptr : request_.query_value(name).has_value();
}

std::string Args::run_id(bool required) {
  std::string id = text("run_id");
  if (id.empty()) id = text("run_uuid");
  if (id.empty() && required) missing("run_id");
  return id;
}

std::vector<std::string> Args::texts(std::string_view name) {
  std::vector<std::string> out;
  if (!in_body(request_)) {
    for (std::string& value : request_.query_values(name)) {
      if (!net::is_utf8(value) || value.find('\0') != value.npos) {
        fail({base::Code::kInvalid,
              "Invalid value for parameter '" + std::string(name) + "' supplied: it is not valid text."});
        return {};
      }
      out.push_back(std::move(value));
    }
    return out;
  }
  const json::value* value = find(name);
  if (!value) return out;
  if (!value->is_array()) {
    wrong(name, *value);
    return out;
  }
  for (const json::value& item : value->as_array()) {
    if (!item.is_string()) {
      wrong(name, *value);
      return {};
    }
    out.push_back(read_text(item, {"", name}).value_or(""));
  }
  return out;
}

track::Tags Args::unique_tags(std::string_view name) {
  track::Tags out = tags(name);
  std::vector<std::string_view> keys;
  for (const track::Tag& tag : out) keys.push_back(tag.key);
  std::ranges::sort(keys);
  if (const auto twice = std::ranges::adjacent_find(keys); twice != keys.end()) {
    fail({base::Code::kInvalid, "Duplicate keys in parameter '" + std::string(name) + "': '" + std::string(*twice) +
                                    "' is there twice." + std::string(kSeeDocs)});
  }
  return out;
}

std::vector<const json::object*> Args::objects(std::string_view name) {
  std::vector<const json::object*> out;
  const json::value* value = in_body(request_) ? find(name) : nullptr;
  if (!value) return out;
  if (!value->is_array()) {
    wrong(name, *value);
    return out;
  }
  for (const json::value& item : value->as_array()) {
    if (!item.is_object()) {
      wrong(std::string(name) + "[" + std::to_string(out.size()) + "]", item);
      return {};
    }
    out.push_back(&item.as_object());
  }
  return out;
}

track::Tags Args::tags(std::string_view name) {
  track::Tags out;
  const auto items = objects(name);
  out.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string where = std::string(name) + "[" + std::to_string(i) + "]";
    std::string key = text_in(*items[i], "key", where, true);
    out.push_back({std::move(key), text_in(*items[i], "value", where, false)});
  }
  return out;
}

std::optional<std::string> Args::optional_text_in(const json::object& object, std::string_view name,
                                                  std::string_view where) {
  const json::value* value = look_up(object, name);
  return value ? read_text(*value, {where, name}) : std::nullopt;
}

std::string Args::text_in(const json::object& object, std::string_view name, std::string_view where, bool required) {
  const json::value* value = look_up(object, name);
  std::string out = value ? read_text(*value, {where, name}).value_or("") : "";
  if (required && out.empty()) missing(Place{where, name}.path());
  return out;
}

std::optional<int64_t> Args::integer_in(const json::object& object, std::string_view name, std::string_view where) {
  const json::value* value = look_up(object, name);
  return value ? read_integer(*value, {where, name}) : std::nullopt;
}

double Args::number_in(const json::object& object, std::string_view name, std::string_view where) {
  const json::value* value = look_up(object, name);
  if (!value) {
    missing(Place{where, name}.path());
    return 0;
  }
  if (value->is_double()) return value->as_double();
  if (value->is_int64()) return static_cast<double>(value->as_int64());
  if (value->is_uint64()) return static_cast<double>(value->as_uint64());
  if (value->is_string()) {
    const std::string_view text = value->as_string();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
    double number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!text.empty() && failed == std::errc() && end == text.data() + text.size()) return number;
  }
  wrong(Place{where, name}.path(), *value);
  return 0;
}

bool Args::boolean_in(const json::object& object, std::string_view name, std::string_view where, bool otherwise) {
  const json::value* value = look_up(object, name);
  if (!value) return otherwise;
  if (!value->is_bool()) wrong(Place{where, name}.path(), *value);
  return value->is_bool() ? value->as_bool() : otherwise;
}

}  // namespace api::mlflow
