// TensorFlow's TensorProto ↔ tensors. Thread: free functions; errors name the input.
#pragma once

#include <string>

#include "base/result.h"
#include "serve/tensor.h"
#include "tensorflow_tensor.pb.h"

namespace api::inference {

// tensor_content (raw, little-endian), or the field of values of the type: one each, or one for all, or fewer, of which
// the last stands for those that are not there. Takes strings and content out of the message.
base::Result<serve::Tensor> read_tensor_proto(const std::string& name, tensorflow::TensorProto& message);
void write_tensor_proto(serve::Tensor tensor, tensorflow::TensorProto& message);
void write_tensor_info(const serve::TensorInfo& info, tensorflow::TensorInfo& message);

}  // namespace api::inference
