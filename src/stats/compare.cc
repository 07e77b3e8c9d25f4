#include "stats/compare.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "base/assert.h"
#include "stats/resample.h"

namespace stats {
namespace {

PairedBootstrap summarise(double difference, std::vector<double> values, const BootstrapOptions& options) {
  PairedBootstrap result{.difference = difference, .resamples = options.resamples, .seed = options.seed};
  const double total = static_cast<double>(values.size()) + 1;
  const auto share = [&](auto wanted) {
    return (1 + static_cast<double>(std::ranges::count_if(values, wanted))) / total;
  };
  // A resample on which the metric is undefined speaks for neither side.
  result.p_greater = share([](double v) { return !(v > 0); });
  result.p_two_sided = std::min(1.0, 2 * std::min(result.p_greater, share([](double v) { return !(v < 0); })));
  result.interval = percentile_interval(std::move(values), options.confidence);
  return result;
}

base::Result<void> same_rows(size_t truth, size_t champion, size_t challenger) {
  if (truth == champion && truth == challenger) return {};
  return base::invalid("two models are compared on the same rows: there are " + std::to_string(truth) +
                       " true labels, " + std::to_string(champion) + " predictions of the champion and " +
                       std::to_string(challenger) + " of the challenger");
}

// P(X <= k) and P(X >= k) of a fair binomial.
double binomial_at_most(int64_t k, int64_t n) {
  if (k >= n) return 1;
  return boost::math::ibeta(static_cast<double>(n - k), static_cast<double>(k + 1), 0.5);
}
double binomial_at_least(int64_t k, int64_t n) {
  if (k <= 0) return 1;
  return boost::math::ibeta(static_cast<double>(k), static_cast<double>(n - k + 1), 0.5);
}

}  // namespace

PairedBootstrap paired_bootstrap(size_t rows, const RowsMetric& difference, const BootstrapOptions& options) {
  if (rows == 0) return {.resamples = 0, .seed = options.seed};
  std::vector<uint32_t> all(rows);
  std::iota(all.begin(), all.end(), 0U);
  return summarise(difference(all), bootstrap_values(rows, difference, options), options);
}

PairedBootstrap paired_bootstrap_mean(std::span<const double> champion, std::span<const double> challenger,
                                      const BootstrapOptions& options) {
  ASSERT_ALWAYS(champion.size() == challenger.size());
  std::vector<double> gains(champion.size());
  std::ranges::transform(challenger, champion, gains.begin(), std::minus<>());
  return paired_bootstrap(
      gains.size(),
      [&](std::span<const uint32_t> rows) {
        double sum = 0;
        for (const uint32_t row : rows) sum += gains[row];
        return sum / static_cast<double>(rows.size());
      },
      options);
}

base::Result<PairedBootstrap> paired_bootstrap(RegressionMetric metric, std::span<const double> truth,
                                               std::span<const double> champion, std::span<const double> challenger,
                                               const BootstrapOptions& options) {
  TRY(same_rows(truth.size(), champion.size(), challenger.size()));
  const double sign = higher_is_better(metric) ? 1 : -1;
  return paired_bootstrap(
      truth.size(),
      [&](std::span<const uint32_t> rows) {
        return sign *
               (regression_metric(metric, truth, challenger, rows) - regression_metric(metric, truth, champion, rows));
      },
      options);
}

base::Result<PairedBootstrap> paired_bootstrap(ClassificationMetric metric, std::span<const std::string> truth,
                                               std::span<const std::string> champion,
                                               std::span<const std::string> challenger,
                                               const BootstrapOptions& options) {
  TRY(same_rows(truth.size(), champion.size(), challenger.size()));
  if (metric == ClassificationMetric::kAccuracy) {
    std::vector<double> before(truth.size()), after(truth.size());
    for (size_t i = 0; i < truth.size(); ++i) before[i] = champion[i] == truth[i], after[i] = challenger[i] == truth[i];
    return paired_bootstrap_mean(before, after, options);
  }
  // One code for the labels of both models: the champion's rows, then the challenger's.
  std::vector<std::string> twice(truth.begin(), truth.end()), both(champion.begin(), champion.end());
  twice.insert(twice.end(), truth.begin(), truth.end());
  both.insert(both.end(), challenger.begin(), challenger.end());
  TRY_SET(const CodedLabels coded, code_labels(twice, both));
  ConfusionMatrix before(coded.classes.size()), after(coded.classes.size());
  return paired_bootstrap(
      truth.size(),
      [&](std::span<const uint32_t> rows) {
        before.clear(), after.clear();
        for (const uint32_t row : rows) {
          before.add(coded.truth[row], coded.predicted[row]);
          after.add(coded.truth[row], coded.predicted[truth.size() + row]);
        }
        return classification_metric(metric, after) - classification_metric(metric, before);
      },
      options);
}

McNemar mcnemar(int64_t champion_only, int64_t challenger_only) {
  ASSERT_ALWAYS(champion_only >= 0 && challenger_only >= 0);
  McNemar result{champion_only, challenger_only};
  const int64_t discordant = champion_only + challenger_only;
  if (discordant == 0) return result;
  result.exact_p = std::min(1.0, 2 * binomial_at_most(std::min(champion_only, challenger_only), discordant));
  result.exact_p_greater = binomial_at_least(challenger_only, discordant);
  const double distance = std::abs(static_cast<double>(champion_only - challenger_only)) - 1;
  result.chi2 = distance * distance / static_cast<double>(discordant);
  result.chi2_p = boost::math::gamma_q(0.5, result.chi2 / 2);
  return result;
}

base::Result<McNemar> mcnemar(std::span<const std::string> truth, std::span<const std::string> champion,
                              std::span<const std::string> challenger) {
  TRY(same_rows(truth.size(), champion.size(), challenger.size()));
  int64_t champion_only = 0, challenger_only = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const bool before = champion[i] == truth[i], after = challenger[i] == truth[i];
    champion_only += before && !after;
    challenger_only += after && !before;
  }
  return mcnemar(champion_only, challenger_only);
}

TwoProportions two_proportions(const Share& champion, const Share& challenger, double confidence) {
  TwoProportions out{.interval = {-1, 1}};
  if (champion.trials <= 0 || challenger.trials <= 0) return out;
  const auto n1 = static_cast<double>(champion.trials), n2 = static_cast<double>(challenger.trials);
  const double p1 = static_cast<double>(champion.successes) / n1, p2 = static_cast<double>(challenger.successes) / n2;
  out.difference = p2 - p1;
  const Interval w1 = wilson_interval(champion.successes, champion.trials, confidence);
  const Interval w2 = wilson_interval(challenger.successes, challenger.trials, confidence);
  out.interval = {out.difference - std::hypot(p2 - w2.low, w1.high - p1),
                  out.difference + std::hypot(w2.high - p2, p1 - w1.low)};
  const double pooled = static_cast<double>(champion.successes + challenger.successes) / (n1 + n2);
  const double variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2);
  if (variance <= 0) return out;  // all right, or all wrong, on both sides
  out.z = out.difference / std::sqrt(variance);
  out.p_greater = 0.5 * std::erfc(out.z / std::numbers::sqrt2);
  out.p_less = 0.5 * std::erfc(-out.z / std::numbers::sqrt2);
  out.p_two_sided = std::min(1.0, 2 * std::min(out.p_greater, out.p_less));
  return out;
}

Welch welch(const Moments& champion, const Moments& challenger, double confidence) {
  Welch out{.difference = challenger.mean - champion.mean,
            .interval = {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()}};
  if (champion.rows < 2 || challenger.rows < 2) return out;
  const double a = champion.variance / static_cast<double>(champion.rows);
  const double b = challenger.variance / static_cast<double>(challenger.rows);
  if (a + b <= 0) return out;
  const double error = std::sqrt(a + b);
  out.t = out.difference / error;
  out.degrees = (a + b) * (a + b) /
                (a * a / static_cast<double>(champion.rows - 1) + b * b / static_cast<double>(challenger.rows - 1));
  const boost::math::students_t distribution(out.degrees);
  out.p_two_sided = std::min(1.0, 2 * boost::math::cdf(boost::math::complement(distribution, std::abs(out.t))));
  const double reach = error * boost::math::quantile(boost::math::complement(distribution, (1 - confidence) / 2));
  out.interval = {out.difference - reach, out.difference + reach};
  return out;
}

namespace {

int64_t rows_for(double difference, double variances, double power, double confidence) {
  if (difference == 0 || !(variances > 0)) return 0;
  const double z = normal_quantile(1 - (1 - confidence) / 2) + normal_quantile(power);
  const double rows = std::ceil(z * z * variances / (difference * difference));
  return static_cast<int64_t>(std::min(rows, 1e15));
}

}  // namespace

int64_t rows_needed(const Share& champion, const Share& challenger, double power, double confidence) {
  if (champion.trials <= 0 || challenger.trials <= 0) return 0;
  const double p = static_cast<double>(champion.successes) / static_cast<double>(champion.trials);
  const double q = static_cast<double>(challenger.successes) / static_cast<double>(challenger.trials);
  return rows_for(q - p, p * (1 - p) + q * (1 - q), power, confidence);
}

int64_t rows_needed(const Moments& champion, const Moments& challenger, double power, double confidence) {
  if (champion.rows < 2 || challenger.rows < 2) return 0;
  return rows_for(challenger.mean - champion.mean, champion.variance + challenger.variance, power, confidence);
}

}  // namespace stats
