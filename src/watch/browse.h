// What people look at in a monitor: features × windows as a matrix of drift, one feature's baseline beside a window,
// and the labels that came last. Read only; the numbers are those that the windows keep. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "watch/profile.h"
#include "watch/watch.h"
#include "watch/window.h"

namespace watch {

inline constexpr size_t kMaxMatrixWindows = 200;
inline constexpr size_t kMaxMatrixFeatures = 500;
inline constexpr size_t kMaxMatrixBytes = size_t{32} << 20;  // of the windows' numbers; past it fewer windows are shown

struct MatrixCell {
  double psi = 0, d = 0, p_holm = 1;
  bool tested = false, drifted = false, bad_quality = false;
};

struct MatrixFeature {
  std::string name;
  FeatureKind kind = FeatureKind::kOpaque;
  int64_t drifted = 0;    // in how many of the windows
  double newest_psi = 0;  // in the newest judged window
  double worst_psi = 0;
  std::vector<std::optional<MatrixCell>> cells;  // by window, in the order of DriftMatrix::windows; none: not judged
};

struct DriftMatrix {
  std::vector<Window> windows;          // oldest first
  std::vector<double> shares;           // by window: drifted share of the family; 0 where not judged
  std::vector<MatrixFeature> features;  // what drifts most in the newest windows first; predictions among them
  size_t feature_count = 0;             // before the cut to kMaxMatrixFeatures
};

// Of the given windows (newest first, as list_windows answers them).
base::Result<DriftMatrix> drift_matrix(store::Tx& tx, std::vector<Window> windows, size_t most_features);

// Windows that closed in [from_us, to_us], newest first.
std::vector<Window> windows_between(store::Tx& tx, std::string_view endpoint, int64_t from_us, int64_t to_us,
                                    size_t limit);

struct NewestLabel {
  std::string prediction;
  int64_t row = 0;
  std::string label;
  int64_t at_us = 0, received_us = 0;
};
// Received before `before_us` (0: now), newest first.
std::vector<NewestLabel> newest_labels(store::Tx& tx, std::string_view endpoint, int64_t before_us, size_t limit);

// The feature's own numbers inside a window's; null if it has none of that name.
const FeatureNumbers* find_feature(const WindowNumbers& numbers, std::string_view name);
const FeatureProfile* find_feature(const Profile& profile, std::string_view name);

}  // namespace watch
