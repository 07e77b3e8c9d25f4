// Reading transform.json. It may come from outside (a model attached by hand), so nothing in it is trusted.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/json.h"
#include "stats/transform.h"

namespace stats {
namespace {

constexpr size_t kMaxColumns = 16384;

template <class Kind>
base::Result<Kind> read_kind(const base::json::object& object,
                             std::initializer_list<std::pair<std::string_view, Kind>> allowed) {
  TRY_SET(const std::string text, base::required_string(object, "kind"));
  std::string words;
  for (const auto& [word, kind] : allowed) {
    if (word == text) return kind;
    words += (words.empty() ? "" : ", ") + std::string(word);
  }
  return base::invalid(fmt::format("kind '{}' is unknown; known are {}", text, words));
}

base::Result<double> finite(const base::json::object& object, std::string_view key) {
  TRY_SET(const double value, base::required_double(object, key));
  if (!std::isfinite(value)) return base::invalid(fmt::format("field '{}' must be finite", key));
  return value;
}

template <class T>
bool strictly_ascending(const std::vector<T>& values) {
  return std::ranges::adjacent_find(values, [](const T& a, const T& b) { return !(a < b); }) == values.end();
}

}  // namespace

base::Result<Transform> Transform::parse(std::string_view text) {
  TRY_SET(const auto document, base::parse_json(text));
  TRY_SET(const auto* object, base::as_object(document, "the transform"));
  TRY_SET(const std::string format, base::required_string(*object, "format"));
  if (format != "lathe.transform.v1" && format != "lathe.transform.v2") {
    return base::invalid(
        fmt::format("format '{}' is unknown; this Lathe reads lathe.transform.v1 and lathe.transform.v2", format));
  }
  TRY_SET(const auto* columns, base::required_array(*object, "columns"));
  if (columns->size() > kMaxColumns) {
    return base::fail(base::Code::kTooLarge, fmt::format("more than {} columns", kMaxColumns));
  }
  Transform transform;
  std::unordered_set<std::string> names;
  for (const auto& value : *columns) {
    TRY_SET(const auto* column, base::as_object(value, "a column"));
    TRY_SET(std::string name, base::required_string(*column, "name"));
    ColumnPlan plan;
    auto read = [&]() -> base::Result<void> {
      TRY_SET(const std::string type, base::required_string(*column, "type"));
      if (type != "number" && type != "text") return base::invalid("type must be number or text");
      plan.numeric = type == "number";
      if (column->contains("fill")) {
        TRY_SET(const auto* fill, base::required_object(*column, "fill"));
        TRY_SET(plan.fill, read_kind<FillKind>(*fill, {{"mean", FillKind::kMean},
                                                       {"median", FillKind::kMedian},
                                                       {"mode", FillKind::kMode},
                                                       {"constant", FillKind::kConstant}}));
        if (plan.numeric) {
          TRY_SET(plan.fill_number, finite(*fill, "value"));
        } else {
          TRY_SET(plan.fill_text, base::required_string(*fill, "value"));
        }
      }
      if (column->contains("scale")) {
        if (!plan.numeric) return base::invalid("a text column cannot be scaled");
        TRY_SET(const auto* scale, base::required_object(*column, "scale"));
        TRY_SET(plan.scale,
                read_kind<ScaleKind>(*scale, {{"standard", ScaleKind::kStandard}, {"minmax", ScaleKind::kMinMax}}));
        TRY_SET(plan.offset, finite(*scale, "offset"));
        TRY_SET(plan.factor, finite(*scale, "factor"));
      }
      if (!column->contains("one_hot")) return {};
      if (plan.scale) return base::invalid("both scaled and one-hot");
      plan.one_hot = true;
      TRY_SET(const auto* one_hot, base::required_object(*column, "one_hot"));
      TRY_SET(plan.missing_category, base::required_bool(*one_hot, "missing"));
      TRY_SET(const auto* categories, base::required_array(*one_hot, "categories"));
      for (const auto& category : *categories) {
        if (plan.numeric ? !category.is_number() : !category.is_string()) {
          return base::invalid(fmt::format("a category must be {}", plan.numeric ? "a number" : "a string"));
        }
        if (plan.numeric)
          plan.number_categories.push_back(category.to_number<double>());
        else
          plan.text_categories.emplace_back(category.get_string());
      }
      if (!strictly_ascending(plan.number_categories) || !strictly_ascending(plan.text_categories)) {
        return base::invalid("categories must ascend, each once");
      }
      return {};
    };
    if (auto ok = read(); !ok) {
      return std::unexpected(std::move(ok).error().within(fmt::format("transform column '{}'", name)));
    }
    if (!names.insert(name).second) {
      return base::invalid(fmt::format("transform column '{}' stands twice", name));
    }
    transform.inputs_.push_back(std::move(name));
    transform.columns_.push_back(std::move(plan));
  }
  TRY(transform.finish());
  if (const auto* answer = object->if_contains("answer"); answer && format == "lathe.transform.v2") {
    TRY_SET(transform.answer_, parse_answer_rule(base::to_text(*answer)));
  }
  return transform;
}

}  // namespace stats
