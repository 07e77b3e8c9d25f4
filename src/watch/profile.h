// Profile: the frozen baseline of a revision, parsed. Format: docs/formats/baseline.md.
// Thread: immutable after parse or make; shared by pointer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/histogram.h"
#include "stats/table.h"
#include "watch/watch.h"

namespace watch {

enum class FeatureKind : uint8_t {
  kNumeric,   // Kolmogorov–Smirnov and PSI over frozen bins
  kCategory,  // chi-square and PSI over the categories
  kConstant,  // one value only: nothing to bin; counted apart
  kOpaque,    // never present, or more categories than kMaxCategories: quality only
};
std::string_view name(FeatureKind kind);

inline constexpr size_t kMaxCategories = 1000;
inline constexpr int64_t kBaselineSampleRows = 2000;  // rows kept for the two-sample test

struct FeatureProfile {
  std::string name;
  FeatureKind kind = FeatureKind::kOpaque;
  bool text = false;  // as it comes in requests
  int64_t rows = 0;   // present
  int64_t missing = 0;
  double low = 0, high = 0;             // numeric and numeric constant
  stats::Bins bins;                     // numeric
  stats::Sample sample;                 // numeric: for the two-sample test
  std::vector<std::string> categories;  // category, text constant; sorted
  std::vector<int64_t> counts;          // per bin or category, of all rows
};

struct Profile {
  int64_t rows = 0;
  std::vector<FeatureProfile> features;
  FeatureProfile predictions;  // named "prediction"; category, unless it is a regression
  LabelCounts truth;           // of the rows whose truth was known
  bool regression = false;     // the model answers numbers without end
};

base::Result<Profile> make_profile(const stats::Table& features, const std::vector<std::string>& predictions,
                                   const std::vector<std::string>& truth);
base::Result<Profile> parse_profile(std::string_view json);
std::string to_json(const Profile& profile);  // canonical: the same rows give the same bytes

}  // namespace watch
