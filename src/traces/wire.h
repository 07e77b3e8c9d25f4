// Reads protobuf's wire format field by field. A view over bytes; no recursion, no allocation. Thread: one reader's.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace traces {

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  // The next field; false at the end, or where the bytes make no sense (then failed() is true). Groups are refused.
  bool next() {
    if (rest_.empty() || failed_) return false;
    uint64_t tag = 0;
    if (!varint(tag) || tag > UINT32_MAX || (tag >> 3) == 0) return fail();
    field_ = static_cast<uint32_t>(tag >> 3);
    type_ = static_cast<uint32_t>(tag & 7);
    switch (type_) {
      case 0: return varint(number_) || fail();
      case 1: return fixed(8) || fail();
      case 2: {
        uint64_t length = 0;
        if (!varint(length) || length > rest_.size()) return fail();
        bytes_ = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return true;
      }
      case 5: return fixed(4) || fail();
      default: return fail();
    }
  }
  bool failed() const { return failed_; }

  uint32_t field() const { return field_; }
  bool is_varint() const { return type_ == 0; }
  bool is_fixed64() const { return type_ == 1; }
  bool is_bytes() const { return type_ == 2; }
  uint64_t number() const { return number_; }  // varint, fixed64 or fixed32
  double real() const { return std::bit_cast<double>(number_); }
  std::string_view bytes() const { return bytes_; }

 private:
  bool fail() {
    failed_ = true;
    return false;
  }
  bool varint(uint64_t& out) {
    out = 0;
    for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      if (i == 9 && byte > 1) return false;  // more than 64 bits
      out |= uint64_t{byte & 0x7Fu} << (7 * i);
      if (byte < 0x80) {
        rest_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }
  bool fixed(size_t size) {
    if (rest_.size() < size) return false;
    number_ = 0;
    std::memcpy(&number_, rest_.data(), size);  // little-endian, as every machine we run on
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_, bytes_;
  uint64_t number_ = 0;
  uint32_t field_ = 0, type_ = 0;
  bool failed_ = false;
};

}  // namespace traces
