#include "traces/analytics.h"

#include <algorithm>
#include <cmath>

#include "traces/python_json.h"
#include "traces/span.h"

namespace traces {

namespace json = base::json;

namespace {

// The object of a JSON text, or of the JSON text within it.
std::optional<json::object> object_of(std::string_view text) {
  auto parsed = try_parse(text);
  if (parsed && parsed->is_string()) parsed = try_parse(std::string(parsed->get_string()));
  if (!parsed || !parsed->is_object()) return std::nullopt;
  return std::move(parsed->get_object());
}

std::optional<int64_t> count_of(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_double()) {
    const double number = value.get_double();
    if (number == std::floor(number) && std::abs(number) < 9e15) return static_cast<int64_t>(number);
  }
  return std::nullopt;
}

std::optional<double> cost_of(const json::value& value) {
  if (!value.is_number()) return std::nullopt;
  const double number = value.to_number<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

}  // namespace

bool Analytics::has_tokens() const {
  return std::ranges::any_of(tokens, [](const auto& count) { return count.has_value(); });
}
bool Analytics::has_costs() const {
  return std::ranges::any_of(costs, [](const auto& cost) { return cost.has_value(); });
}

Analytics read_usage(std::string_view text) {
  Analytics out;
  const auto object = object_of(text);
  for (size_t i = 0; object && i < kTokenKeys.size(); ++i) {
    if (const auto* value = object->if_contains(kTokenKeys[i])) out.tokens[i] = count_of(*value);
  }
  return out;
}

Analytics read_costs(std::string_view text) {
  Analytics out;
  const auto object = object_of(text);
  for (size_t i = 0; object && i < kCostKeys.size(); ++i) {
    if (const auto* value = object->if_contains(kCostKeys[i])) out.costs[i] = cost_of(*value);
  }
  return out;
}

std::string usage_text(const Analytics& analytics) {
  std::string out;
  for (size_t i = 0; i < kTokenKeys.size(); ++i) {
    if (!analytics.tokens[i]) continue;
    out.append(out.empty() ? "{" : ", ").append(python_string(kTokenKeys[i])).append(": ");
    out += std::to_string(*analytics.tokens[i]);
  }
  return out.empty() ? out : out + "}";
}

std::string cost_text(const Analytics& analytics) {
  std::string out;
  for (size_t i = 0; i < kCostKeys.size(); ++i) {
    if (!analytics.costs[i]) continue;
    out.append(out.empty() ? "{" : ", ").append(python_string(kCostKeys[i])).append(": ");
    append_python_double(out, *analytics.costs[i]);
  }
  return out.empty() ? out : out + "}";
}

}  // namespace traces
