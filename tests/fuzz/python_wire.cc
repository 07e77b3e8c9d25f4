// What a Python worker sends: other people's code may have written it.
#include "serve/python_wire.h"

#include <cstdint>
#include <string_view>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace serve::python;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.size() < kHeadBytes) return 0;
  const auto head = decode_head(bytes.substr(0, kHeadBytes));
  if (!head) return 0;
  const auto frame = decode_body(*head, bytes.substr(kHeadBytes));
  if (!frame) return 0;
  // What was understood is written as it was read, but for padding.
  const std::string again = encode(frame->kind, frame->text, frame->tensors);
  const auto second = decode_head(again);
  REQUIRE(second && decode_body(*second, std::string_view(again).substr(kHeadBytes)));
  return 0;
}
