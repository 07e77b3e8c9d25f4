// Frames between server, warden and minders: u32 big-endian length of what follows, one byte of type, then fields, each
// u32 big-endian length + bytes. See docs/formats/warden.md. Thread: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flow {

inline constexpr size_t kMaxFrameBytes = size_t{2} << 20;  // a command and its environment; past it the peer is cut off
inline constexpr size_t kMaxFrameFields = 4096;

enum class FrameType : uint8_t {
  kHello = 1,    // warden → server: protocol version, pid
  kStart = 2,    // server → warden: a StartRequest (warden.h)
  kQuery = 3,    // server → warden: attempt
  kKill = 4,     // server → warden: attempt, outcome, detail
  kStop = 5,     // server → warden: end everything, then yourself
  kStarted = 6,  // warden → server: attempt (it runs)
  kEnded = 7,    // warden → server: attempt, status text
  kUnknown = 8,  // warden → server: attempt (never heard of it)
};

struct Frame {
  FrameType type{};
  std::vector<std::string> fields;

  // A field by position; "" where the peer sent fewer.
  const std::string& field(size_t i) const;
};

std::string encode(const Frame& frame);

class FrameReader {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame; nullopt: feed more. An error is final: the stream is out of step.
  base::Result<std::optional<Frame>> next();

 private:
  std::string buffer_;
  size_t used_ = 0;
};

}  // namespace flow
