// The distribution of Kolmogorov's two-sided one-sample statistic. Internal to stats/drift.
#pragma once

#include <cstdint>

namespace stats {

// P(D_n >= x), after Simard and L'Ecuyer, "Computing the two-sided Kolmogorov-Smirnov distribution" (2011): exact forms
// where they are cheap, twice the one-sided tail where it is accurate, and the Pelz-Good series in between.
double kolmogorov_sf(int64_t n, double x);

}  // namespace stats
