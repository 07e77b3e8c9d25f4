// serve::Model over ONNX Runtime's C API: one thread a run (the loop's own), sessions shared, no thread pools.
// Outputs that are sequences of maps (skl2onnx's ZipMap) are answered as one tensor of scores, columns in class order.
#pragma once

#include <memory>

#include "base/fs.h"
#include "base/result.h"
#include "serve/model.h"

namespace serve {

base::Result<std::unique_ptr<Model>> load_onnx_model(const base::Path& file);

}  // namespace serve
