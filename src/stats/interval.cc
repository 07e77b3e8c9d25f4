#include "stats/interval.h"

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/assert.h"
#include "base/ids.h"
#include "stats/resample.h"

namespace stats {

double normal_quantile(double probability) {
  ASSERT_ALWAYS(probability > 0 && probability < 1);
  return -std::numbers::sqrt2 * boost::math::erfc_inv(2 * probability);
}

Interval wilson_interval(int64_t successes, int64_t trials, double confidence) {
  ASSERT_ALWAYS(successes >= 0 && successes <= trials);
  if (trials == 0) return {0, 1};
  const double n = static_cast<double>(trials), share = static_cast<double>(successes) / n;
  const double z = normal_quantile(0.5 + confidence / 2), z2 = z * z;
  const double centre = (share + z2 / (2 * n)) / (1 + z2 / n);
  const double half = z / (1 + z2 / n) * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

std::vector<double> bootstrap_values(size_t rows, const RowsMetric& metric, const BootstrapOptions& options) {
  std::vector<double> values;
  if (rows == 0) return values;
  values.reserve(static_cast<size_t>(options.resamples));
  Resampler resampler(rows, options.seed);
  std::vector<uint32_t> drawn(rows);
  for (int i = 0; i < options.resamples; ++i) {
    resampler.draw(drawn);
    values.push_back(metric(drawn));
  }
  return values;
}

Interval bootstrap_interval(size_t rows, const RowsMetric& metric, const BootstrapOptions& options) {
  return percentile_interval(bootstrap_values(rows, metric, options), options.confidence);
}

Interval percentile_interval(std::vector<double> values, double confidence) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  std::ranges::sort(values);
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(values.size() - 1);
    const size_t below = static_cast<size_t>(at), above = std::min(below + 1, values.size() - 1);
    return std::lerp(values[below], values[above], at - static_cast<double>(below));
  };
  return {quantile((1 - confidence) / 2), quantile((1 + confidence) / 2)};
}

}  // namespace stats
