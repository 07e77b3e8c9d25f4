// Frames between the server and a Python worker (docs/formats/python-worker.md): tensors and one piece of JSON, little
// endian, data aligned to eight bytes. The worker runs other people's code: what it sends is checked like a client's.
// Thread: pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/tensor.h"

namespace serve::python {

inline constexpr size_t kHeadBytes = 16;
inline constexpr size_t kMaxFrame = size_t{256} << 20;  // past it: an answer is refused
inline constexpr size_t kMaxTensors = 10'000;           // of one frame

enum class Kind : uint16_t { kPredict = 1, kAnswer = 2, kRefused = 3, kFailed = 4, kHello = 5 };

struct Head {
  uint64_t bytes = 0;  // behind the head
  Kind kind = Kind::kPredict;
  uint16_t tensors = 0;
  uint32_t text_bytes = 0;
};

struct Frame {
  Kind kind = Kind::kPredict;
  std::string text;
  std::vector<Tensor> tensors;
};

std::string encode(Kind kind, std::string_view text, std::span<const Tensor> tensors);
base::Result<Head> decode_head(std::string_view bytes);  // kHeadBytes of them
base::Result<Frame> decode_body(const Head& head, std::string_view body);

}  // namespace serve::python
