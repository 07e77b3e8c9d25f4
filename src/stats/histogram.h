// A column's distribution, and bins whose edges are frozen from a reference so that later counts are comparable and can
// be added up. Plain values; thread: safe anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace stats {

// A sorted sample, equal values together: small for columns of few values (pixels, counts), and all that the two-sample
// tests need.
struct Sample {
  std::vector<double> values;   // ascending, distinct, finite
  std::vector<int64_t> counts;  // > 0
  int64_t rows = 0;             // sum of counts
  int64_t dropped = 0;          // NaN and infinities of the input
  bool constant() const { return values.size() == 1; }
};
Sample sample_of(std::span<const double> column);
// At most `rows` rows drawn without replacement, seeded; the whole sample if it is not larger.
Sample thinned(const Sample& sample, int64_t rows, uint64_t seed);

// Bin i holds edges[i-1] <= x < edges[i]; the outer bins are open, so that every number has a bin.
struct Bins {
  std::vector<double> edges;
  size_t count() const { return edges.size() + 1; }
  size_t bin_of(double x) const;
};
inline constexpr size_t kDefaultBins = 10;

// By value where the reference has at most `most` distinct values (edges half-way between them), else at its quantiles
// (fewer bins where one value holds the mass of several). Needs a sample that is not empty.
Bins freeze_bins(const Sample& reference, size_t most = kDefaultBins);
std::vector<int64_t> count_into(const Bins& bins, const Sample& sample);

}  // namespace stats
