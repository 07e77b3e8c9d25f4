#include "hooks/public_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace hooks {
namespace {

using Bytes16 = std::array<uint8_t, 16>;

struct Range4 {
  uint32_t first;
  int bits;
};
constexpr uint32_t ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return a << 24 | b << 16 | c << 8 | d; }

constexpr std::array<Range4, 16> kSpecial4 = {{
    {ip(0, 0, 0, 0), 8},         // this network
    {ip(10, 0, 0, 0), 8},        // private
    {ip(100, 64, 0, 0), 10},     // carriers' NAT
    {ip(127, 0, 0, 0), 8},       // loopback
    {ip(169, 254, 0, 0), 16},    // link-local, metadata services
    {ip(172, 16, 0, 0), 12},     // private
    {ip(192, 0, 0, 0), 24},      // protocol assignments
    {ip(192, 0, 2, 0), 24},      // documentation
    {ip(192, 88, 99, 0), 24},    // 6to4 relays
    {ip(192, 168, 0, 0), 16},    // private
    {ip(198, 18, 0, 0), 15},     // benchmarks
    {ip(198, 51, 100, 0), 24},   // documentation
    {ip(203, 0, 113, 0), 24},    // documentation
    {ip(224, 0, 0, 0), 4},       // multicast
    {ip(240, 0, 0, 0), 4},       // reserved, broadcast
    {ip(168, 63, 129, 16), 32},  // a cloud's metadata service at a public-looking address
}};

bool is_public4(uint32_t address) {
  return std::ranges::none_of(kSpecial4, [address](const Range4& range) {
    const uint32_t mask = range.bits == 0 ? 0 : ~uint32_t{0} << (32 - range.bits);
    return (address & mask) == range.first;
  });
}

uint32_t four_at(const Bytes16& bytes, size_t at) { return ip(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]); }

bool starts_with(const Bytes16& bytes, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

bool is_public6(const Bytes16& b) {
  if (starts_with(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})) return is_public4(four_at(b, 12));        // mapped
  if (starts_with(b, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) return is_public4(four_at(b, 12));  // NAT64
  if (starts_with(b, {0x20, 0x02})) return is_public4(four_at(b, 2));                                       // 6to4
  if ((b[0] & 0xe0) != 0x20) return false;  // global unicast is 2000::/3: no loopback, link-local, ULA, multicast
  if (starts_with(b, {0x20, 0x01}) && b[2] < 2) return false;    // 2001::/23: Teredo, benchmarks, ORCHID
  if (starts_with(b, {0x20, 0x01, 0x0d, 0xb8})) return false;    // documentation
  return !(starts_with(b, {0x3f, 0xff}) && (b[2] & 0xf0) == 0);  // documentation, 3fff::/20
}

std::string text_of(const sockaddr& address, socklen_t size) {
  char text[NI_MAXHOST] = "";
  getnameinfo(&address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace

bool is_public(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    return is_public4(ntohl(in.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    Bytes16 bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return is_public6(bytes);
  }
  return false;
}

base::Result<void> check_host_is_public(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return base::invalid("Cannot resolve Webhook URL hostname '" + host + "': " + gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (is_public(*one->ai_addr)) continue;
    return base::invalid("Webhook URL must not resolve to a non-public IP address. '" + host + "' resolves to " +
                         text_of(*one->ai_addr, one->ai_addrlen) + ".");
  }
  return {};
}

}  // namespace hooks
