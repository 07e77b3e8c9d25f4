#include "gate/back_off.h"

#include <algorithm>

namespace gate {
namespace {

// An IPv6 user owns a whole /64: its first four groups, as written, stand for all of it.
std::string_view network_of(std::string_view address) {
  if (std::ranges::count(address, ':') < 2) return address;
  size_t at = 0;
  for (int groups = 0; groups < 4; ++groups) {
    const size_t colon = address.find(':', at);
    if (colon == address.npos || address.substr(colon, 2) == "::") return address.substr(0, colon);
    at = colon + 1;
  }
  return address.substr(0, at - 1);
}

}  // namespace

int64_t BackOff::wait_of(const Table& table, std::string_view key, int64_t most_us, int64_t now_us) {
  const auto found = table.find(key);
  if (found == table.end() || found->second.count < kFree) return 0;
  const int64_t passed_us = now_us - found->second.last_us;
  if (passed_us >= kForgetUs) return 0;
  const int doublings = std::min(found->second.count - kFree, 20);
  return std::max<int64_t>(std::min(kFirstUs << doublings, most_us) - passed_us, 0);
}

void BackOff::count(Table& table, std::string_view key, int64_t now_us) {
  auto found = table.find(key);
  if (found == table.end()) {
    if (table.size() >= kKeys)
      table.erase(std::ranges::min_element(table, {}, [](const auto& entry) { return entry.second.last_us; }));
    found = table.emplace(key, Misses{}).first;
  }
  Misses& misses = found->second;
  misses.count = now_us - misses.last_us >= kForgetUs ? 1 : misses.count + 1;
  misses.last_us = now_us;
}

int64_t BackOff::wait_us(std::string_view address, std::string_view user, int64_t now_us) const {
  return std::max(wait_of(addresses_, network_of(address), kAddressMostUs, now_us),
                  wait_of(users_, user, kUserMostUs, now_us));
}

void BackOff::wrong(std::string_view address, std::string_view user, int64_t now_us) {
  count(addresses_, network_of(address), now_us);
  count(users_, user, now_us);
}

void BackOff::right(std::string_view address, std::string_view user) {
  if (const auto found = addresses_.find(network_of(address)); found != addresses_.end()) addresses_.erase(found);
  if (const auto found = users_.find(user); found != users_.end()) users_.erase(found);
}

}  // namespace gate
