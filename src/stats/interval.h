// Intervals: Wilson's for a share, the bootstrap percentile interval for any metric of rows.
// Pure and seeded: the same rows and seed give the same numbers on every machine. Thread: safe anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace stats {

struct Interval {
  double low = 0;
  double high = 0;
};

double normal_quantile(double probability);

// Wilson score interval without continuity correction (statsmodels' proportion_confint(method="wilson")).
// No trials: [0, 1].
Interval wilson_interval(int64_t successes, int64_t trials, double confidence = 0.95);

struct BootstrapOptions {
  uint64_t seed = 0;
  int resamples = 10'000;
  double confidence = 0.95;
};

// Metric of the rows named by the indices (with repetitions); called once per resample with the same number of rows.
using RowsMetric = std::function<double(std::span<const uint32_t> rows)>;

// The metric's value on each resample of `rows` rows, in the order drawn. Cost: resamples × (rows + metric).
std::vector<double> bootstrap_values(size_t rows, const RowsMetric& metric, const BootstrapOptions& options);
Interval bootstrap_interval(size_t rows, const RowsMetric& metric, const BootstrapOptions& options);

// The interval between the (1 ± confidence) / 2 quantiles, interpolated linearly (numpy's default). NaN without values;
// values that are NaN (a metric undefined on some resample) are left out.
Interval percentile_interval(std::vector<double> values, double confidence);

}  // namespace stats
