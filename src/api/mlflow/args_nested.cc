// Args: elements within elements, and the forms that protobuf's JSON gives to times, maps and enumerations.
#include <algorithm>
#include <charconv>

#include "api/mlflow/args.h"
#include "api/mlflow/errors.h"
#include "base/clock.h"

namespace api::mlflow {

namespace json = base::json;

namespace {

std::string place(std::string_view where, std::string_view name) {
  return where.empty() ? std::string(name) : std::string(where).append(".").append(name);
}

// "-1.25s": seconds with up to nine decimals.
std::optional<int64_t> parse_duration_ms(std::string_view text) {
  if (!text.ends_with('s')) return std::nullopt;
  text.remove_suffix(1);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  std::string decimals(dot == text.npos ? std::string_view() : text.substr(dot + 1));
  int64_t seconds = 0, ms = 0;
  const auto digits = [](std::string_view part, int64_t& out) {
    const auto [end, failed] = std::from_chars(part.data(), part.data() + part.size(), out);
    return !part.empty() && failed == std::errc() && end == part.data() + part.size() && out >= 0;
  };
  constexpr int64_t kMostSeconds = 315'576'000'000;  // protobuf's own bound
  if (!digits(whole, seconds) || seconds > kMostSeconds || decimals.size() > 9) return std::nullopt;
  if (decimals.find_first_not_of("0123456789") != decimals.npos) return std::nullopt;
  decimals.resize(3, '0');
  if (!digits(decimals, ms)) return std::nullopt;
  const int64_t total = seconds * 1000 + ms;
  return negative ? -total : total;
}

}  // namespace

const json::value* Args::value_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr && name.find('_') != name.npos) {
    std::string camel;
    for (size_t i = 0; i < name.size(); ++i) {
      const bool raise = name[i] == '_' && i + 1 < name.size();
      if (raise) ++i;
      camel += raise && name[i] >= 'a' && name[i] <= 'z' ? static_cast<char>(name[i] - 32) : name[i];
    }
    value = object.if_contains(camel);
  }
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const json::object* Args::object_in(const json::object& object, std::string_view name, std::string_view where) {
  const json::value* value = value_in(object, name);
  if (value == nullptr) return nullptr;
  if (value->is_object()) return &value->get_object();
  wrong(place(where, name), *value);
  return nullptr;
}

std::vector<const json::object*> Args::objects_in(const json::object& object, std::string_view name,
                                                  std::string_view where) {
  std::vector<const json::object*> out;
  const json::value* value = value_in(object, name);
  if (value == nullptr) return out;
  if (!value->is_array()) {
    wrong(place(where, name), *value);
    return out;
  }
  for (const json::value& item : value->get_array()) {
    if (!item.is_object()) {
      wrong(place(where, name) + "[" + std::to_string(out.size()) + "]", item);
      return {};
    }
    out.push_back(&item.get_object());
  }
  return out;
}

std::vector<std::string> Args::texts_in(const json::object& object, std::string_view name, std::string_view where) {
  std::vector<std::string> out;
  const json::value* value = value_in(object, name);
  if (value == nullptr) return out;
  if (!value->is_array()) {
    wrong(place(where, name), *value);
    return out;
  }
  for (const json::value& item : value->get_array()) {
    if (!item.is_string()) {
      wrong(place(where, name), *value);
      return {};
    }
    out.push_back(read_text(item, {where, name}).value_or(""));
  }
  return out;
}

track::Tags Args::map_in(const json::object& object, std::string_view name, std::string_view where) {
  track::Tags out;
  const json::object* map = object_in(object, name, where);
  if (map == nullptr) return out;
  const std::string path = place(where, name);
  out.reserve(map->size());
  for (const auto& [key, value] : *map) {
    std::string text = read_text(value, {path, key}).value_or("");
    std::string name_text = read_text(json::value(key), {path, "key"}).value_or("");
    out.push_back({std::move(name_text), std::move(text)});
  }
  return out;
}

std::optional<int64_t> Args::time_ms_in(const json::object& object, std::string_view name, std::string_view where) {
  const json::value* value = value_in(object, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) {
    if (const auto us = base::parse_iso8601(value->get_string())) {
      return *us >= 0 ? *us / 1000 : -((-*us + 999) / 1000);
    }
  }
  wrong(place(where, name), *value);
  return std::nullopt;
}

std::optional<int64_t> Args::duration_ms_in(const json::object& object, std::string_view name, std::string_view where) {
  const json::value* value = value_in(object, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) {
    if (const auto ms = parse_duration_ms(value->get_string())) return ms;
  }
  wrong(place(where, name), *value);
  return std::nullopt;
}

std::optional<int64_t> Args::choice_in(const json::object& object, std::string_view name, std::string_view where,
                                       std::span<const std::string_view> names, int64_t first_number) {
  const json::value* value = value_in(object, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) {
    const int64_t number = value->get_int64();
    if (number >= first_number && number < first_number + static_cast<int64_t>(names.size())) return number;
  } else if (value->is_string()) {
    const auto found = std::ranges::find(names, std::string_view(value->get_string()));
    if (found != names.end()) return first_number + (found - names.begin());
  }
  wrong(place(where, name), *value);
  return std::nullopt;
}

}  // namespace api::mlflow
