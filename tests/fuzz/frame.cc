// Frames between server, warden and minders, in pieces.
#include "flow/frame.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const size_t piece = 1 + input.byte() % 32;
  flow::FrameReader reader;
  while (!input.empty()) {
    reader.feed(input.take(piece));
    for (;;) {
      const auto frame = reader.next();
      if (!frame) return 0;
      if (!*frame) break;
      REQUIRE((*frame)->fields.size() <= flow::kMaxFrameFields);
      flow::FrameReader second;
      second.feed(flow::encode(**frame));
      const auto again = second.next();
      REQUIRE(again && *again && (*again)->fields == (*frame)->fields && (*again)->type == (*frame)->type);
    }
  }
  return 0;
}
