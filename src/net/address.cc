#include "net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "net/text.h"

namespace net {
namespace {

using Bytes = std::array<uint8_t, 16>;

std::optional<Bytes> parse_address(std::string_view text, int* bits) {
  const std::string whole(text);
  Bytes bytes{};
  if (inet_pton(AF_INET6, whole.c_str(), bytes.data()) == 1) {
    *bits = 128;
    return bytes;
  }
  bytes[10] = bytes[11] = 0xff;
  if (inet_pton(AF_INET, whole.c_str(), bytes.data() + 12) != 1) return std::nullopt;
  *bits = 32;
  return bytes;
}

std::string_view without_port(std::string_view address) {
  if (address.starts_with('[')) return address.substr(1, address.find(']') - 1);
  const size_t colon = address.find(':');
  return colon != address.npos && address.find(':', colon + 1) == address.npos ? address.substr(0, colon) : address;
}

}  // namespace

base::Result<AddressRange> AddressRange::parse(std::string_view text) {
  const size_t slash = text.find('/');
  AddressRange range;
  int width = 0;
  const auto bytes = parse_address(text.substr(0, slash), &width);
  int prefix = width;
  if (bytes && slash != text.npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), prefix);
    if (ec != std::errc() || end != number.data() + number.size() || prefix < 0 || prefix > width) prefix = -1;
  }
  if (!bytes || prefix < 0) {
    return base::invalid("'" + std::string(text) +
                         "' is not an address or a range of them, such as 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32");
  }
  range.bytes_ = *bytes;
  range.bits_ = 128 - width + prefix;
  return range;
}

bool AddressRange::contains(std::string_view address) const {
  int width = 0;
  const auto other = parse_address(without_port(address), &width);
  if (!other) return false;
  const auto whole = static_cast<size_t>(bits_ / 8);
  if (std::memcmp(bytes_.data(), other->data(), whole) != 0) return false;
  const int left = bits_ % 8;
  return left == 0 || (bytes_[whole] >> (8 - left)) == ((*other)[whole] >> (8 - left));
}

base::Result<std::vector<AddressRange>> parse_ranges(std::string_view list) {
  std::vector<AddressRange> ranges;
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(one.size() + 1, list.size()));
    if (trim(one).empty()) continue;
    TRY_SET(const AddressRange range, AddressRange::parse(trim(one)));
    ranges.push_back(range);
  }
  return ranges;
}

bool contains(std::span<const AddressRange> ranges, std::string_view address) {
  return std::ranges::any_of(ranges, [&](const AddressRange& range) { return range.contains(address); });
}

bool is_loopback(std::string_view address) {
  static const auto kLoopback = parse_ranges("127.0.0.0/8, ::1").value();
  return contains(kLoopback, address);
}

}  // namespace net
