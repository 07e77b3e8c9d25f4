// Explanations of single rows: what each feature adds to each class' or target's score. Of any predictor, by asking it
// about changed copies of the row; trees have exact values of their own (tree_shap.h). Every bound on the work is here.
//
// Thread: free functions; they run the model many times, so never on an event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "stats/table.h"

namespace serve {

class Predictor;

// row-major: rows × groups × (features + 1); the last of each is what the model gives without knowing any feature. But
// for occlusion, all of them add up to the row's score: of trees the sum of their leaves (a classifier's log-odds).
struct Contributions {
  size_t rows = 0;
  size_t groups = 0;
  size_t features = 0;
  std::vector<double> values;
};

inline constexpr size_t kMaxExplainRows = 64;
inline constexpr size_t kMaxExplainFeatures = 1000;  // of a tree's explanation: as many as the model has
inline constexpr size_t kMaxBackgroundRows = 128;
inline constexpr size_t kMaxCoalitions = 16'384;
inline constexpr size_t kExactFeatures = 12;           // up to here every subset is asked: the values are exact
inline constexpr size_t kMaxExplainCalls = 4'000'000;  // rows that the model is asked for in one explanation

struct ExplainOptions {
  size_t coalitions = 0;  // subsets of features asked for each row; 0: 2 × features + 2048, as the shap package
  uint64_t seed = 0;
  int64_t deadline_mono_us = 0;  // 0: none; kDeadline past it
};

// Kernel SHAP: a feature that is left out takes its value from the background rows. Answers the same twice.
base::Result<Contributions> kernel_shap(const Predictor& predictor, const stats::Table& rows,
                                        const stats::Table& background, const ExplainOptions& options);
// How much the score falls when one feature is taken from the background rows: fast, but it does not add up.
base::Result<Contributions> occlusion(const Predictor& predictor, const stats::Table& rows,
                                      const stats::Table& background, const ExplainOptions& options);

}  // namespace serve
