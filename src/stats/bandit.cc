#include "stats/bandit.h"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "base/ids.h"

namespace stats {

std::vector<double> thompson_shares(std::span<const Share> arms, uint64_t seed, int draws) {
  base::SeededRandom random(seed);
  std::vector<int> won(arms.size());
  for (int draw = 0; draw < draws; ++draw) {
    size_t best = 0;
    double highest = -1;
    for (size_t i = 0; i < arms.size(); ++i) {
      // By the inverse of the distribution function: one number of the generator an arm, whatever the counts.
      const double u = (static_cast<double>(random.next() >> 11) + 0.5) * 0x1p-53;
      const double rate = boost::math::ibeta_inv(static_cast<double>(1 + arms[i].successes),
                                                 static_cast<double>(1 + arms[i].trials - arms[i].successes), u);
      if (rate > highest) highest = rate, best = i;
    }
    ++won[best];
  }
  std::vector<double> out;
  for (const int count : won) out.push_back(static_cast<double>(count) / draws);
  return out;
}

std::vector<uint32_t> parts_with_floor(std::span<const double> shares, uint32_t whole, uint32_t floor) {
  ASSERT_ALWAYS(!shares.empty() && shares.size() * floor <= whole);
  const auto left = static_cast<double>(whole - shares.size() * floor);
  std::vector<uint32_t> out;
  std::vector<std::pair<double, size_t>> rest;  // largest remainders get what rounding down leaves
  for (size_t i = 0; i < shares.size(); ++i) {
    const double exact = shares[i] * left;
    out.push_back(floor + static_cast<uint32_t>(exact));
    rest.emplace_back(-(exact - std::floor(exact)), i);
  }
  std::ranges::sort(rest);
  uint32_t missing = whole - std::accumulate(out.begin(), out.end(), uint32_t{0});
  for (size_t i = 0; missing > 0; i = (i + 1) % rest.size(), --missing) ++out[rest[i].second];
  return out;
}

}  // namespace stats
