#include "serve/outlier.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace serve {
namespace {

const TrainingFeature* find(const TrainingProfile& profile, const Feature& feature) {
  const auto found = std::ranges::find(profile.features, feature.name, &TrainingFeature::name);
  return found == profile.features.end() || found->text != feature.text ? nullptr : &*found;
}

// A share of the rows as the distance at which a normal value is as rare.
double rare(double share, int64_t rows) {
  const double least = 0.5 / static_cast<double>(std::max<int64_t>(rows, 1));
  return std::sqrt(-2 * std::log(std::clamp(share, least, 1.0)));
}

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - static_cast<double>(low));
}

double distance(const std::vector<double>& sorted, double value) {
  if (sorted.empty()) return 0;
  constexpr double kMiddle80 = 2.5631031310892007;  // of a normal feature, in standard deviations
  double spread = (quantile(sorted, 0.9) - quantile(sorted, 0.1)) / kMiddle80;
  if (!(spread > 0)) spread = (sorted.back() - sorted.front()) / (2 * kMiddle80);
  return std::abs(value - quantile(sorted, 0.5)) / spread;
}

double share_of(const TrainingFeature& feature, const std::string& category) {
  const auto found = std::ranges::find(feature.categories, category);
  return found == feature.categories.end() ? 0
                                           : feature.shares[static_cast<size_t>(found - feature.categories.begin())];
}

std::string number_text(double value) {
  Tensor tensor{.type = DataType::kFp64};
  append_number(tensor, value);
  return text_at(tensor, 0);
}

double surprise(const TrainingProfile& profile, const TrainingFeature& feature, double value) {
  if (std::isnan(value)) return rare(feature.missing, profile.rows);
  if (!feature.categories.empty()) return rare(share_of(feature, number_text(value)), profile.rows);
  if (!feature.sample.empty() && feature.sample.front() == feature.sample.back())  // nothing to measure by
    return value == feature.sample.front() ? 0 : rare(0, profile.rows);
  return distance(feature.sample, value);
}

double surprise(const TrainingProfile& profile, const TrainingFeature& feature, const std::string& value) {
  return rare(value.empty() ? feature.missing : share_of(feature, value), profile.rows);
}

// One of the categories, or the number of them for a missing value.
size_t draw(const TrainingFeature& feature, double at) {
  for (size_t i = 0; i < feature.shares.size(); ++i) {
    if (at < feature.shares[i]) return i;
    at -= feature.shares[i];
  }
  return feature.shares.size();
}

}  // namespace

std::optional<Outlier> outlier_score(const TrainingProfile& profile, const std::vector<Feature>& features,
                                     const RawRows& rows) {
  std::optional<Outlier> out;
  const auto texts = static_cast<size_t>(std::ranges::count_if(features, &Feature::text));
  const size_t numbers = features.size() - texts;
  size_t number = 0, text = 0;
  for (const Feature& feature : features) {
    const size_t at = feature.text ? text++ : number++;
    const TrainingFeature* known = find(profile, feature);
    if (!known) continue;
    for (size_t row = 0; row < rows.count; ++row) {
      const double score = feature.text ? surprise(profile, *known, rows.texts[row * texts + at])
                                        : surprise(profile, *known, rows.numbers[row * numbers + at]);
      if (!out || score > out->score) out = Outlier{score, feature.name};
    }
  }
  return out;
}

stats::Table background_rows(const TrainingProfile& profile, const std::vector<Feature>& features, size_t count,
                             uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  stats::Table out;
  for (const Feature& feature : features) {
    const TrainingFeature* known = find(profile, feature);
    if (!known) return {};
    stats::Numbers numbers;
    stats::Texts texts;
    for (size_t row = 0; row < count; ++row) {
      const double at = uniform();
      const bool categories = !known->categories.empty();
      const size_t drawn = categories ? draw(*known, at) : 0;
      const bool there = categories ? drawn < known->categories.size() : !known->sample.empty() && at >= known->missing;
      if (feature.text) {
        texts.push_back(there && categories ? std::optional(known->categories[drawn]) : std::nullopt);
      } else if (!there) {
        numbers.push_back(std::numeric_limits<double>::quiet_NaN());
      } else if (categories) {
        numbers.push_back(std::strtod(known->categories[drawn].c_str(), nullptr));
      } else {
        numbers.push_back(known->sample[static_cast<size_t>(uniform() * static_cast<double>(known->sample.size()))]);
      }
    }
    if (feature.text)
      out.columns.push_back({feature.name, std::move(texts)});
    else
      out.columns.push_back({feature.name, std::move(numbers)});
  }
  return out;
}

}  // namespace serve
