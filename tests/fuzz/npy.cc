// NumPy's .npy files, as SageMaker's clients send them; and what is written is read back as the same.
#include "api/inference/npy.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace api::inference;
  fuzz::Input input(data, size);
  const auto type = static_cast<serve::DataType>(input.byte() % 14);
  const serve::TensorInfo info{.name = "x", .type = type, .shape = {-1, 3}};
  const auto tensor = parse_npy(input.rest(), info);
  if (!tensor) {
    REQUIRE(!tensor.error().message.empty());
    return 0;
  }
  const auto count = serve::element_count("x", tensor->shape);
  REQUIRE(count);
  REQUIRE(tensor->type == type && tensor->bytes.size() == *count * serve::byte_size(type));
  std::string out;
  if (!append_npy(out, *tensor)) return 0;
  const auto again = parse_npy(out, info);
  REQUIRE(again);
  REQUIRE(again->shape == tensor->shape && again->bytes == tensor->bytes);
  return 0;
}
