// NumPy's .npy files (versions 1 and 2) as tensors, as SageMaker's application/x-npy carries them. Numbers and BOOL,
// little-endian and row-major, which is what numpy.save writes. Thread: free functions; errors say what was found.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "serve/tensor.h"

namespace api::inference {

// As a tensor of `info`'s name and type: elements of another type are converted, and refused where they do not fit.
base::Result<serve::Tensor> parse_npy(std::string_view bytes, const serve::TensorInfo& info);
// kInvalid for text and for BF16, which .npy cannot say.
base::Result<void> append_npy(std::string& out, const serve::Tensor& tensor);

}  // namespace api::inference
