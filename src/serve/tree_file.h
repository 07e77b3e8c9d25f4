// The model files of XGBoost (JSON and UBJSON of 1.0 to 3.x: gbtree, dart, gblinear) and LightGBM (text of 2.x to 4.x)
// as an ensemble. Bytes come from outside: whatever they hold, the answer is a checked ensemble or an error that says
// what is wrong or not supported.
//
// Thread: free functions, safe anywhere.
#pragma once

#include <string_view>

#include "base/result.h"
#include "serve/ensemble.h"

namespace serve {

// `all_rounds`: also those behind the best iteration of early stopping, as xgboost.Booster predicts; its scikit-learn
// wrappers stop there.
base::Result<Ensemble> read_xgboost(std::string_view bytes, bool all_rounds);
// Did a scikit-learn wrapper of XGBoost write this file?
base::Result<Ensemble> read_lightgbm(std::string_view bytes);

}  // namespace serve
