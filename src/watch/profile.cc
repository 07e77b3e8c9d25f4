#include "watch/profile.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

#include "base/json.h"
#include "base/json_writer.h"
#include "stats/metrics.h"
#include "watch/record.h"
#include "watch/watch.h"

namespace watch {
namespace {

constexpr std::string_view kFormat = "lathe-baseline/1";
constexpr int64_t kMaxRegressionClasses = 20;  // numeric predictions with more distinct values are a regression

FeatureProfile numeric_profile(std::string name, std::span<const double> column) {
  FeatureProfile profile{.name = std::move(name)};
  const stats::Sample all = stats::sample_of(column);
  profile.rows = all.rows;
  profile.missing = all.dropped;
  if (all.rows == 0) return profile;
  profile.low = all.values.front();
  profile.high = all.values.back();
  if (all.constant()) {
    profile.kind = FeatureKind::kConstant;
    return profile;
  }
  profile.kind = FeatureKind::kNumeric;
  profile.bins = stats::freeze_bins(all);
  profile.counts = stats::count_into(profile.bins, all);
  profile.sample = stats::thinned(all, kBaselineSampleRows, 0);
  return profile;
}

FeatureProfile text_profile(std::string name, const stats::Texts& column) {
  FeatureProfile profile{.name = std::move(name), .text = true};
  std::map<std::string_view, int64_t> counts;
  for (const auto& text : column) {
    if (text && !text->empty()) {
      ++counts[*text], ++profile.rows;
    } else {
      ++profile.missing;
    }
  }
  if (counts.empty() || counts.size() > kMaxCategories) return profile;
  profile.kind = counts.size() == 1 ? FeatureKind::kConstant : FeatureKind::kCategory;
  for (const auto& [text, count] : counts) {
    profile.categories.emplace_back(text);
    profile.counts.push_back(count);
  }
  return profile;
}

// A regression's predictions are numbers without end; a classifier's are few names.
std::optional<stats::Numbers> as_regression(const std::vector<std::string>& predictions) {
  stats::Numbers numbers;
  for (const std::string& text : predictions) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    numbers.push_back(number);
  }
  const stats::Sample sample = stats::sample_of(numbers);
  const bool whole = std::ranges::all_of(sample.values, [](double v) { return v == std::trunc(v); });
  if (static_cast<int64_t>(sample.values.size()) <= kMaxRegressionClasses ||
      (whole && sample.values.size() < numbers.size() / 4)) {
    return std::nullopt;
  }
  return numbers;
}

void write_numbers(base::JsonWriter& out, std::string_view key, const auto& numbers) {
  out.key(key).begin_array();
  for (const auto number : numbers) out.value(number);
  out.end_array();
}

void write(base::JsonWriter& out, const FeatureProfile& f) {
  out.begin_object().field("name", f.name).field("kind", name(f.kind)).field("text", f.text);
  out.field("rows", f.rows).field("missing", f.missing);
  if (!f.text && f.rows > 0) out.field("low", f.low).field("high", f.high);
  if (f.kind == FeatureKind::kNumeric) {
    write_numbers(out, "edges", f.bins.edges);
    write_numbers(out, "sample_values", f.sample.values);
    write_numbers(out, "sample_counts", f.sample.counts);
  }
  if (!f.categories.empty()) {
    out.key("categories").begin_array();
    for (const std::string& category : f.categories) out.value(category);
    out.end_array();
  }
  write_numbers(out, "counts", f.counts);
  out.end_object();
}

template <class T>
base::Result<std::vector<T>> read_numbers(const base::json::object& in, std::string_view key) {
  std::vector<T> out;
  if (!in.contains(key)) return out;
  TRY_SET(const auto* list, base::required_array(in, key));
  for (const auto& v : *list) {
    if (!v.is_number()) return base::invalid("field '" + std::string(key) + "' must hold numbers");
    out.push_back(v.to_number<T>());
  }
  return out;
}

base::Result<FeatureProfile> read_feature(const base::json::value& value) {
  TRY_SET(const auto* in, base::as_object(value, "a feature"));
  FeatureProfile f;
  TRY_SET(f.name, base::required_string(*in, "name"));
  TRY_SET(const std::string kind, base::required_string(*in, "kind"));
  const auto kinds = {FeatureKind::kNumeric, FeatureKind::kCategory, FeatureKind::kConstant, FeatureKind::kOpaque};
  const auto found = std::ranges::find(kinds, kind, [](FeatureKind k) { return name(k); });
  if (found == kinds.end()) return base::invalid("feature '" + f.name + "' is of unknown kind '" + kind + "'");
  f.kind = *found;
  TRY_SET(f.text, base::required_bool(*in, "text"));
  TRY_SET(f.rows, base::required_int(*in, "rows"));
  TRY_SET(f.missing, base::required_int(*in, "missing"));
  if (!f.text && f.rows > 0) {
    TRY_SET(f.low, base::required_double(*in, "low"));
    TRY_SET(f.high, base::required_double(*in, "high"));
  }
  TRY_SET(f.bins.edges, read_numbers<double>(*in, "edges"));
  TRY_SET(f.sample.values, read_numbers<double>(*in, "sample_values"));
  TRY_SET(f.sample.counts, read_numbers<int64_t>(*in, "sample_counts"));
  f.sample.rows = std::reduce(f.sample.counts.begin(), f.sample.counts.end());
  TRY_SET(f.counts, read_numbers<int64_t>(*in, "counts"));
  if (in->contains("categories")) {
    TRY_SET(const auto* list, base::required_array(*in, "categories"));
    for (const auto& v : *list) {
      if (!v.is_string()) return base::invalid("the categories of feature '" + f.name + "' must be text");
      f.categories.emplace_back(v.get_string());
    }
  }
  const bool whole = f.sample.values.size() == f.sample.counts.size() &&
                     (f.kind != FeatureKind::kNumeric || f.counts.size() == f.bins.count()) &&
                     (f.categories.empty() || f.counts.size() == f.categories.size());
  if (!whole) return base::invalid("the lists of feature '" + f.name + "' differ in length");
  return f;
}

}  // namespace

std::string_view name(FeatureKind kind) {
  switch (kind) {
    case FeatureKind::kNumeric: return "numeric";
    case FeatureKind::kCategory: return "category";
    case FeatureKind::kConstant: return "constant";
    case FeatureKind::kOpaque: return "opaque";
  }
  return "opaque";
}

base::Result<Profile> make_profile(const stats::Table& features, const std::vector<std::string>& predictions,
                                   const std::vector<std::string>& truth) {
  if (features.rows() == 0) return base::invalid("a baseline needs rows; the table has none");
  if (predictions.size() != features.rows() || (!truth.empty() && truth.size() != features.rows())) {
    return base::invalid("a baseline of " + std::to_string(features.rows()) +
                         " rows needs as many predictions (found " + std::to_string(predictions.size()) +
                         ") and, if any, true labels (found " + std::to_string(truth.size()) + ")");
  }
  Profile profile{.rows = static_cast<int64_t>(features.rows())};
  for (const stats::Column& column : features.columns) {
    profile.features.push_back(column.numeric() ? numeric_profile(column.name, column.numbers())
                                                : text_profile(column.name, column.texts()));
  }
  if (const auto numbers = as_regression(predictions)) {
    profile.predictions = numeric_profile("prediction", *numbers);
    profile.regression = true;
  } else {
    stats::Texts labels;
    for (const std::string& label : predictions) labels.emplace_back(stats::canonical_label(label));
    profile.predictions = text_profile("prediction", labels);
  }
  for (size_t i = 0; i < truth.size(); ++i)
    count_label(profile.truth, stats::canonical_label(truth[i]), stats::canonical_label(predictions[i]));
  return profile;
}

std::string to_json(const Profile& profile) {
  std::string text;
  base::JsonWriter out(text);
  out.begin_object().field("format", kFormat).field("rows", profile.rows);
  out.field("truth_rows", profile.truth.labelled).field("truth_correct", profile.truth.correct);
  if (profile.regression) {
    out.field("regression", true).field("truth_absolute_error", profile.truth.absolute_error);
    out.field("truth_squared_error", profile.truth.squared_error);
  }
  out.key("predictions");
  write(out, profile.predictions);
  out.key("features").begin_array();
  for (const FeatureProfile& feature : profile.features) write(out, feature);
  out.end_array().end_object();
  return text;
}

base::Result<Profile> parse_profile(std::string_view json) {
  TRY_SET(const auto document, base::parse_json(json));
  TRY_SET(const auto* in, base::as_object(document, "a baseline"));
  TRY_SET(const std::string format, base::required_string(*in, "format"));
  if (format != kFormat)
    return base::invalid("the baseline is of format '" + format + "'; this server reads " + std::string(kFormat));
  Profile profile;
  TRY_SET(profile.rows, base::required_int(*in, "rows"));
  TRY_SET(profile.truth.labelled, base::required_int(*in, "truth_rows"));
  TRY_SET(profile.truth.correct, base::required_int(*in, "truth_correct"));
  profile.regression = in->contains("regression");
  if (profile.regression) {
    TRY_SET(profile.truth.absolute_error, base::required_double(*in, "truth_absolute_error"));
    TRY_SET(profile.truth.squared_error, base::required_double(*in, "truth_squared_error"));
  }
  if (!in->contains("predictions")) return base::invalid("the baseline has no 'predictions'");
  TRY_SET(profile.predictions, read_feature(in->at("predictions")));
  TRY_SET(const auto* features, base::required_array(*in, "features"));
  for (const auto& feature : *features) {
    TRY_SET(auto read, read_feature(feature));
    profile.features.push_back(std::move(read));
  }
  return profile;
}

base::Result<std::string> make_baseline(const stats::Table& features, const std::vector<std::string>& predictions,
                                        const std::vector<std::string>& truth) {
  TRY_SET(const Profile profile, make_profile(features, predictions, truth));
  return to_json(profile);
}

}  // namespace watch
