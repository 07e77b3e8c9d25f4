// A gRPC body: prefix, compression, and the ModelInferRequest inside.
#include "api/inference/grpc.h"

#include <google/protobuf/stubs/logging.h>

#include "api/inference/grpc_tensors.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace api::inference;
  [[maybe_unused]] static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  fuzz::Input input(data, size);
  const auto coding = static_cast<Coding>(input.byte() % 3);
  std::string unpacked;
  const auto message = only_message(input.rest(), coding, unpacked);
  if (!message) {
    REQUIRE(!message.error().message.empty());
    return 0;
  }
  REQUIRE(message->size() <= kMessageBytes);
  ::inference::ModelInferRequest request;
  if (!request.ParseFromArray(message->data(), static_cast<int>(message->size()))) return 0;
  const auto read = read_infer_request(request);
  if (!read) {
    REQUIRE(!read.error().message.empty());
    return 0;
  }
  for (const serve::Tensor& tensor : read->inputs) {
    const auto count = serve::element_count(tensor.name, tensor.shape);
    REQUIRE(count);
    if (tensor.type == serve::DataType::kBytes) {
      REQUIRE(tensor.strings.size() == *count);
    } else {
      REQUIRE(tensor.bytes.size() == *count * serve::byte_size(tensor.type));
    }
  }
  return 0;
}
