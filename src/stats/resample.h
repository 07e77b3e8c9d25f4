// Draws rows with replacement, fast: two indices from each 64-bit number of the seeded generator, each by
// multiplication with a 32-bit part (bias below rows / 2^32, far under the noise of any resample count). Thread: one at
// a time.
#pragma once

#include <cstdint>
#include <span>

#include "base/assert.h"
#include "base/ids.h"

namespace stats {

inline constexpr size_t kMaxResampledRows = size_t{1} << 26;

class Resampler {
 public:
  Resampler(size_t rows, uint64_t seed) : random_(seed), rows_(rows) {
    ASSERT_ALWAYS(rows > 0 && rows <= kMaxResampledRows);
  }
  void draw(std::span<uint32_t> out) {
    size_t i = 0;
    for (; i + 1 < out.size(); i += 2) {
      const uint64_t bits = random_.next();
      out[i] = scaled(bits >> 32);
      out[i + 1] = scaled(bits & 0xffffffff);
    }
    if (i < out.size()) out[i] = scaled(random_.next() >> 32);
  }

 private:
  uint32_t scaled(uint64_t part) const { return static_cast<uint32_t>((part * rows_) >> 32); }

  base::SeededRandom random_;
  uint64_t rows_;
};

}  // namespace stats
