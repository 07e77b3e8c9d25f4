// An Open Inference Protocol body, with and without binary tensors behind the JSON.
#include "api/inference/oip_request.h"
#include "fuzz.h"
#include "net/http.h"
#include "serve/tensor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  std::string body(input.rest());
  body.reserve(body.size() + net::Request::kBodyPadding);
  std::optional<size_t> json_bytes;
  if (how & 1) {  // where the JSON ends: at a '}' before the rest, or anywhere
    json_bytes = how & 2 ? body.find("}]}") + 3 : (size_t{how} << 1);
  }
  const auto request = api::inference::parse_oip(body, json_bytes);
  if (!request) {
    REQUIRE(!request.error().message.empty());
    return 0;
  }
  for (const serve::Tensor& tensor : request->inputs) {
    const auto count = serve::element_count(tensor.name, tensor.shape);
    REQUIRE(count);
    if (tensor.type == serve::DataType::kBytes) {
      REQUIRE(tensor.strings.size() == *count);
    } else {
      REQUIRE(tensor.bytes.size() == *count * serve::byte_size(tensor.type));
    }
    for (size_t i = 0; i < std::min<size_t>(*count, 8); ++i) {
      (void)serve::number_at(tensor, i);
      (void)serve::text_at(tensor, i);
    }
  }
  return 0;
}
