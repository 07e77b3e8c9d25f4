// A Predictor before another one: everything is the other's, but what is overridden. Thread: as serve::Predictor.
#pragma once

#include <memory>
#include <utility>

#include "serve/model.h"

namespace serve {

class PredictorFilter : public Predictor {
 public:
  explicit PredictorFilter(std::shared_ptr<const Predictor> inner) : inner_(std::move(inner)) {}

  const Model& model() const override { return inner_->model(); }
  const stats::Transform& transform() const override { return inner_->transform(); }
  bool applies_transform() const override { return inner_->applies_transform(); }
  const std::vector<TensorInfo>& inputs() const override { return inner_->inputs(); }
  const std::vector<TensorInfo>& outputs() const override { return inner_->outputs(); }
  const std::vector<Feature>& features() const override { return inner_->features(); }
  bool features_named() const override { return inner_->features_named(); }
  std::optional<BatchStatistics> batch_statistics() const override { return inner_->batch_statistics(); }
  std::optional<CacheStatistics> cache_statistics() const override { return inner_->cache_statistics(); }
  base::Result<Prediction> predict(const stats::Table& raw) const override { return inner_->predict(raw); }
  base::Result<std::vector<Tensor>> tensors_of(const stats::Table& raw) const override {
    return inner_->tensors_of(raw);
  }
  void rows_of(std::span<const Tensor> given, RawRows& rows) const override { inner_->rows_of(given, rows); }
  Prediction read(std::span<const Tensor> given) const override { return inner_->read(given); }

 protected:
  const std::shared_ptr<const Predictor> inner_;
};

}  // namespace serve
