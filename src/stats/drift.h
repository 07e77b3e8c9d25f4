// Has a column changed between a reference and a current sample? Tests (p-values) and distances, and corrections for
// asking many times at once. A name carries the library whose formula it is: `evidently_psi` and `lathe_psi` differ.
// Proven against scipy and statsmodels in tests/stats. Pure; thread: safe anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "stats/histogram.h"

namespace stats {

// Kolmogorov–Smirnov, two samples, two-sided. Both samples are not empty (else p = 1).
// `gap` is the largest |i·m - j·n| over the pooled values (i of n reference and j of m current rows are not above), an
// exact integer: d = gap / (n·m), and p is a function of (n, m, gap) alone, so that a stored result can be recomputed.
// Equal to scipy.stats.ks_2samp(method="auto"): exact when max(n, m) <= 10000, else kstwo with round(nm / (n + m)).
// Ties make the exact p too large, never too small.
struct KsResult {
  double d = 0;
  double p = 1;
  int64_t gap = 0;
  int64_t reference_rows = 0;
  int64_t current_rows = 0;
};
inline constexpr int64_t kMaxExactKsRows = 10'000;
int64_t ks_gap(const Sample& reference, const Sample& current);
KsResult ks_two_sample(const Sample& reference, const Sample& current);
double ks_p_value(int64_t reference_rows, int64_t current_rows, int64_t gap);

// Sum over bins of (a - b) ln(a / b), with shares a = (reference + 1/2) / (n + bins/2), b likewise: bins frozen at the
// reference (histogram.h), counts that can be added up, finite where a bin is empty. 0 if either side is empty.
double lathe_psi(std::span<const int64_t> reference, std::span<const int64_t> current);

// Evidently's exact mode: bins from both samples together, anew at each comparison. Sturges' rule where the reference
// has more than 20 distinct values, else by value; `integers`: bins at least 1 wide. NaN if a side is empty.
double evidently_psi(const Sample& reference, const Sample& current, bool integers = false);
double evidently_jensenshannon(const Sample& reference, const Sample& current, bool integers = false);  // distance, ln
// Wasserstein distance over max(standard deviation of the reference (ddof 0), 0.001).
double evidently_wasserstein(const Sample& reference, const Sample& current);
double wasserstein(const Sample& reference, const Sample& current);  // scipy.stats.wasserstein_distance

// Counts per category, the same categories on both sides.
struct ChiSquare {
  double statistic = 0;
  double p = 1;
  int64_t degrees = 0;
};
// Pearson's test that both rows come from one distribution (scipy.stats.chi2_contingency without correction).
// Categories absent on both sides are left out; fewer than two categories: p = 1.
ChiSquare chi2_homogeneity(std::span<const int64_t> reference, std::span<const int64_t> current);
// As Evidently asks it: the current counts against the reference's shares as if those were exact, which doubles the
// false alarms. A category that the reference lacks: p = 0; a single category: NaN.
double evidently_chisquare(std::span<const int64_t> reference, std::span<const int64_t> current);

// P(X >= marked_drawn) where `drawn` of `population` rows are taken, `marked` of the population being marked: Fisher's
// exact test, one-sided (scipy.stats.hypergeom.sf). Equally the chance that so many new rows pass the reference's
// range.
double hypergeometric_at_least(int64_t marked_drawn, int64_t population, int64_t marked, int64_t drawn);

// Adjusted p-values, in the order given: significant at level a where adjusted <= a (statsmodels' multipletests).
std::vector<double> holm_adjusted(std::span<const double> p_values);                // family-wise error
std::vector<double> benjamini_hochberg_adjusted(std::span<const double> p_values);  // false discovery rate

}  // namespace stats
