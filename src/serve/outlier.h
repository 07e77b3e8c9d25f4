// What the rows on which a model was judged looked like, feature by feature: how far a request's rows lie outside of
// it, and rows to stand in for "not knowing a feature" in explanations.
//
// Thread: immutable; shared by pointer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/model.h"
#include "stats/table.h"

namespace serve {

struct TrainingFeature {
  std::string name;
  bool text = false;
  double missing = 0;                   // share of rows
  std::vector<double> sample;           // numeric: sorted values
  std::vector<std::string> categories;  // of text, or of numbers that are categories …
  std::vector<double> shares;           // … and how many rows have each
};

struct TrainingProfile {
  int64_t rows = 0;
  std::vector<TrainingFeature> features;
};

// Where a revision's profile comes from: null if it has none. Blocks.
struct LiveEndpoint;
using ProfileSource = std::function<base::Result<std::shared_ptr<const TrainingProfile>>(const LiveEndpoint&)>;

// How surprising the rows' most surprising value is, in standard deviations of a normal feature: the distance from the
// median in units of the middle 80 %'s spread, or what a category, a missing value or another value than the only one,
// as rare as this one, would be. nullopt: no feature is known to the profile.
struct Outlier {
  double score = 0;
  std::string feature;
};
std::optional<Outlier> outlier_score(const TrainingProfile& profile, const std::vector<Feature>& features,
                                     const RawRows& rows);

// `count` rows with every feature drawn by itself; the same for the same seed. Empty if the profile does not know all
// features.
stats::Table background_rows(const TrainingProfile& profile, const std::vector<Feature>& features, size_t count,
                             uint64_t seed);

}  // namespace serve
