// Is one model better than another on the same rows? Paired bootstrap of a difference, and McNemar's test on the rows
// where exactly one of the two is right. Proven against scipy and statsmodels in tests/stats.
// Pure and seeded. Thread: safe anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "stats/interval.h"
#include "stats/metrics.h"

namespace stats {

// Difference = metric(challenger) - metric(champion), both on the same resampled rows.
struct PairedBootstrap {
  double difference = 0;   // on all rows
  Interval interval;       // percentile
  double p_greater = 1;    // one-sided: (1 + resamples with difference <= 0) / (1 + resamples)
  double p_two_sided = 1;  // 2 × the smaller tail, at most 1
  int resamples = 0;
  uint64_t seed = 0;
};

// Mean of a per-row score, such as 1 where a row is right: accuracy; or minus the squared error.
PairedBootstrap paired_bootstrap_mean(std::span<const double> champion, std::span<const double> challenger,
                                      const BootstrapOptions& options);

// A metric of the confusion matrix. All three by row; labels as text.
base::Result<PairedBootstrap> paired_bootstrap(ClassificationMetric metric, std::span<const std::string> truth,
                                               std::span<const std::string> champion,
                                               std::span<const std::string> challenger,
                                               const BootstrapOptions& options);

// Of a regression: the gain, so that a positive difference is better whichever way the metric points.
base::Result<PairedBootstrap> paired_bootstrap(RegressionMetric metric, std::span<const double> truth,
                                               std::span<const double> champion, std::span<const double> challenger,
                                               const BootstrapOptions& options);

// Any difference of rows.
PairedBootstrap paired_bootstrap(size_t rows, const RowsMetric& difference, const BootstrapOptions& options);

// statsmodels.stats.contingency_tables.mcnemar; no discordant row: p = 1.
struct McNemar {
  int64_t champion_only = 0;  // rows that only the champion has right
  int64_t challenger_only = 0;
  double exact_p = 1;          // two-sided binomial
  double exact_p_greater = 1;  // one-sided: challenger better; P(X >= challenger_only), X ~ Binomial(discordant, 1/2)
  double chi2 = 0;             // with continuity correction
  double chi2_p = 1;
};
McNemar mcnemar(int64_t champion_only, int64_t challenger_only);
base::Result<McNemar> mcnemar(std::span<const std::string> truth, std::span<const std::string> champion,
                              std::span<const std::string> challenger);

// Two shares of independent rows: the z test with the pooled variance (statsmodels' proportions_ztest), and Newcombe's
// interval of the difference (confint_proportions_2indep(method="newcomb")). A side without trials: p = 1.
struct Share {
  int64_t successes = 0, trials = 0;
};
struct TwoProportions {
  double difference = 0;  // challenger - champion
  Interval interval;
  double z = 0;
  double p_two_sided = 1;
  double p_greater = 1;  // one-sided: the challenger's share is greater
  double p_less = 1;
};
TwoProportions two_proportions(const Share& champion, const Share& challenger, double confidence = 0.95);

// Two means of independent rows: Welch's t test (scipy's ttest_ind(equal_var=False)) with its interval. Fewer than two
// rows on a side, or no variance on both: p = 1.
struct Moments {
  int64_t rows = 0;
  double mean = 0;
  double variance = 0;  // with rows - 1
};
struct Welch {
  double difference = 0;  // challenger - champion
  Interval interval;
  double t = 0, degrees = 0;
  double p_two_sided = 1;
};
Welch welch(const Moments& champion, const Moments& challenger, double confidence = 0.95);

// Rows that each of two equal sides needs, so that a difference as large as the one seen is found (two-sided, at
// 1 - confidence) with this power: the normal approximation, with each side's own variance (statsmodels'
// NormalIndPower). 0: there is no difference to find.
int64_t rows_needed(const Share& champion, const Share& challenger, double power = 0.8, double confidence = 0.95);
int64_t rows_needed(const Moments& champion, const Moments& challenger, double power = 0.8, double confidence = 0.95);

}  // namespace stats
