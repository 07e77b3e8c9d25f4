// Model files of XGBoost (JSON, UBJSON) and LightGBM (text): what is read may be walked and explained.
#include <cmath>

#include "fuzz.h"
#include "serve/forest.h"
#include "serve/tree_file.h"
#include "serve/tree_shap.h"

namespace {

template <class Walker, class Real>
void walk(const serve::Ensemble& ensemble) {
  std::vector<Real> row(ensemble.features), sums(ensemble.groups);
  for (size_t i = 0; i < row.size(); ++i) row[i] = i % 3 == 0 ? static_cast<Real>(NAN) : static_cast<Real>(i % 7) - 2;
  Walker(ensemble).walk(row.data(), sums.data());
  size_t nodes = 0;
  for (const serve::Tree& tree : ensemble.trees) nodes += tree.nodes.size();
  if (nodes > 200 || row.size() > 1000 || !serve::explainable(ensemble)) return;
  const auto explained = serve::tree_shap(ensemble, row.data(), 1);
  REQUIRE(explained && explained->values.size() == ensemble.groups * (ensemble.features + 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const auto ensemble = how & 1 ? serve::read_lightgbm(input.rest()) : serve::read_xgboost(input.rest(), how & 2);
  if (!ensemble) {
    REQUIRE(!ensemble.error().message.empty());
    return 0;
  }
  REQUIRE(serve::check(*ensemble));
  if (ensemble->xgboost) {
    walk<serve::XgboostForest, float>(*ensemble);
  } else {
    walk<serve::LightgbmForest, double>(*ensemble);
  }
  return 0;
}
