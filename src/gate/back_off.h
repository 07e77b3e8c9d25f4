// BackOff: after a few wrong passwords the next attempt must wait, longer each time; by address and by user, so that
// neither one machine that tries many users nor many machines that try one user gets far. A right password forgets.
//
// The user's waits are short (kUserMostUs): else anybody could keep a user out by guessing wrong on purpose.
// Thread: one at a time (the caller's lock). Time is passed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace gate {

class BackOff {
 public:
  static constexpr int kFree = 5;                 // wrong ones without a wait
  static constexpr int64_t kFirstUs = 1'000'000;  // then 1 s, 2 s, 4 s, …
  static constexpr int64_t kAddressMostUs = 60'000'000;
  static constexpr int64_t kUserMostUs = 8'000'000;
  static constexpr int64_t kForgetUs = 900'000'000;  // without another wrong one
  static constexpr size_t kKeys = 10'000;            // remembered of each; past it the quietest goes

  int64_t wait_us(std::string_view address, std::string_view user, int64_t now_us) const;  // 0: may try
  void wrong(std::string_view address, std::string_view user, int64_t now_us);
  void right(std::string_view address, std::string_view user);

 private:
  struct Misses {
    int count = 0;
    int64_t last_us = 0;
  };
  using Table = std::map<std::string, Misses, std::less<>>;
  static int64_t wait_of(const Table& table, std::string_view key, int64_t most_us, int64_t now_us);
  static void count(Table& table, std::string_view key, int64_t now_us);

  Table addresses_;
  Table users_;
};

}  // namespace gate
