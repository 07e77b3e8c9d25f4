// serve::Model over boosted trees of XGBoost and LightGBM, walked by Lathe itself: no library is needed, and the
// answers equal the library's own to the last bit (tests/api/test_trees.py). One input of all features, NaN where one
// is missing (FP32 for XGBoost, FP64 for LightGBM). A classifier answers `label` and `probabilities`, everything else
// `prediction`.
//
// Thread: as Model says.
#pragma once

#include <memory>

#include "base/result.h"
#include "serve/mlmodel.h"
#include "serve/model.h"

namespace serve {

base::Result<std::unique_ptr<Model>> load_xgboost_model(const ModelFolder& folder);
base::Result<std::unique_ptr<Model>> load_lightgbm_model(const ModelFolder& folder);

}  // namespace serve
