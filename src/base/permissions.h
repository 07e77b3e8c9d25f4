// Permissions: a set of base::Permission, one bit each. Thread: a value.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "base/context.h"

namespace base {

class Permissions {
 public:
  constexpr Permissions() = default;
  constexpr Permissions(std::initializer_list<Permission> all) {
    for (Permission p : all) bits_ |= bit(p);
  }
  constexpr bool has(Permission p) const { return (bits_ & bit(p)) != 0; }
  constexpr Permissions operator|(Permissions other) const {
    other.bits_ |= bits_;
    return other;
  }
  constexpr Permissions operator&(Permissions other) const {
    other.bits_ &= bits_;
    return other;
  }
  constexpr bool operator==(const Permissions&) const = default;

 private:
  static constexpr uint8_t bit(Permission p) { return static_cast<uint8_t>(1U << static_cast<unsigned>(p)); }
  uint8_t bits_ = 0;
};

inline constexpr Permissions kEveryPermission{Permission::kRead,  Permission::kWrite, Permission::kRunCode,
                                              Permission::kInfer, Permission::kAdmin, Permission::kPlane};

}  // namespace base
