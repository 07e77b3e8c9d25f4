#include "stats/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "base/ids.h"

namespace stats {

Sample sample_of(std::span<const double> column) {
  std::vector<double> sorted;
  sorted.reserve(column.size());
  for (const double x : column) {
    if (std::isfinite(x)) sorted.push_back(x == 0 ? 0.0 : x);  // -0 is 0
  }
  std::ranges::sort(sorted);
  Sample sample{.rows = static_cast<int64_t>(sorted.size()),
                .dropped = static_cast<int64_t>(column.size() - sorted.size())};
  for (size_t i = 0; i < sorted.size();) {
    size_t end = i;
    while (end < sorted.size() && sorted[end] == sorted[i]) ++end;
    sample.values.push_back(sorted[i]);
    sample.counts.push_back(static_cast<int64_t>(end - i));
    i = end;
  }
  return sample;
}

Sample thinned(const Sample& sample, int64_t rows, uint64_t seed) {
  if (sample.rows <= rows) return sample;
  base::SeededRandom random(seed);
  Sample result{.rows = rows, .dropped = sample.dropped};
  // Selection sampling (Knuth 3.4.2 S): each row in turn is taken with probability wanted / left.
  int64_t wanted = rows, left = sample.rows;
  for (size_t i = 0; i < sample.values.size(); ++i) {
    int64_t taken = 0;
    for (int64_t row = 0; row < sample.counts[i]; ++row, --left) {
      if (static_cast<int64_t>(random.below(static_cast<uint64_t>(left))) < wanted) ++taken, --wanted;
    }
    if (taken == 0) continue;
    result.values.push_back(sample.values[i]);
    result.counts.push_back(taken);
  }
  return result;
}

size_t Bins::bin_of(double x) const { return static_cast<size_t>(std::ranges::upper_bound(edges, x) - edges.begin()); }

Bins freeze_bins(const Sample& reference, size_t most) {
  ASSERT_ALWAYS(reference.rows > 0 && most > 0);
  Bins bins;
  const auto& values = reference.values;
  const bool by_value = values.size() <= most;
  int64_t below = 0;
  size_t filled = 0;  // bins closed so far
  for (size_t i = 0; i + 1 < values.size(); ++i) {
    below += reference.counts[i];
    // The quantile bin is full once the values so far reach the next multiple of rows / most.
    const size_t full = static_cast<size_t>(below * static_cast<int64_t>(most) / reference.rows);
    if (!by_value && full <= filled) continue;
    filled = full;
    bins.edges.push_back(std::midpoint(values[i], values[i + 1]));
  }
  return bins;
}

std::vector<int64_t> count_into(const Bins& bins, const Sample& sample) {
  std::vector<int64_t> counts(bins.count());
  for (size_t i = 0; i < sample.values.size(); ++i) counts[bins.bin_of(sample.values[i])] += sample.counts[i];
  return counts;
}

}  // namespace stats
