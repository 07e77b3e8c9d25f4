// Headers of tar members (POSIX ustar; sizes past 8 GiB in the base-256 form that GNU tar and libarchive know), so that
// a backup can be looked into with any tar. Pure. Thread: anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blob::tar {

inline constexpr size_t kBlock = 512;

struct Member {
  std::string name;  // at most 100 bytes
  int64_t size = 0;
};

std::string header(const Member& member);                                  // one block
base::Result<std::optional<Member>> parse_header(std::string_view block);  // nullopt: the end (a block of zeros)
inline int64_t padding(int64_t size) {
  return (kBlock - size % static_cast<int64_t>(kBlock)) % static_cast<int64_t>(kBlock);
}
inline std::string end() { return std::string(2 * kBlock, '\0'); }

}  // namespace blob::tar
