// Addresses and ranges of them, as people write them: "10.1.2.3", "10.0.0.0/8", "2001:db8::/32". Thread: values.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace net {

class AddressRange {
 public:
  static base::Result<AddressRange> parse(std::string_view text);
  bool contains(std::string_view address) const;  // "10.1.2.3", "::1"; with or without a port ("[::1]:80")

 private:
  std::array<uint8_t, 16> bytes_{};  // IPv4 as ::ffff:a.b.c.d
  int bits_ = 128;
};

// "10.0.0.0/8, 127.0.0.1"
base::Result<std::vector<AddressRange>> parse_ranges(std::string_view list);
bool contains(std::span<const AddressRange> ranges, std::string_view address);

// Whether only this machine reaches what listens on the address.
bool is_loopback(std::string_view address);

}  // namespace net
