// TreeSHAP (Lundberg et al., path-dependent): what each feature adds to a row's sums, exactly, by the training rows
// that went each way at each split. The same numbers as xgboost's pred_contribs and lightgbm's pred_contrib.
//
// Thread: free functions, safe anywhere. Cost: leaves × depth² of every tree a row.
#pragma once

#include "base/result.h"
#include "serve/ensemble.h"
#include "serve/explain.h"

namespace serve {

inline constexpr size_t kMaxShapDepth = 256;  // a path costs its square, and recursion

// Does the file say how many rows went where, and are the trees shallow enough?
bool explainable(const Ensemble& ensemble);
base::Result<Contributions> tree_shap(const Ensemble& ensemble, const float* rows, size_t count);
base::Result<Contributions> tree_shap(const Ensemble& ensemble, const double* rows, size_t count);

}  // namespace serve
