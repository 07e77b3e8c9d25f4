#include "stats/transform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/assert.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace stats {
namespace {

constexpr std::string_view kFormat = "lathe.transform.v1";
constexpr std::string_view kFormatWithAnswer = "lathe.transform.v2";  // older readers must not pass it over
constexpr size_t kMaxCategories = 1000;  // per one-hot column; past it the column is an identifier, not a category
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

constexpr std::string_view name(FillKind kind) {
  switch (kind) {
    case FillKind::kMean: return "mean";
    case FillKind::kMedian: return "median";
    case FillKind::kMode: return "mode";
    case FillKind::kConstant: return "constant";
  }
  return "";
}

constexpr std::string_view name(ScaleKind kind) { return kind == ScaleKind::kStandard ? "standard" : "minmax"; }

// Sum with a running compensation (Neumaier): independent of the magnitude's order to the last digit or two.
class ExactSum {
 public:
  void add(double x) {
    const double t = sum_ + x;
    rest_ += std::abs(sum_) >= std::abs(x) ? (sum_ - t) + x : (x - t) + sum_;
    sum_ = t;
  }
  double value() const { return sum_ + rest_; }

 private:
  double sum_ = 0, rest_ = 0;
};

Numbers present(const Numbers& values) {
  Numbers out;
  out.reserve(values.size());
  std::ranges::copy_if(values, std::back_inserter(out), [](double x) { return !std::isnan(x); });
  return out;
}

// Never outside the values' range: rounding must not move the mean of equal values off them.
double mean_of(const Numbers& values) {
  ExactSum sum;
  for (const double x : values) sum.add(x);
  const auto [low, high] = std::ranges::minmax(values);
  return std::clamp(sum.value() / static_cast<double>(values.size()), low, high);
}

double median_of(Numbers values) {
  const size_t half = values.size() / 2;
  std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(half));
  const double upper = values[half];
  if (values.size() % 2 == 1) return upper;
  const double lower = *std::max_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(half));
  return lower + (upper - lower) / 2;
}

// The most frequent value; of several, the smallest.
template <class T>
T mode_of(std::vector<T> values) {
  std::ranges::sort(values);
  T best{};
  size_t best_count = 0;
  for (size_t i = 0; i < values.size();) {
    size_t j = i;
    while (j < values.size() && values[j] == values[i]) ++j;
    if (j - i > best_count) best_count = j - i, best = values[i];
    i = j;
  }
  return best;
}

// Mean and deviation over n values (ddof 0). What scikit-learn takes for a constant column is one here too: its
// variance is no larger than the rounding error of computing it.
std::pair<double, double> standard_scale(const Numbers& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = mean_of(values);
  ExactSum squares, rest;
  for (const double x : values) {
    squares.add((x - mean) * (x - mean));
    rest.add(x - mean);
  }
  const double variance = (squares.value() - rest.value() * rest.value() / n) / n;
  const double bound = n * kEpsilon * variance + std::pow(n * mean * kEpsilon, 2);
  return {mean, variance <= bound ? 1.0 : 1.0 / std::sqrt(variance)};
}

std::pair<double, double> minmax_scale(const Numbers& values) {
  const auto [low, high] = std::ranges::minmax(values);
  const double range = high - low;
  return {low, range < 10 * kEpsilon ? 1.0 : 1.0 / range};
}

// The declaration for a column: by its own name, else "*" (numeric columns only).
template <class Entry>
const Entry* declared_for(const std::vector<Entry>& entries, std::string_view column, bool star) {
  const Entry* found = nullptr;
  for (const Entry& entry : entries) {
    if (entry.column == column) return &entry;
    if (star && entry.column == "*") found = &entry;
  }
  return found;
}

base::Result<void> check_names(const TransformSpec& spec, const std::vector<std::string>& features) {
  auto known = [&](std::string_view what, const std::string& column) -> base::Result<void> {
    if (column == "*" || std::ranges::find(features, column) != features.end()) return {};
    return base::invalid(
        fmt::format("{}: '{}' is not a feature; the features are {}", what, column, fmt::join(features, ", ")));
  };
  std::set<std::string> filled, scaled, hot;
  for (const auto& fill : spec.fill) {
    TRY(known("missing", fill.column));
    if (!filled.insert(fill.column).second)
      return base::invalid(fmt::format("missing: '{}' stands twice", fill.column));
  }
  for (const auto& scale : spec.scale) {
    TRY(known("scale", scale.column));
    if (!scaled.insert(scale.column).second)
      return base::invalid(fmt::format("scale: '{}' stands twice", scale.column));
  }
  for (const auto& column : spec.one_hot) {
    if (column == "*") return base::invalid("one_hot: '*' is not allowed; name the columns");
    TRY(known("one_hot", column));
    if (!hot.insert(column).second) return base::invalid(fmt::format("one_hot: '{}' stands twice", column));
    if (scaled.contains(column)) return base::invalid(fmt::format("'{}' is in both scale and one_hot", column));
  }
  return {};
}

}  // namespace

size_t Transform::ColumnPlan::width() const {
  if (!one_hot) return 1;
  return number_categories.size() + text_categories.size() + (missing_category ? 1 : 0);
}

bool Transform::all_inputs_numeric() const {
  return std::ranges::all_of(columns_, [](const ColumnPlan& plan) { return plan.numeric; });
}

bool Transform::identity() const {
  return std::ranges::none_of(columns_, [](const ColumnPlan& plan) { return plan.fill || plan.scale || plan.one_hot; });
}

// --- fitting --------------------------------------------------------------------------------------------------------

base::Result<Transform> Transform::fit(const TransformSpec& spec, const Table& train,
                                       const std::vector<std::string>& features) {
  TRY(check_names(spec, features));
  Transform transform;
  transform.inputs_ = features;
  for (const std::string& feature : features) {
    const Column* column = train.find(feature);
    if (column == nullptr) return base::invalid(fmt::format("the training rows have no column '{}'", feature));
    ColumnPlan& plan = transform.columns_.emplace_back();
    plan.numeric = column->numeric();
    if (auto fitted = transform.fit_column(spec, *column, plan); !fitted) {
      return std::unexpected(std::move(fitted).error().within(fmt::format("column '{}'", feature)));
    }
  }
  TRY(transform.finish());
  return transform;
}

namespace {

base::Result<double> fit_fill(const TransformSpec::Fill& fill, const Numbers& values) {
  if (fill.kind == FillKind::kConstant) {
    const auto number = parse_number(fill.constant);
    if (!number) return base::invalid(fmt::format("the constant '{}' is not a number, the column is", fill.constant));
    return *number;
  }
  Numbers known = present(values);
  if (known.empty()) {
    return base::invalid(fmt::format("every training value is missing: no {} to fill with", name(fill.kind)));
  }
  if (fill.kind == FillKind::kMean) return mean_of(known);
  return fill.kind == FillKind::kMedian ? median_of(std::move(known)) : mode_of(std::move(known));
}

base::Result<std::string> fit_fill(const TransformSpec::Fill& fill, const Texts& values) {
  if (fill.kind == FillKind::kConstant) return fill.constant;
  if (fill.kind != FillKind::kMode) {
    return base::invalid(fmt::format("a text column has no {}; mode and constant are possible", name(fill.kind)));
  }
  std::vector<std::string> known;
  for (const auto& value : values) {
    if (value) known.push_back(*value);
  }
  if (known.empty()) return base::invalid("every training value is missing: no mode to fill with");
  return mode_of(std::move(known));
}

}  // namespace

base::Result<void> Transform::fit_column(const TransformSpec& spec, const Column& column, ColumnPlan& plan) const {
  plan.one_hot = std::ranges::find(spec.one_hot, column.name) != spec.one_hot.end();
  const auto* fill = declared_for(spec.fill, column.name, plan.numeric);
  const auto* scale = declared_for(spec.scale, column.name, plan.numeric && !plan.one_hot);
  if (column.size() == 0 && (fill != nullptr || scale != nullptr || plan.one_hot)) {
    return base::invalid("no training rows to fit the preparation on");
  }
  if (!plan.numeric) {
    if (scale != nullptr) return base::invalid("a text column cannot be scaled");
    Texts values = column.texts();
    if (fill != nullptr) {
      TRY_SET(plan.fill_text, fit_fill(*fill, values));
      plan.fill = fill->kind;
    }
    if (!plan.one_hot) return {};
    std::set<std::string> categories;
    for (const auto& value : values) {
      if (value)
        categories.insert(*value);
      else if (plan.fill)
        categories.insert(plan.fill_text);
      else
        plan.missing_category = true;
    }
    plan.text_categories.assign(categories.begin(), categories.end());
  } else {
    Numbers values = column.numbers();
    if (fill != nullptr) {
      TRY_SET(plan.fill_number, fit_fill(*fill, values));
      plan.fill = fill->kind;
      for (double& x : values) x = std::isnan(x) ? plan.fill_number : x;
    }
    Numbers known = present(values);
    if (scale != nullptr) {
      if (known.empty()) return base::invalid("every training value is missing: nothing to scale by");
      std::tie(plan.offset, plan.factor) =
          scale->kind == ScaleKind::kStandard ? standard_scale(known) : minmax_scale(known);
      plan.scale = scale->kind;
      if (!std::isfinite(plan.offset) || !std::isfinite(plan.factor)) {
        return base::invalid("its values are too large to scale by");
      }
    }
    if (!plan.one_hot) return {};
    plan.missing_category = known.size() != values.size();
    for (double& x : known) x += 0.0;  // -0 and 0 are one category, spelled 0
    std::ranges::sort(known);
    known.erase(std::unique(known.begin(), known.end()), known.end());
    plan.number_categories = std::move(known);
  }
  if (plan.width() > kMaxCategories) {
    return base::invalid(fmt::format("{} categories; one_hot takes at most {}", plan.width(), kMaxCategories));
  }
  return {};
}

base::Result<void> Transform::finish() {
  outputs_.clear();
  any_one_hot_ = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ColumnPlan& plan = columns_[i];
    if (plan.one_hot) {
      any_one_hot_ = true;
      for (const double c : plan.number_categories) outputs_.push_back(inputs_[i] + "_" + number_text(c));
      for (const auto& c : plan.text_categories) outputs_.push_back(inputs_[i] + "_" + c);
      if (plan.missing_category) outputs_.push_back(inputs_[i] + "_nan");
    } else {
      outputs_.push_back(inputs_[i]);
    }
    dense_fill_.push_back(plan.fill ? plan.fill_number : std::numeric_limits<double>::quiet_NaN());
    dense_offset_.push_back(plan.offset);
    dense_factor_.push_back(plan.factor);
  }
  std::unordered_set<std::string_view> seen;
  for (const std::string& output : outputs_) {
    if (!seen.insert(output).second) {
      return base::invalid(
          fmt::format("one_hot makes a second column '{}'; rename the column or the category", output));
    }
  }
  return {};
}

// --- applying -------------------------------------------------------------------------------------------------------

// Position within the column's outputs; width() for a category that training never saw.
size_t Transform::category_of(const ColumnPlan& plan, double value) {
  if (std::isnan(value)) return plan.missing_category ? plan.width() - 1 : plan.width();
  const auto at = std::ranges::lower_bound(plan.number_categories, value);
  if (at == plan.number_categories.end() || *at != value) return plan.width();
  return static_cast<size_t>(at - plan.number_categories.begin());
}

base::Result<Numbers> Transform::numbers_of(const Column& column) const {
  if (column.numeric()) return column.numbers();
  Numbers out;
  out.reserve(column.size());
  for (const auto& text : column.texts()) {
    if (text) return base::invalid(fmt::format("column '{}' must be numeric; found the text '{}'", column.name, *text));
    out.push_back(std::numeric_limits<double>::quiet_NaN());
  }
  return out;
}

Texts Transform::texts_of(const Column& column) const {
  if (!column.numeric()) return column.texts();
  Texts out;
  out.reserve(column.size());
  for (const double x : column.numbers()) {
    if (std::isnan(x))
      out.emplace_back();
    else
      out.emplace_back(number_text(x));
  }
  return out;
}

base::Result<Table> Transform::apply(const Table& raw) const {
  Table out;
  out.columns.reserve(outputs_.size());
  auto add_one_hot = [&](size_t width, size_t rows, auto&& category) {
    const size_t first = out.columns.size();
    for (size_t k = 0; k < width; ++k) out.columns.push_back({outputs_[first + k], Numbers(rows, 0.0)});
    for (size_t r = 0; r < rows; ++r) {
      if (const size_t k = category(r); k < width) out.columns[first + k].numbers()[r] = 1.0;
    }
  };
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ColumnPlan& plan = columns_[i];
    const Column* column = raw.find(inputs_[i]);
    if (column == nullptr) return base::invalid(fmt::format("column '{}' is missing", inputs_[i]));
    const size_t rows = column->size();
    if (plan.numeric) {
      TRY_SET(Numbers values, numbers_of(*column));
      for (double& x : values) x = ((std::isnan(x) ? dense_fill_[i] : x) - plan.offset) * plan.factor;
      if (plan.one_hot)
        add_one_hot(plan.width(), rows, [&](size_t r) { return category_of(plan, values[r]); });
      else
        out.columns.push_back({inputs_[i], std::move(values)});
      continue;
    }
    Texts values = texts_of(*column);
    if (plan.fill) {
      for (auto& value : values) value = value ? std::move(value) : std::optional(plan.fill_text);
    }
    if (!plan.one_hot) {
      out.columns.push_back({inputs_[i], std::move(values)});
      continue;
    }
    add_one_hot(plan.width(), rows, [&](size_t r) {
      if (!values[r]) return plan.missing_category ? plan.width() - 1 : plan.width();
      const auto at = std::ranges::lower_bound(plan.text_categories, *values[r]);
      if (at == plan.text_categories.end() || *at != *values[r]) return plan.width();
      return static_cast<size_t>(at - plan.text_categories.begin());
    });
  }
  return out;
}

void Transform::apply_dense(const double* rows, size_t row_count, std::span<float> out) const {
  const size_t width_in = inputs_.size();
  ASSERT_ALWAYS(out.size() == row_count * outputs_.size() && all_inputs_numeric());
  float* to = out.data();
  if (!any_one_hot_) {
    for (size_t r = 0; r < row_count; ++r, rows += width_in, to += width_in) {
      for (size_t i = 0; i < width_in; ++i) {
        const double x = rows[i] != rows[i] ? dense_fill_[i] : rows[i];
        to[i] = static_cast<float>((x - dense_offset_[i]) * dense_factor_[i]);
      }
    }
    return;
  }
  std::ranges::fill(out, 0.0F);
  for (size_t r = 0; r < row_count; ++r, rows += width_in) {
    for (size_t i = 0; i < width_in; ++i) {
      const double x = ((rows[i] != rows[i] ? dense_fill_[i] : rows[i]) - dense_offset_[i]) * dense_factor_[i];
      const size_t width = columns_[i].width();
      if (!columns_[i].one_hot)
        *to = static_cast<float>(x);
      else if (const size_t k = category_of(columns_[i], x); k < width)
        to[k] = 1.0F;
      to += width;
    }
  }
}

base::Result<std::vector<float>> Transform::apply_dense(const double* rows, size_t row_count) const {
  if (!all_inputs_numeric()) {
    const auto at = std::ranges::find_if(columns_, [](const ColumnPlan& plan) { return !plan.numeric; });
    return base::invalid(
        fmt::format("column '{}' is text; send the rows by column name", inputs_[at - columns_.begin()]));
  }
  std::vector<float> out(row_count * outputs_.size());
  apply_dense(rows, row_count, out);
  return out;
}

// --- bytes ----------------------------------------------------------------------------------------------------------

std::string Transform::to_json() const {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("format", answer_.empty() ? kFormat : kFormatWithAnswer).key("columns").begin_array();
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ColumnPlan& plan = columns_[i];
    json.begin_object().field("name", inputs_[i]).field("type", plan.numeric ? "number" : "text");
    if (plan.fill) {
      json.key("fill").begin_object().field("kind", name(*plan.fill)).key("value");
      if (plan.numeric)
        json.value(plan.fill_number);
      else
        json.value(plan.fill_text);
      json.end_object();
    }
    if (plan.scale) {
      json.key("scale").begin_object().field("kind", name(*plan.scale));
      json.field("offset", plan.offset).field("factor", plan.factor).end_object();
    }
    if (plan.one_hot) {
      json.key("one_hot").begin_object().key("categories").begin_array();
      for (const double c : plan.number_categories) json.value(c);
      for (const std::string& c : plan.text_categories) json.value(c);
      json.end_array().field("missing", plan.missing_category).end_object();
    }
    json.end_object();
  }
  json.end_array();
  if (!answer_.empty()) {
    json.key("answer");
    answer_.write(json);
  }
  json.end_object();
  return out + "\n";
}

}  // namespace stats
