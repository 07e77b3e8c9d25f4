#include "stats/drift.h"

#include <algorithm>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/assert.h"
#include "stats/kolmogorov.h"

namespace stats {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Calls f(value, reference rows so far, current rows so far) for each distinct value of either sample, ascending; rows
// equal to the value are included (right-side empirical distribution functions).
template <class F>
void merge(const Sample& reference, const Sample& current, F f) {
  size_t i = 0, j = 0;
  int64_t below_reference = 0, below_current = 0;
  while (i < reference.values.size() || j < current.values.size()) {
    const bool first =
        j == current.values.size() || (i < reference.values.size() && reference.values[i] <= current.values[j]);
    const double value = first ? reference.values[i] : current.values[j];
    if (i < reference.values.size() && reference.values[i] == value) below_reference += reference.counts[i++];
    if (j < current.values.size() && current.values[j] == value) below_current += current.counts[j++];
    f(value, below_reference, below_current);
  }
}

// A random order of n reference and m current rows is a lattice path; p is the chance that it somewhere has
// |i·m - j·n| >= gap. Walked by anti-diagonals t = i + j: `alive[i]` is the chance to be at (i, t - i) without having
// touched, and what steps onto the boundary is added to p. Every term is positive, so p keeps its relative precision.
double exact_two_sample(int64_t n, int64_t m, int64_t gap) {
  const int64_t rows = n + m;
  // |i·(n + m) - t·n| < gap  <=>  first(t) <= i <= last(t)
  const auto first = [&](int64_t t) {
    const int64_t bound = t * n - gap;  // i·rows > bound
    return std::max<int64_t>({0, t - m, bound < 0 ? 0 : bound / rows + 1});
  };
  const auto last = [&](int64_t t) { return std::min<int64_t>({n, t, (t * n + gap - 1) / rows}); };

  // Index i + 1, with a zero on either side of the band, so that the inner loop has no branch.
  std::vector<double> alive(static_cast<size_t>(n) + 4), next(static_cast<size_t>(n) + 4);
  double touched = 0;
  alive[1] = 1;
  int64_t low = 0, high = 0;
  for (int64_t t = 0; t < rows && low <= high; ++t) {
    const double left = static_cast<double>(rows - t);
    const int64_t new_low = std::max(low, first(t + 1)), new_high = std::min(high + 1, last(t + 1));
    const double* here = alive.data() + 1;
    double* there = next.data() + 1;
    // What arrives at (i, t + 1 - i): by a current row from (i, t - i), by a reference row from (i - 1, t + 1 - i).
    double by_current = static_cast<double>(m - t + low), by_reference = static_cast<double>(n - low + 1);
    for (int64_t i = low; i <= high + 1; ++i, by_current += 1, by_reference -= 1) {
      there[i] = (here[i] * by_current + here[i - 1] * by_reference) / left;
    }
    for (int64_t i = low; i < new_low; ++i) touched += std::exchange(there[i], 0.0);
    for (int64_t i = std::max(low, new_high + 1); i <= high + 1; ++i) touched += std::exchange(there[i], 0.0);
    there[new_low - 1] = there[new_high + 1] = 0;
    std::swap(alive, next);
    low = new_low, high = new_high;
  }
  return std::min(touched, 1.0);
}

// Shares per bin of both sides, as Evidently's get_binned_data makes them.
struct Shares {
  std::vector<double> reference, current;
};
constexpr size_t kBinnedAbove = 20;

std::vector<double> sturges_edges(const Sample& a, const Sample& b, bool integers) {
  double low = std::min(a.values.front(), b.values.front()), high = std::max(a.values.back(), b.values.back());
  double width = (high - low) / (std::log2(static_cast<double>(a.rows + b.rows)) + 1);
  if (integers) width = std::max(width, 1.0);
  const size_t bins = low == high ? 1 : static_cast<size_t>(std::ceil((high - low) / width));
  if (low == high) low -= 0.5, high += 0.5;
  std::vector<double> edges(bins + 1);
  const double step = (high - low) / static_cast<double>(bins);
  for (size_t i = 0; i < bins; ++i) edges[i] = low + static_cast<double>(i) * step;
  edges[bins] = high;
  return edges;
}

std::vector<double> shares_in(const std::vector<double>& edges, const Sample& sample) {
  std::vector<double> shares(edges.size() - 1);
  for (size_t i = 0; i < sample.values.size(); ++i) {
    const auto above = std::ranges::upper_bound(edges, sample.values[i]) - edges.begin();
    const size_t bin = std::min(static_cast<size_t>(above) - 1, shares.size() - 1);  // the last bin is closed
    shares[bin] += static_cast<double>(sample.counts[i]) / static_cast<double>(sample.rows);
  }
  return shares;
}

Shares evidently_shares(const Sample& reference, const Sample& current, bool integers) {
  if (reference.values.size() > kBinnedAbove) {
    const auto edges = sturges_edges(reference, current, integers);
    return {shares_in(edges, reference), shares_in(edges, current)};
  }
  Shares shares;
  int64_t last_reference = 0, last_current = 0;
  merge(reference, current, [&](double, int64_t upto_reference, int64_t upto_current) {
    shares.reference.push_back(static_cast<double>(upto_reference - last_reference) /
                               static_cast<double>(reference.rows));
    shares.current.push_back(static_cast<double>(upto_current - last_current) / static_cast<double>(current.rows));
    last_reference = upto_reference, last_current = upto_current;
  });
  return shares;
}

void fill_zeros(std::vector<double>& shares) {
  double least = std::numeric_limits<double>::infinity();
  for (const double share : shares) {
    if (share > 0) least = std::min(least, share);
  }
  const double fill = least <= 1e-4 ? least / 1e6 : 1e-4;
  std::ranges::replace(shares, 0.0, fill);
}

double psi_of(std::span<const double> reference, std::span<const double> current) {
  double sum = 0;
  for (size_t i = 0; i < reference.size(); ++i)
    sum += (reference[i] - current[i]) * std::log(reference[i] / current[i]);
  return sum;
}

}  // namespace

int64_t ks_gap(const Sample& reference, const Sample& current) {
  int64_t gap = 0;
  merge(reference, current,
        [&](double, int64_t i, int64_t j) { gap = std::max(gap, std::abs(i * current.rows - j * reference.rows)); });
  return gap;
}

KsResult ks_two_sample(const Sample& reference, const Sample& current) {
  KsResult result{.reference_rows = reference.rows, .current_rows = current.rows};
  if (reference.rows == 0 || current.rows == 0) return result;
  result.gap = ks_gap(reference, current);
  result.d = static_cast<double>(result.gap) / static_cast<double>(reference.rows) / static_cast<double>(current.rows);
  result.p = ks_p_value(reference.rows, current.rows, result.gap);
  return result;
}

double ks_p_value(int64_t reference_rows, int64_t current_rows, int64_t gap) {
  ASSERT_ALWAYS(reference_rows >= 0 && current_rows >= 0 && gap >= 0);
  if (reference_rows == 0 || current_rows == 0 || gap == 0) return 1;
  if (std::max(reference_rows, current_rows) <= kMaxExactKsRows) {
    // The chance is symmetric; the shorter side as n keeps the walked band narrow.
    return exact_two_sample(std::min(reference_rows, current_rows), std::max(reference_rows, current_rows), gap);
  }
  const double n = static_cast<double>(reference_rows), m = static_cast<double>(current_rows);
  const double d = static_cast<double>(gap) / n / m;
  return kolmogorov_sf(static_cast<int64_t>(std::nearbyint(n * m / (n + m))), d);
}

double lathe_psi(std::span<const int64_t> reference, std::span<const int64_t> current) {
  ASSERT_ALWAYS(reference.size() == current.size());
  const auto shares = [&](std::span<const int64_t> counts, int64_t rows) {
    std::vector<double> out;
    const double bins = static_cast<double>(counts.size());
    for (const int64_t count : counts) {
      out.push_back((static_cast<double>(count) + 0.5) / (static_cast<double>(rows) + bins / 2));
    }
    return out;
  };
  const int64_t n = std::reduce(reference.begin(), reference.end()), m = std::reduce(current.begin(), current.end());
  if (n == 0 || m == 0) return 0;
  return psi_of(shares(reference, n), shares(current, m));
}

double evidently_psi(const Sample& reference, const Sample& current, bool integers) {
  if (reference.rows == 0 || current.rows == 0) return kNan;
  Shares shares = evidently_shares(reference, current, integers);
  fill_zeros(shares.reference);
  fill_zeros(shares.current);
  return psi_of(shares.reference, shares.current);
}

double evidently_jensenshannon(const Sample& reference, const Sample& current, bool integers) {
  if (reference.rows == 0 || current.rows == 0) return kNan;
  const Shares shares = evidently_shares(reference, current, integers);
  double sum = 0;
  for (size_t i = 0; i < shares.reference.size(); ++i) {
    const double a = shares.reference[i], b = shares.current[i], middle = (a + b) / 2;
    if (a > 0) sum += a * std::log(a / middle);
    if (b > 0) sum += b * std::log(b / middle);
  }
  return std::sqrt(std::max(0.0, sum / 2));
}

double wasserstein(const Sample& reference, const Sample& current) {
  if (reference.rows == 0 || current.rows == 0) return kNan;
  const double n = static_cast<double>(reference.rows), m = static_cast<double>(current.rows);
  double sum = 0, previous = 0, difference = 0;
  merge(reference, current, [&](double value, int64_t i, int64_t j) {
    if (difference > 0) sum += difference * (value - previous);
    previous = value;
    difference = std::abs(static_cast<double>(i) / n - static_cast<double>(j) / m);
  });
  return sum;
}

double evidently_wasserstein(const Sample& reference, const Sample& current) {
  if (reference.rows == 0 || current.rows == 0) return kNan;
  const double n = static_cast<double>(reference.rows);
  double mean = 0, squares = 0;
  for (size_t i = 0; i < reference.values.size(); ++i)
    mean += reference.values[i] * static_cast<double>(reference.counts[i]);
  mean /= n;
  for (size_t i = 0; i < reference.values.size(); ++i) {
    squares += (reference.values[i] - mean) * (reference.values[i] - mean) * static_cast<double>(reference.counts[i]);
  }
  return wasserstein(reference, current) / std::max(std::sqrt(squares / n), 0.001);
}

ChiSquare chi2_homogeneity(std::span<const int64_t> reference, std::span<const int64_t> current) {
  ASSERT_ALWAYS(reference.size() == current.size());
  ChiSquare result;
  const double n = static_cast<double>(std::reduce(reference.begin(), reference.end()));
  const double m = static_cast<double>(std::reduce(current.begin(), current.end()));
  if (n == 0 || m == 0) return result;
  int64_t categories = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double a = static_cast<double>(reference[i]), b = static_cast<double>(current[i]);
    if (a + b == 0) continue;
    ++categories;
    const double miss = a - (a + b) * n / (n + m), one = 1 / ((a + b) * n / (n + m)),
                 other = 1 / ((a + b) * m / (n + m));
    result.statistic += miss * miss * (one + other);
  }
  if (categories < 2) return {};
  result.degrees = categories - 1;
  result.p = boost::math::gamma_q(static_cast<double>(result.degrees) / 2, result.statistic / 2);
  return result;
}

double evidently_chisquare(std::span<const int64_t> reference, std::span<const int64_t> current) {
  ASSERT_ALWAYS(reference.size() == current.size());
  const double n = static_cast<double>(std::reduce(reference.begin(), reference.end()));
  const double m = static_cast<double>(std::reduce(current.begin(), current.end()));
  double statistic = 0;
  int64_t categories = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    if (reference[i] == 0 && current[i] == 0) continue;
    if (reference[i] == 0) return 0;
    ++categories;
    const double expected = static_cast<double>(reference[i]) * m / n;
    const double miss = static_cast<double>(current[i]) - expected;
    statistic += miss * miss / expected;
  }
  if (categories < 2 || m == 0) return kNan;
  return boost::math::gamma_q(static_cast<double>(categories - 1) / 2, statistic / 2);
}

double hypergeometric_at_least(int64_t marked_drawn, int64_t population, int64_t marked, int64_t drawn) {
  ASSERT_ALWAYS(population >= marked && marked >= 0 && population >= drawn && drawn >= 0);
  const int64_t least = std::max<int64_t>(0, drawn + marked - population), most = std::min(marked, drawn);
  if (marked_drawn <= least) return 1;
  if (marked_drawn > most) return 0;
  const auto log_choose = [](int64_t n, int64_t k) {
    using boost::math::lgamma;
    return lgamma(static_cast<double>(n + 1)) - lgamma(static_cast<double>(k + 1)) -
           lgamma(static_cast<double>(n - k + 1));
  };
  double term = std::exp(log_choose(marked, marked_drawn) + log_choose(population - marked, drawn - marked_drawn) -
                         log_choose(population, drawn));
  double sum = 0;
  for (int64_t k = marked_drawn; k <= most; ++k) {
    sum += term;
    term *= static_cast<double>(marked - k) / static_cast<double>(k + 1) * static_cast<double>(drawn - k) /
            static_cast<double>(population - marked - drawn + k + 1);
  }
  return std::min(sum, 1.0);
}

std::vector<double> holm_adjusted(std::span<const double> p_values) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return p_values[i]; });
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    largest = std::max(largest, p_values[order[rank]] * static_cast<double>(order.size() - rank));
    adjusted[order[rank]] = std::min(largest, 1.0);
  }
  return adjusted;
}

std::vector<double> benjamini_hochberg_adjusted(std::span<const double> p_values) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return p_values[i]; });
  std::vector<double> adjusted(p_values.size());
  double least = 1;
  for (size_t rank = order.size(); rank-- > 0;) {
    least = std::min(least, p_values[order[rank]] * static_cast<double>(order.size()) / static_cast<double>(rank + 1));
    adjusted[order[rank]] = least;
  }
  return adjusted;
}

}  // namespace stats
