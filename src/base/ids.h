// Ids and randomness. Public ids that Lathe mints carry their kind: "ds_" + UUIDv7 (RFC 9562) in 26 characters of
// lower-case Crockford base32, so that text order is time order and `lathe lineage ID` knows what it holds.
//
// Thread: system_random() is safe anywhere; SeededRandom belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace base {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> out) = 0;
  uint64_t next_u64();
  double next_unit();  // [0, 1)
};

Random& system_random();  // getrandom(2), buffered per thread

// xoshiro256** (Blackman, Vigna 2018) seeded by splitmix64: same seed, same sequence, on every machine and version.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed);
  void fill(std::span<uint8_t> out) override;
  uint64_t next();
  uint64_t below(uint64_t bound);  // unbiased; bound > 0

 private:
  std::array<uint64_t, 4> state_;
};

using Uuid = std::array<uint8_t, 16>;
Uuid make_uuid7(Random& random, int64_t wall_us);
int64_t uuid7_ms(const Uuid& id);

std::string to_base32(const Uuid& id);               // 26 characters
bool from_base32(std::string_view text, Uuid& out);  // exactly 26 characters, no other spelling
std::string make_id(std::string_view kind, Random& random, int64_t wall_us);  // "<kind>_<base32>"
std::string_view id_kind(std::string_view id);         // "ds" of "ds_…"; "" if it is not one of ours
std::string random_hex(Random& random, size_t bytes);  // MLflow's run ids: 16 bytes
std::string random_token(Random& random);              // 32 bytes, base64url: a bearer secret

}  // namespace base
