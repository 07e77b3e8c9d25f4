// TensorFlow Serving's PredictRequest: each input as a tensor, and written again.
#include <google/protobuf/stubs/logging.h>

#include "api/inference/tensor_proto.h"
#include "fuzz.h"
#include "tensorflow_serving.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace api::inference;
  [[maybe_unused]] static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  tensorflow::serving::PredictRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  for (auto& [name, message] : *request.mutable_inputs()) {
    const auto tensor = read_tensor_proto(name, message);
    if (!tensor) {
      REQUIRE(!tensor.error().message.empty());
      continue;
    }
    const auto count = serve::element_count(name, tensor->shape);
    REQUIRE(count);
    REQUIRE(tensor->type == serve::DataType::kBytes ? tensor->strings.size() == *count
                                                    : tensor->bytes.size() == *count * serve::byte_size(tensor->type));
    if (*count == 0 || tensor->bytes.size() > 1 << 20) continue;
    tensorflow::TensorProto again;
    write_tensor_proto(*tensor, again);
    const auto same = read_tensor_proto(name, again);
    REQUIRE(same && same->bytes == tensor->bytes && same->strings == tensor->strings);
  }
  return 0;
}
