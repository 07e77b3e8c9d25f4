#include "flow/frame.h"

namespace flow {
namespace {

void append_u32(std::string& out, size_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(n >> shift));
}

uint32_t read_u32(std::string_view bytes) {
  uint32_t n = 0;
  for (size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<uint8_t>(bytes[i]);
  return n;
}

}  // namespace

const std::string& Frame::field(size_t i) const {
  static const std::string empty;
  return i < fields.size() ? fields[i] : empty;
}

std::string encode(const Frame& frame) {
  std::string out(4, '\0');
  out.push_back(static_cast<char>(frame.type));
  for (const std::string& field : frame.fields) {
    append_u32(out, field.size());
    out += field;
  }
  std::string length;
  append_u32(length, out.size() - 4);
  out.replace(0, 4, length);
  return out;
}

base::Result<std::optional<Frame>> FrameReader::next() {
  std::string_view rest = std::string_view(buffer_).substr(used_);
  if (rest.size() < 4) return std::nullopt;
  const size_t length = read_u32(rest);
  if (length < 1 || length > kMaxFrameBytes) return base::invalid("a frame of " + std::to_string(length) + " bytes");
  if (rest.size() < 4 + length) return std::nullopt;
  std::string_view body = rest.substr(4, length);
  Frame frame{.type = static_cast<FrameType>(body[0]), .fields = {}};
  body.remove_prefix(1);
  while (!body.empty()) {
    if (body.size() < 4 || frame.fields.size() == kMaxFrameFields) return base::invalid("a frame's fields do not fit");
    const size_t size = read_u32(body);
    body.remove_prefix(4);
    if (size > body.size()) return base::invalid("a frame's field is longer than the frame");
    frame.fields.emplace_back(body.substr(0, size));
    body.remove_prefix(size);
  }
  used_ += 4 + length;
  if (used_ == buffer_.size()) {
    buffer_.clear(), used_ = 0;
  } else if (used_ > kMaxFrameBytes) {
    buffer_.erase(0, used_), used_ = 0;
  }
  return frame;
}

}  // namespace flow
